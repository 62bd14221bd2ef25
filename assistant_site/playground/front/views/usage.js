// The usage page's place. What draws it is fetched when somebody first goes there.

import { t } from "../core/i18n.js";
import { html } from "../ui/html.js";
import { Icon } from "../ui/icons.js";
import { didNotCome, later } from "../ui/later.js";

export const UsagePage = later(async () => (await import("./usage/page.js")).Page, {
  Waiting: () => html`<main class="page" aria-busy="true"></main>`,
  Failed: () => html`<main class="page">
    <div class="error-box usage-failed" role="alert"><${Icon} name="alert" />
      <p>${didNotCome()}</p>
      <button type="button" class="small" onClick=${() => location.reload()}>${t("Reload")}</button>
    </div>
  </main>`,
});
