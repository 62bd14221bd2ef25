// Language and look, wherever they are offered.

import { language, LANGUAGES, speak, t } from "../core/i18n.js";
import { look, theme } from "../core/theme.js";
import { html } from "../ui/html.js";
import { Icon } from "../ui/icons.js";
import { Menu } from "../ui/menu.js";

export const languageItems = () =>
  Object.entries(LANGUAGES).map(([tag, name]) => ({ label: name, checked: language.value === tag, act: () => speak(tag) }));

export const themeItems = () =>
  [
    ["", t("As the system")],
    ["light", t("Light")],
    ["dark", t("Dark")],
  ].map(([name, label]) => ({ label, checked: theme.value === name, act: () => look(name) }));

export function LanguageMenu({ above }) {
  return html`<${Menu} label=${t("Language")} items=${languageItems()} above=${above}><${Icon} name="language" /><//>`;
}

export function ThemeMenu({ above }) {
  return html`<${Menu} label=${t("Look")} items=${themeItems()} above=${above}>
    <${Icon} name=${theme.value === "dark" ? "moon" : "sun"} />
  <//>`;
}
