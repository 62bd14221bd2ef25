// The usage page's place. What draws it is fetched when somebody first goes there.

import { signal } from "@preact/signals";
import { t } from "../core/i18n.js";
import { html, useEffect } from "../ui/html.js";
import { Icon } from "../ui/icons.js";

/** The component once it is there, or why it is not. */
const page = signal(null);
const failed = signal(false);

async function fetchPage() {
  failed.value = false;
  try {
    page.value = (await import("./usage/page.js")).Page;
  } catch (error) {
    console.warn(error);
    failed.value = true;
  }
}

export function UsagePage() {
  useEffect(() => {
    if (!page.value) fetchPage();
  }, []);
  if (page.value) return html`<${page.value} />`;
  return html`<main class="page" aria-busy=${!failed.value}>
    ${failed.value && html`<div class="error-box usage-failed" role="alert"><${Icon} name="alert" />
      <p>${t("This part of the page did not come. Check the connection, then reload the page.")}</p>
      <button type="button" class="small" onClick=${() => location.reload()}>${t("Reload")}</button>
    </div>`}
  </main>`;
}
