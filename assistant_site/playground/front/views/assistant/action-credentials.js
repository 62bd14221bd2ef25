// Other credentials for one action.

import { t } from "../../core/i18n.js";
import { notice } from "../../core/notices.js";
import { changeAction } from "../../state/actions.js";
import { html, useState } from "../../ui/html.js";
import { Authentication, authenticationOf } from "./authentication.js";
import { EditingDialog } from "./editing.js";

export function ActionCredentials({ action, close }) {
  const [given, setGiven] = useState({ type: action.authentication?.type ?? "none" });
  const [error, setError] = useState("");
  const [isBusy, setBusy] = useState(false);
  const [isChanged, setChanged] = useState(false);
  const save = async () => {
    setBusy(true);
    setError("");
    try {
      await changeAction(action.id, { authentication: authenticationOf(given) ?? { type: "none" } });
      close();
      notice(t("The credentials are stored."));
    } catch (problem) {
      setError(problem.message);
      setBusy(false);
    }
  };
  const footer = html`<button type="button" class="primary" disabled=${isBusy || !isChanged} onClick=${save}>${t("Store")}</button>`;
  return html`<${EditingDialog} title=${t("Credentials of {name}", { name: action.name })} close=${close} isChanged=${isChanged} footer=${footer}>
    <p class="hint">${t("For all assistants that call this action. What is stored now is not shown; what you store here replaces it.")}</p>
    <${Authentication} given=${given} set=${(next) => (setGiven(next), setChanged(true))} error=${error} />
  <//>`;
}
