// Functions to begin with.

import { t } from "../../core/i18n.js";

const text = (description, more = {}) => ({ type: "string", description, ...more });

export const functionExamples = () => [
  {
    name: "get_weather",
    description: t("Tells the weather in a city now."),
    parameters: {
      type: "object",
      properties: { city: text(t("The city, such as Lisbon")), unit: text(t("The unit of the temperature"), { enum: ["celsius", "fahrenheit"] }) },
      required: ["city"],
    },
  },
  {
    name: "send_mail",
    description: t("Sends an e-mail. Call it only after the user has agreed to the text."),
    parameters: {
      type: "object",
      properties: { to: text(t("The address")), subject: text(t("The subject")), body: text(t("The text")) },
      required: ["to", "subject", "body"],
    },
  },
  {
    name: "find_orders",
    description: t("Finds a customer's orders, the newest first."),
    parameters: {
      type: "object",
      properties: {
        customer: text(t("The customer's number")),
        limit: { type: "integer", description: t("How many at most") },
        states: { type: "array", items: { type: "string" }, description: t("Only orders in these states") },
      },
      required: ["customer"],
    },
  },
];
