// The threads: search, titles, and what can be done to each; below, everything that is not about one thread.

import { signal } from "@preact/signals";
import { t } from "../core/i18n.js";
import { complain, notice } from "../core/notices.js";
import { go, route } from "../core/route.js";
import { signOut, tenant } from "../core/session.js";
import { settings } from "../core/settings.js";
import { threadId } from "../state/conversation.js";
import { archiveThread, deleteThread, hasMore, loading, loadThreads, renameThread, search, showsArchived, threads } from "../state/threads.js";
import { askFor, confirm } from "../ui/dialog.js";
import { html, useEffect, useRef } from "../ui/html.js";
import { Icon } from "../ui/icons.js";
import { Menu } from "../ui/menu.js";
import { newThread, showShortcuts } from "./going.js";
import { languageItems, themeItems } from "./preferences.js";

const DAY = 86_400;
const SEARCH_PAUSE = 250; // milliseconds without a key

const field = signal(null);
export const focusSearch = () => field.value?.focus();

export function Sidebar({ close }) {
  return html`<aside class="sidebar" aria-label=${t("Threads")}>
    <div class="sidebar-top">
      <p class="brand"><img src="/static/holdfast/mark.svg" width="26" height="26" alt="" />Holdfast</p>
      <button type="button" class="quiet square only-narrow" aria-label=${t("Close the list")} onClick=${close}><${Icon} name="close" /></button>
    </div>
    <button type="button" class="new-thread" onClick=${newThread}><${Icon} name="edit" /><span>${t("New thread")}</span></button>
    <${Search} />
    <${ThreadList} />
    <${Footer} />
  </aside>`;
}

function Search() {
  const input = useRef(null);
  const timer = useRef(0);
  useEffect(() => {
    field.value = input.current;
    return () => clearTimeout(timer.current);
  }, []);
  const typed = (event) => {
    search.value = event.target.value;
    clearTimeout(timer.current);
    timer.current = setTimeout(() => loadThreads().catch(complain), SEARCH_PAUSE);
  };
  return html`<div class="search">
    <${Icon} name="search" size=${16} />
    <input ref=${input} type="search" aria-label=${t("Search threads")} placeholder=${t("Search threads")} value=${search.value} maxlength="200" onInput=${typed} />
  </div>`;
}

/** Threads with a heading for each age. */
function grouped(all) {
  const midnight = new Date().setHours(0, 0, 0, 0) / 1000;
  const groups = new Map();
  for (const thread of all) {
    const age = midnight - thread.created_at;
    const name = age <= 0 ? t("Today") : age <= DAY ? t("Yesterday") : age <= 7 * DAY ? t("This week") : t("Earlier");
    groups.set(name, [...(groups.get(name) ?? []), thread]);
  }
  return [...groups];
}

function ThreadList() {
  const all = threads.value;
  const more = async (event) => {
    const list = event.target;
    if (list.scrollHeight - list.scrollTop - list.clientHeight < 200 && hasMore.value && !loading.value && !search.value) {
      await loadThreads({ next: true }).catch(complain);
    }
  };
  return html`<nav class="threads" aria-label=${t("Threads")} onScroll=${more}>
    ${showsArchived.value &&
    html`<p class="archive-note">${t("Archived threads")} <button type="button" class="link" onClick=${() => setArchived(false)}>${t("Back")}</button></p>`}
    ${grouped(all).map(
      ([name, group]) => html`<h2 key=${name}>${name}</h2>
        <ul key=${`${name}list`}>
          ${group.map((thread) => html`<${Thread} key=${thread.id} thread=${thread} />`)}
        </ul>`,
    )}
    ${!all.length &&
    html`<p class="hint empty">
      ${loading.value ? t("Loading …") : search.value ? t("No thread has these words.") : showsArchived.value ? t("Nothing is archived.") : t("Your threads will stand here.")}
    </p>`}
    ${hasMore.value && html`<button type="button" class="quiet more" disabled=${loading.value} onClick=${() => loadThreads({ next: true }).catch(complain)}>
      ${search.value ? t("Search older threads") : t("Older threads")}
    </button>`}
  </nav>`;
}

function setArchived(shown) {
  showsArchived.value = shown;
  loadThreads().catch(complain);
}

function Thread({ thread }) {
  const title = thread.title || t("Untitled");
  const isOpen = thread.id === threadId.value && route.value.view === "threads";
  const rename = async () => {
    const given = await askFor({ title: t("Rename the thread"), label: t("Title"), value: thread.title, action: t("Rename"), hint: t("Left empty, the title is made from the first message.") });
    if (given !== null) await renameThread(thread.id, given).catch(complain);
  };
  const archive = async () => {
    try {
      await archiveThread(thread.id, !thread.archived);
      notice(thread.archived ? t("The thread is back in the list.") : t("The thread is in the archive."));
    } catch (error) {
      complain(error);
    }
  };
  const destroy = async () => {
    const yes = await confirm({ title: t("Delete this thread?"), text: t("“{title}” and all its messages and runs are removed for good.", { title }), action: t("Delete") });
    if (!yes) return;
    try {
      await deleteThread(thread.id);
      if (isOpen) newThread();
    } catch (error) {
      complain(error);
    }
  };
  const items = [
    { label: t("Rename"), icon: "edit", act: rename },
    { label: thread.archived ? t("Take out of the archive") : t("Archive"), icon: "archive", act: archive },
    { label: t("Delete"), icon: "trash", danger: true, act: destroy },
  ];
  return html`<li class="thread" aria-current=${isOpen ? "page" : undefined}>
    <a href=${`#/threads/${thread.id}`} title=${title} onClick=${(event) => follow(event, thread.id)}>
      ${thread.active_run_id && html`<span class="busy-dot" role="img" aria-label=${t("At work")}></span>`}<span>${title}</span>
    </a>
    <${Menu} label=${t("Actions for “{title}”", { title })} items=${items} className="quiet square small"><${Icon} name="more" /><//>
  </li>`;
}

function follow(event, id) {
  if (event.metaKey || event.ctrlKey || event.shiftKey) return; // another tab, by the browser
  event.preventDefault();
  go("threads", id);
}

function Footer() {
  const items = [
    { label: showsArchived.value ? t("All threads") : t("Archived threads"), icon: "archive", act: () => setArchived(!showsArchived.value) },
    { label: t("Keyboard shortcuts"), icon: "keyboard", act: showShortcuts },
    { label: t("API reference"), icon: "code", href: "/docs" },
    { label: t("Admin"), icon: "settings", href: "/admin/" },
    settings.auth ? { label: t("Sign out"), icon: "back", act: signOut } : null,
    { heading: t("Language") },
    ...languageItems(),
    { heading: t("Look") },
    ...themeItems(),
  ];
  return html`<div class="sidebar-foot">
    <button type="button" class="quiet" aria-current=${route.value.view === "usage" ? "page" : undefined} onClick=${() => go("usage")}><${Icon} name="usage" /><span>${t("Usage")}</span></button>
    <${Menu} label=${t("Settings")} items=${items} above=${true} className="quiet settings-button">
      <${Icon} name="settings" /><span class="tenant">${tenant.value?.name ?? t("Settings")}</span>
    <//>
  </div>`;
}
