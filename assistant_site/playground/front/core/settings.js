// What the server tells the page: see `pages.py`, which writes it into the document.

const element = document.getElementById("settings");

/** version, base_url, demo, model, code, auth, staff, assets, language */
export const settings = Object.freeze(JSON.parse(element?.textContent || "{}"));
