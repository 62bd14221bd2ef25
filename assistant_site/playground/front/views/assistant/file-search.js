// File search: which vector store is searched, its files, and how much of them the model is shown.

import { t } from "../../core/i18n.js";
import { complain } from "../../core/notices.js";
import { attachStore, createStore, loadStore, loadStores, stores, storeOf, uploads, uploadToStore, watch } from "../../state/stores.js";
import { Field } from "../../ui/field.js";
import { html, useEffect, useState } from "../../ui/html.js";
import { NumberField, refusalOfTool, replaceTool } from "./parts.js";
import { StoreFiles } from "./store-files.js";
import { StoreSettings } from "./store-settings.js";
import { DropZone, UploadItem } from "./uploads.js";

const NEW = "new";

export function FileSearch({ assistant, tool }) {
  const storeId = storeOf(assistant.id);
  const [isBusy, setBusy] = useState(false);
  useEffect(() => {
    if (!stores.value) loadStores().catch(complain);
  }, []);
  useEffect(() => {
    if (storeId) loadStore(storeId).then(() => watch(storeId)).catch(complain);
  }, [storeId]);
  const change = async (event) => {
    const wanted = event.target.value;
    setBusy(true);
    try {
      if (wanted === NEW) await createStore(assistant.id, assistant.name || t("Files"));
      else await attachStore(assistant.id, wanted);
    } catch (error) {
      complain(error);
      event.target.value = storeId;
    } finally {
      setBusy(false);
    }
  };
  const store = stores.value?.find((each) => each.id === storeId);
  const isGone = storeId && stores.value && !store;
  const going = uploads.value.filter((each) => each.storeId && each.storeId === storeId);
  return html`
    <${Field}
      label=${t("Vector store")}
      error=${isGone ? t("This vector store was deleted. Choose another one.") : store?.status === "expired" ? t("This vector store has expired and cannot be searched. Choose another one.") : ""}
      hint=${storeId ? "" : t("Where the passages of files are kept. Choose one, or add files: then a store is made for them. This is kept at once.")}
      control=${(props) => html`<select ...${props} value=${storeId} disabled=${isBusy} onChange=${change}>
        <option value="">${t("None of its own")}</option>
        ${isGone && html`<option value=${storeId}>${storeId}</option>`}
        ${stores.value?.map((each) => html`<option key=${each.id} value=${each.id}>${each.name || t("Unnamed")} · ${t("one file | {n} files", { n: each.file_counts.total })}</option>`)}
        <option value=${NEW}>${t("Make a new one")}</option>
      </select>`}
    />
    <div class="files-of-tool">
      ${going.length > 0 && html`<ul class="items" aria-label=${t("Uploads")}>${going.map((item) => html`<${UploadItem} key=${item.key} item=${item} />`)}</ul>`}
      ${store && html`<${StoreFiles} store=${store} />`}
      <${DropZone}
        label=${t("Add files to search")} hint=${t("Choose or drop: text, PDF, Word, slides, tables, pictures.")}
        disabled=${Boolean(isGone)} take=${(list) => uploadToStore(assistant, storeId, list)}
      />
    </div>
    ${store && html`<${StoreSettings} key=${store.id} store=${store} assistant=${assistant} />`}
    <${Ranking} tool=${tool} />
  `;
}

/** How many passages, how good, in which order. What is not shown here stays as it is. */
function Ranking({ tool }) {
  const options = tool.file_search ?? {};
  const ranking = options.ranking_options ?? {};
  const set = (changes) => {
    const next = { ...options, ...changes };
    for (const name of Object.keys(next)) if (next[name] === null) delete next[name];
    replaceTool(tool, { ...tool, file_search: next });
  };
  const rank = (changes) => set({ ranking_options: { score_threshold: 0, ...ranking, ...changes } });
  return html`<details class="inner">
    <summary>${t("What is found")}</summary>
    <div class="fields">
      <div class="pair">
        <${NumberField}
          label=${t("Passages at most")} value=${options.max_num_results}
          set=${(value) => set({ max_num_results: value })} low=${1} high=${50} placeholder="20"
        />
        <${NumberField}
          label=${t("Score at least")} value=${ranking.score_threshold || null}
          set=${(value) => rank({ score_threshold: value ?? 0 })} low=${0} high=${1} step="any" placeholder="0"
        />
      </div>
      <p class="hint">${t("Scores go from 0 to 1; which one suits depends on the store's ranking. Begin with 0.")}</p>
      <${Field}
        label=${t("Ranker")}
        error=${refusalOfTool(tool)}
        control=${(props) => html`<select ...${props} value=${ranking.ranker ?? "auto"} onChange=${(event) => rank({ ranker: event.target.value })}>
          <option value="auto">auto</option>
          <option value="default_2024_08_21">default_2024_08_21</option>
        </select>`}
      />
    </div>
  </details>`;
}
