"""A run goes on whatever happens to the page: it is told whole and once."""

import re

import pytest
from playwright.sync_api import Page, expect

from assistant_site.playground.tests.browser.answers import model, slowly, words
from assistant_site.playground.tests.browser.visits import Visit, Visiting, hold_back, plain, refuse
from assistant_site.tests.cable import Cable
from assistant_site.tests.callers import LiveCaller
from assistant_site.tests.stack import Stack

LONG = words(120)
SECONDS = 2.5
NO_SOCKETS = """
globalThis.WebSocket = class {
  constructor() { setTimeout(() => this.onclose?.({ code: 1006 })); }
  close() {}
};
"""


def begun(visit: Visit, page: Page | None = None) -> None:
    """Until the answer has said something, and not all."""
    expect(visit.answers(page).last).to_contain_text("word3")
    assert "word119" not in visit.answers(page).last.inner_text()


def told_once(visit: Visit, caller: LiveCaller, page: Page | None = None) -> None:
    """The page shows what REST answers, each message once."""
    visit.wait_for_rest(page)
    kept = [(each["role"], plain(each["content"][0]["text"]["value"])) for each in caller.messages(visit.thread(page))]
    shown = (page or visit.page).locator("article.message")
    expect(shown).to_have_count(len(kept))
    for (role, text), article in zip(kept, shown.all(), strict=True):
        expect(article).to_have_class(re.compile(role))
        assert plain(article.locator(".said").inner_text()) == text
    assert kept[-1] == ("assistant", LONG)


def test_stop_keeps_what_was_said(vera: LiveCaller, visit: Visit) -> None:
    with model(slowly(LONG, seconds=60, before=5)) as provider:
        vera.provided_by(provider.base_url)
        visit.open()
        visit.send("Say much")
        begun(visit)

        visit.page.get_by_role("button", name="Stop", exact=True).click()

        expect(visit.page.get_by_text("Stopped.", exact=True)).to_be_visible()
        kept = vera.last_text(visit.thread())
        assert LONG.startswith(kept)
        assert plain(visit.answers().last.inner_text()) == plain(kept)
        expect(visit.page.get_by_role("button", name="Try again")).to_be_visible()


def test_a_reload_in_the_middle_goes_on_where_the_run_is(vera: LiveCaller, visit: Visit) -> None:
    with model(slowly(LONG, seconds=SECONDS)) as provider:
        vera.provided_by(provider.base_url)
        visit.open()
        visit.send("Say much")
        begun(visit)

        visit.page.reload()

        expect(visit.page.get_by_role("button", name="Stop", exact=True)).to_be_visible()
        told_once(visit, vera)


def test_a_run_of_one_tab_appears_in_the_other(vera: LiveCaller, visit: Visit) -> None:
    with model(slowly(LONG, seconds=SECONDS)) as provider:
        vera.provided_by(provider.base_url)
        thread = vera.thread()
        visit.open(thread)
        other = visit.open(thread, visit.tab())

        visit.send("Say much", other)

        begun(visit)
        told_once(visit, vera)
        told_once(visit, vera, other)


def test_what_a_program_does_appears_when_the_page_is_looked_at_again(vera: LiveCaller, visit: Visit) -> None:
    thread = vera.thread("Asked before")
    visit.open(thread)
    expect(visit.questions()).to_have_count(1)
    vera.run(thread, vera.assistant())

    visit.page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")

    expect(visit.answers()).to_have_count(1)
    assert plain(visit.answers().inner_text()) == plain(vera.last_text(thread))


def test_a_network_that_goes_and_comes_back(vera: LiveCaller, visit: Visit) -> None:
    visit.expects("ERR_INTERNET_DISCONNECTED")
    with model(slowly(LONG, seconds=SECONDS)) as provider:
        vera.provided_by(provider.base_url)
        visit.open()
        visit.send("Say much")
        begun(visit)

        visit.context.set_offline(True)
        expect(visit.page.get_by_text("The connection is lost.")).to_be_visible()
        visit.context.set_offline(False)

        told_once(visit, vera)
        expect(visit.page.get_by_text("The connection is lost.")).to_have_count(0)


@pytest.mark.parametrize("way", ["websocket", "sse"])
def test_a_connection_that_is_cut_is_made_again(
    way: str, playground: Stack, vera: LiveCaller, visiting: Visiting
) -> None:
    host, port = playground.url.removeprefix("http://").split(":")
    cable = Cable((host, int(port)))
    visit = visiting(vera, url=f"http://127.0.0.1:{cable.port}")
    visit.expects("ERR_CONNECTION|ERR_SOCKET|ERR_EMPTY_RESPONSE|ERR_INCOMPLETE|ERR_FAILED|WebSocket connection to")
    if way == "sse":
        visit.page.add_init_script(NO_SOCKETS)
    try:
        with model(slowly(LONG, seconds=SECONDS)) as provider:
            vera.provided_by(provider.base_url)
            visit.open()
            visit.send("Say much")
            begun(visit)

            cable.pull()
            expect(visit.page.get_by_text("The connection is lost.")).to_be_visible()
            cable.plug()

            told_once(visit, vera)
    finally:
        cable.close()


def test_where_no_websocket_comes_through_the_events_do(vera: LiveCaller, visit: Visit) -> None:
    visit.expects("WebSocket connection to")
    visit.page.route_web_socket(re.compile("/ws"), lambda socket: socket.close(code=1011))
    with model(slowly(LONG, seconds=SECONDS)) as provider:
        vera.provided_by(provider.base_url)
        visit.open()
        visit.send("Say much")
        begun(visit)

        told_once(visit, vera)
        assert any("/events?after=" in each for each in visit.requests)


def test_a_message_that_could_not_be_sent_is_not_lost(vera: LiveCaller, visit: Visit) -> None:
    visit.expects("ERR_CONNECTION_REFUSED")
    visit.open()
    visit.page.route("**/v1/threads", refuse)

    visit.send("Worth keeping")

    expect(visit.page.get_by_role("status").get_by_text("The server cannot be reached")).to_be_visible()
    expect(visit.box()).to_have_value("Worth keeping")
    visit.page.unroute("**/v1/threads")
    assert "Worth keeping" in visit.ask("Worth keeping")


def test_who_writes_before_the_assistants_have_come_is_answered_by_theirs(vera: LiveCaller, visit: Visit) -> None:
    theirs = vera.assistant(name="Theirs", model="demo-instant")
    held = hold_back(visit.page, "**/v1/assistants?*")
    visit.open()
    visit.send("Quickly written")
    expect(visit.page.get_by_role("button", name="Stop", exact=True)).to_be_visible()
    visit.page.wait_for_timeout(300)
    assert not visit.thread()

    held[0].continue_()

    expect(visit.answers()).to_have_count(1)
    visit.wait_for_rest()
    [run] = vera.get(f"threads/{visit.thread()}/runs")["data"]
    assert run["assistant_id"] == theirs
    assert [each["id"] for each in vera.get("assistants")["data"]] == [theirs]


def test_a_message_waits_for_assistants_that_could_not_be_read(vera: LiveCaller, visit: Visit) -> None:
    theirs = vera.assistant(name="Theirs", model="demo-instant")
    visit.expects("ERR_CONNECTION_REFUSED")
    visit.page.route("**/v1/assistants?*", refuse)
    visit.open()
    told = visit.page.get_by_role("status").get_by_text("The server cannot be reached")
    expect(told).to_be_visible()

    visit.send("Worth keeping")

    expect(visit.box()).to_have_value("Worth keeping")
    assert not visit.thread()
    visit.page.unroute("**/v1/assistants?*")
    assert "Worth keeping" in visit.ask("Worth keeping")
    assert [each["id"] for each in vera.get("assistants")["data"]] == [theirs]
