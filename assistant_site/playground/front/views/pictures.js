// Pictures of a message.

import { contentOf, download } from "../core/api.js";
import { t } from "../core/i18n.js";
import { complain } from "../core/notices.js";
import { asPicture, noPicture } from "../core/pictures.js";
import { fileOf } from "../state/files.js";
import { hostOf } from "../text/decorate.js";
import { Dialog, openDialog } from "../ui/dialog.js";
import { html, useEffect, useRef, useState } from "../ui/html.js";
import { Icon } from "../ui/icons.js";

const NEAR = "800px"; // from sight: then a picture is loaded

/** A picture that is a file of the API. */
export function PictureFile({ fileId, isByPeople }) {
  const name = fileOf(fileId).value.file?.filename ?? "";
  const alt = name ? t("Picture: {name}", { name }) : isByPeople ? t("Picture of this message") : t("Picture in the answer");
  const load = async () => asPicture(await contentOf(encodeURIComponent(fileId)));
  return html`<${Picture} key=${fileId} load=${load} alt=${alt} name=${name || t("Picture")} save=${() => download(fileId, name).catch(complain)} />`;
}

/** A picture that the message has an address of: its own bytes are shown, one elsewhere is named. */
export function PictureUrl({ url }) {
  if (/^data:/i.test(url)) {
    return html`<${Picture} key=${url} load=${async () => asPicture(blobOf(url))} alt=${t("Picture of this message")} name=${t("Picture")} />`;
  }
  const host = hostOf(url);
  if (!host) return html`<p class="picture-link">${t("A picture whose address cannot be opened.")}</p>`;
  return html`<p class="picture-link">
    <a href=${url} target="_blank" rel="noopener noreferrer nofollow" title=${url}>${t("Picture at {host}, not loaded", { host })}</a>
  </p>`;
}

/** The bytes in a `data:` address. */
function blobOf(url) {
  const comma = url.indexOf(",");
  if (!/;base64$/i.test(url.slice(0, comma))) throw noPicture();
  const bytes = atob(url.slice(comma + 1).replace(/\s/g, ""));
  return new Blob([Uint8Array.from(bytes, (each) => each.charCodeAt(0))]);
}

/** Loads a picture when it comes near; keeps its place until then. */
function Picture({ load, alt, name, save }) {
  const element = useRef(null);
  const [shown, setShown] = useState(null);
  const [error, setError] = useState("");
  const [attempt, setAttempt] = useState(0);
  useEffect(() => {
    let made = "";
    let isWanted = true;
    const begin = async () => {
      try {
        const blob = await load();
        if (!isWanted) return;
        made = URL.createObjectURL(blob);
        const measured = await measure(made);
        if (isWanted) setShown(measured);
      } catch (failure) {
        if (isWanted) setError(failure.message);
      }
    };
    const watch = new IntersectionObserver(([entry]) => entry.isIntersecting && (watch.disconnect(), begin()), { rootMargin: NEAR });
    watch.observe(element.current);
    return () => {
      isWanted = false;
      watch.disconnect();
      if (made) URL.revokeObjectURL(made);
    };
  }, [attempt]);
  const again = () => (setError(""), setAttempt(attempt + 1));
  if (error) {
    return html`<p class="picture-failed" role="alert" ref=${element}>
      <${Icon} name="image" /><span>${error}</span>
      <button type="button" class="small" onClick=${again}>${t("Try again")}</button>
      ${save && html`<button type="button" class="small" onClick=${save}><${Icon} name="download" size=${16} />${t("Download")}</button>`}
    </p>`;
  }
  return html`<div class="picture" ref=${element}>
    ${shown
      ? html`<button type="button" class="picture-open" aria-label=${t("Open large: {alt}", { alt })} onClick=${() => openLarge({ url: shown.url, alt, name, save })}>
          <img src=${shown.url} width=${shown.width} height=${shown.height} alt=${alt} />
        </button>`
      : html`<span class="picture-waiting" role="status"><${Icon} name="image" size=${28} /><span class="unseen">${t("Loading the picture …")}</span></span>`}
  </div>`;
}

/** A picture's address with its size, so that it takes its place at once. */
async function measure(url) {
  const image = Object.assign(new Image(), { src: url });
  try {
    await image.decode();
  } catch {
    throw new Error(t("The picture is damaged and cannot be shown."));
  }
  return { url, width: image.naturalWidth, height: image.naturalHeight };
}

function openLarge({ url, alt, name, save }) {
  const keep = save ?? (() => Object.assign(document.createElement("a"), { href: url, download: "picture" }).click());
  const footer = html`<button type="button" onClick=${keep}><${Icon} name="download" />${t("Download")}</button>`;
  openDialog((close) => html`<${Dialog} title=${name} close=${close} footer=${footer} wide><img class="picture-large" src=${url} alt=${alt} /><//>`);
}
