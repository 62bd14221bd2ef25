"""Somebody who uses the playground in a browser, and must not see it complain."""

import json
import re
from collections.abc import Callable
from typing import Any, Literal
from urllib.parse import urlsplit

from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Locator,
    Page,
    Request,
    Route,
    WebError,
    expect,
)

from assistant_site.tests.callers import Caller

PATIENCE = 20_000  # milliseconds: the machine may be busy
expect.set_options(timeout=PATIENCE)
KEY = "playground-key-of-the-browser-tests"
WIDE = {"width": 1440, "height": 900}
PHONE = {"width": 390, "height": 844}

# Signs in as the link would, without a request; signing out holds.
SIGN_IN = """
const [token, tenant] = %s;
try {
  if (!sessionStorage.getItem("signed in")) {
    sessionStorage.setItem("signed in", "yes");
    sessionStorage.setItem("holdfast.token", token);
    sessionStorage.setItem("holdfast.tenant", JSON.stringify(tenant));
  }
} catch {
  // a document that keeps nothing
}
"""
# What a policy refuses is told, wherever in the page it was; and nothing that a text contains may get this far.
WATCH = """
addEventListener("securitypolicyviolation", (event) =>
  console.error(`policy: ${event.violatedDirective} ${event.blockedURI} ${event.sample}`));
globalThis.hacked = (what = "") => console.error(`hacked ${what}`);
for (const name of ["alert", "confirm", "prompt"]) globalThis[name] = () => console.error(`hacked by ${name}`);
"""


class Contexts:
    """Browser contexts, used again by one visit after the other, so that each need not fetch the page's files anew."""

    def __init__(self, browser: Browser, url: str) -> None:
        self._browser = browser
        self._url = url
        self._free: dict[str, list[BrowserContext]] = {}

    def lend(self, options: dict[str, Any], url: str = "") -> tuple[BrowserContext, Callable[[], None]]:
        """A context that knows nothing of who had it before, and what gives it back. One for another `url` is new."""
        kept = self._free.setdefault(repr(sorted(options.items())), []) if not url else []
        context = kept.pop() if kept else self._browser.new_context(base_url=url or self._url, **options)
        context.set_default_timeout(PATIENCE)

        def give_back() -> None:
            if url:
                context.close()
                return
            for page in context.pages:
                page.close()
            context.set_offline(False)
            context.clear_cookies()
            kept.append(context)

        return context, give_back


class Visit:
    """Tabs of one browser, which share what it keeps. `caller`: signed in as this tenant."""

    def __init__(self, contexts: Contexts, home: str, caller: Caller | None = None, **options: Any) -> None:
        """`is_first`: in a browser that has never been here. `url`: not the playground's, but what leads to it."""
        self.caller = caller
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.expected: list[str] = []
        self.url = options.pop("url", home)
        is_own = options.pop("is_first", False) or self.url != home
        options = {"viewport": WIDE, "reduced_motion": "reduce", "locale": "en-GB", **options}
        self.context, self._give_back = contexts.lend(options, self.url if is_own else "")
        self.context.on("console", self._said)
        self.context.on("weberror", self._failed)
        self.context.on("request", self._asked)
        self.page = self.tab()
        network = self.context.new_cdp_session(self.page)
        network.send("Storage.clearDataForOrigin", {"origin": self.url, "storageTypes": "local_storage"})
        network.detach()

    def tab(self) -> Page:
        page = self.context.new_page()
        page.on("websocket", lambda socket: self._reached(socket.url))
        page.add_init_script(WATCH)
        if self.caller:
            tenant = {"id": self.caller.tenant.pk, "name": self.caller.tenant.name}
            page.add_init_script(SIGN_IN % json.dumps([self.caller.token, tenant]))
        return page

    def expects(self, pattern: str) -> None:
        """What may be complained of in this visit: a request that a test lets fail shows on the console."""
        self.expected.append(pattern)

    def close(self) -> None:
        """Ends the visit; fails if the browser complained of something."""
        self._give_back()
        self.context.remove_listener("console", self._said)
        self.context.remove_listener("weberror", self._failed)
        self.context.remove_listener("request", self._asked)
        wrong = [text for text in self.complaints if not any(re.search(each, text) for each in self.expected)]
        assert not wrong, "\n".join(wrong)

    def _said(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            where = message.location.get("url", "")
            self.complaints.append(f"{message.type}: {message.text} ({where})")

    def _failed(self, error: WebError) -> None:
        self.complaints.append(f"error: {error.error.stack or error.error}")

    def _asked(self, request: Request) -> None:
        self.requests.append(request.url)
        self._reached(request.url)

    def _reached(self, address: str) -> None:
        if not self._is_ours(address):
            self.complaints.append(f"a request to somebody else: {address[:200]}")

    def _is_ours(self, address: str) -> bool:
        parts = urlsplit(address)
        return parts.scheme in ("blob", "data", "about") or parts.netloc == urlsplit(self.url).netloc

    # --- Words for what people do ----------------------------------------------------------------------------------

    def open(self, thread: str = "", page: Page | None = None) -> Page:
        """The page, ready to write."""
        shown = page or self.page
        shown.goto(f"/#/threads/{thread}" if thread else "/")
        expect(self.box(shown)).to_be_visible(timeout=PATIENCE)
        return shown

    def box(self, page: Page | None = None) -> Locator:
        return (page or self.page).get_by_role("textbox", name="Message", exact=True)

    def send(self, text: str, page: Page | None = None) -> None:
        box = self.box(page)
        box.fill(text)
        box.press("Enter")

    def answers(self, page: Page | None = None) -> Locator:
        """What the assistant said, message by message."""
        return (page or self.page).locator("article.assistant .said")

    def questions(self, page: Page | None = None) -> Locator:
        return (page or self.page).locator("article.user .said")

    def wait_for_rest(self, page: Page | None = None) -> None:
        """Until no run is under way."""
        expect((page or self.page).get_by_role("button", name="Send", exact=True)).to_be_visible(timeout=PATIENCE)

    def ask(self, text: str, page: Page | None = None) -> str:
        """Sends a message; the answer's text as it is shown."""
        shown = page or self.page
        before = self.answers(shown).count()
        self.send(text, shown)
        expect(self.answers(shown)).to_have_count(before + 1)
        self.wait_for_rest(shown)
        return plain(self.answers(shown).last.inner_text())

    def thread(self, page: Page | None = None) -> str:
        """The id of the thread that the address names."""
        return (page or self.page).url.rpartition("/")[2]

    def menu(self, title: str, item: str) -> None:
        """Picks from the menu of a thread in the list."""
        self.page.get_by_role("button", name=f"Actions for “{title}”").click()
        self.page.get_by_role("menuitem", name=item, exact=True).click()


def plain(text: str) -> str:
    """Words alone: what a page draws has other white space than what was written."""
    return " ".join(text.split())


def hold_back(page: Page, pattern: str) -> list[Route]:
    """The requests to these addresses as they come: they wait until somebody lets them go on."""
    held: list[Route] = []
    page.route(pattern, lambda route: held.append(route))
    return held


def refuse(route: Route) -> None:
    route.abort("connectionrefused")


Scheme = Literal["light", "dark"]
Visiting = Callable[..., Visit]
