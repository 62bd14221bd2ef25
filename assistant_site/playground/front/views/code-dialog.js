// Opens "Show the code for this". What draws it is fetched when somebody first wants it.

import { t } from "../core/i18n.js";
import { complain } from "../core/notices.js";

export async function openCode() {
  try {
    (await import("./code/dialog.js")).open();
  } catch (error) {
    complain(new Error(t("This part of the page did not come. Check the connection, then reload the page."), { cause: error }));
  }
}
