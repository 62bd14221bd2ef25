// Only what really is a picture is shown as one, whatever its name or type says.

import { t } from "./i18n.js";

const BEGINNINGS = [
  ["image/png", /^\x89PNG\r\n\x1a\n/],
  ["image/jpeg", /^\xff\xd8\xff/],
  ["image/gif", /^GIF8[79]a/],
  ["image/webp", /^RIFF[\s\S]{4}WEBP/],
];

export const noPicture = () => new Error(t("This is no picture that can be shown. It may be a PNG, JPEG, GIF or WebP."));

/** A blob that the browser takes for the picture that it is by its first bytes. Throws if it is none. */
export async function asPicture(blob) {
  const beginning = String.fromCharCode(...new Uint8Array(await blob.slice(0, 16).arrayBuffer()));
  const type = BEGINNINGS.find(([, form]) => form.test(beginning))?.[0];
  if (!type) throw noPicture();
  return new Blob([blob], { type });
}
