// A vector store's name, when it expires, and its end.

import { moment, size, t } from "../../core/i18n.js";
import { complain, notice } from "../../core/notices.js";
import { attachStore, changeStore, deleteStore } from "../../state/stores.js";
import { confirm } from "../../ui/dialog.js";
import { Field } from "../../ui/field.js";
import { html, useState } from "../../ui/html.js";
import { NumberField } from "./parts.js";

export function StoreSettings({ store, assistant }) {
  const [name, setName] = useState(null);
  const [days, setDays] = useState(undefined);
  const [error, setError] = useState("");
  const isChanged = name !== null || days !== undefined;
  const save = async () => {
    setError("");
    try {
      await changeStore(store.id, {
        ...(name === null ? {} : { name }),
        ...(days === undefined ? {} : { expires_after: days === null ? null : { anchor: "last_active_at", days } }),
      });
      setName(null);
      setDays(undefined);
      notice(t("The vector store is changed."));
    } catch (problem) {
      setError(problem.message);
    }
  };
  const destroy = async () => {
    const text = t("“{name}” is removed for good, also for other assistants and threads that search it. Its files stay.", { name: store.name || store.id });
    if (!(await confirm({ title: t("Delete this vector store?"), text, action: t("Delete") }))) return;
    try {
      await attachStore(assistant.id, "");
      await deleteStore(store.id);
    } catch (problem) {
      complain(problem);
    }
  };
  const expiry = store.expires_at ? t("It expires {date}, unless it is used before.", { date: moment(store.expires_at) }) : t("It does not expire.");
  return html`<details class="inner">
    <summary>${t("About this store")}</summary>
    <div class="fields">
      <${Field}
        label=${t("Name of the store")} error=${error}
        control=${(props) => html`<input
          ...${props} maxlength="256" value=${name ?? store.name ?? ""}
          onInput=${(event) => setName(event.target.value)}
        />`}
      />
      <${NumberField}
        label=${t("Expires after days without use")} hint=${expiry}
        value=${days === undefined ? store.expires_after?.days : days} set=${setDays} low=${1} high=${365}
        placeholder=${t("never")}
      />
      <p class="fine"><code>${store.id}</code> · ${size(store.usage_bytes)}</p>
      <div class="row">
        <button type="button" class="small" disabled=${!isChanged} onClick=${save}>${t("Change the store")}</button>
        <button type="button" class="small quiet" onClick=${destroy}>${t("Delete the store")}</button>
      </div>
    </div>
  </details>`;
}
