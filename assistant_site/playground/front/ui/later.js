// Parts of the page that are fetched when somebody first wants them.

import { signal } from "@preact/signals";
import { t } from "../core/i18n.js";
import { html, useEffect } from "./html.js";

/** What is said where a part did not come. */
export const didNotCome = () => t("This part of the page did not come. Check the connection, then reload the page.");

/**
 * A component that stands for another one: `load()` resolves to it. Until it is there `Waiting` is drawn, and `Failed` if
 * it did not come; when it is next shown it is tried again.
 */
export function later(load, { Waiting, Failed }) {
  const part = signal(null);
  const failed = signal(false);
  const fetchPart = async () => {
    failed.value = false;
    try {
      part.value = await load();
    } catch (error) {
      console.warn(error);
      failed.value = true;
    }
  };
  return function Later() {
    useEffect(() => {
      if (!part.value) fetchPart();
    }, []);
    if (part.value) return html`<${part.value} />`;
    return failed.value ? html`<${Failed} />` : html`<${Waiting} />`;
  };
}
