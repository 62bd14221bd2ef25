// Where the page begins: language, look and session, and then one of two views.

import { render } from "preact";
import { speakAsBefore } from "./core/i18n.js";
import { isIn, resume } from "./core/session.js";
import { lookAsBefore } from "./core/theme.js";
import { html } from "./ui/html.js";
import { Dialogs } from "./ui/dialog.js";
import { Notices } from "./views/notices.js";
import { SignIn } from "./views/sign-in.js";
import { Workplace } from "./views/workplace.js";

function App() {
  return html`
    ${isIn.value ? html`<${Workplace} />` : html`<${SignIn} />`}
    <${Dialogs} />
    <${Notices} />
  `;
}

lookAsBefore();
await Promise.all([speakAsBefore(), resume()]);
const root = document.getElementById("app");
root.replaceChildren();
render(html`<${App} />`, root);
