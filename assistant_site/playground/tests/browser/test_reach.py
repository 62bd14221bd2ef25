"""Everybody gets there: by the keyboard alone, on a phone, with a screen reader, in the dark."""

from typing import Any

import pytest
from axe_playwright_python.base import AXE_FILE_PATH
from playwright.sync_api import Page, expect

from assistant_site.llm.tests.quirk_server import said
from assistant_site.playground import chromium
from assistant_site.playground.tests.browser.answers import model, slowly, words
from assistant_site.playground.tests.browser.visits import PHONE, Visit, Visiting
from assistant_site.tests.callers import LiveCaller

ANSWER = """# Rivers

| river | length |
| --- | ---: |
| Rhine | 1,233 km |

A [link](https://example.com), `code` and a formula $x^2$.

```python
def length(river: str) -> int:
    return {"Rhine": 1233}[river]  # km
```

> Said by somebody.

1. one
2. two
"""


# --- The keyboard ----------------------------------------------------------------------------------------------------


def test_everything_is_done_by_the_keyboard(vera: LiveCaller, visit: Visit) -> None:
    vera.thread("An old one")
    page = visit.open()
    keys = page.keyboard
    expect(visit.box()).to_be_focused()

    keys.type("First line")
    keys.press("Shift+Enter")
    keys.type("second line tag:keys")
    keys.press("Enter")
    expect(visit.answers()).to_contain_text(["[keys]"])
    visit.wait_for_rest()
    expect(visit.box()).to_have_value("")

    keys.press("Control+k")
    expect(page.get_by_role("searchbox", name="Search threads")).to_be_focused()
    keys.type("old")
    expect(page.get_by_role("link", name="An old one")).to_be_visible()
    page.get_by_role("link", name="An old one").focus()
    keys.press("Enter")
    expect(visit.questions()).to_have_text(["An old one"])
    keys.press("/")
    expect(visit.box()).to_be_focused()
    keys.press("Control+Shift+O")
    expect(visit.questions()).to_have_count(0)

    panel = page.get_by_role("complementary", name="Details")
    expect(panel).to_be_visible()
    keys.press("Control+Shift+P")
    expect(panel).to_have_count(0)
    keys.press("Control+Shift+P")
    expect(panel).to_be_visible()

    button = page.get_by_role("main").get_by_role("button", name="Show the code for this")
    button.focus()
    keys.press("?")
    expect(page.get_by_role("dialog", name="Keyboard shortcuts")).to_be_visible()
    keys.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(button).to_be_focused()


def test_a_link_skips_to_the_message(visit: Visit) -> None:
    page = visit.open()
    skip = page.get_by_role("link", name="Skip to the message")
    skip.focus()
    expect(skip).to_be_in_viewport()
    page.keyboard.press("Enter")
    expect(visit.box()).to_be_focused()


def test_escape_stops_the_answer(vera: LiveCaller, visit: Visit) -> None:
    with model(slowly(words(100), seconds=60, before=5)) as provider:
        vera.provided_by(provider.base_url)
        visit.open()
        visit.send("Say much")
        expect(visit.answers()).to_contain_text(["word3"])

        visit.page.keyboard.press("Escape")

        expect(visit.page.get_by_text("Stopped.", exact=True)).to_be_visible()


def test_a_menu_is_gone_through_with_arrows(vera: LiveCaller, visit: Visit) -> None:
    vera.thread("Named by its first words")
    page = visit.open()
    opener = page.get_by_role("button", name="Actions for “Named by its first words”")
    opener.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("menuitem", name="Rename")).to_be_focused()
    page.keyboard.press("ArrowDown")
    expect(page.get_by_role("menuitem", name="Archive")).to_be_focused()
    page.keyboard.press("End")
    expect(page.get_by_role("menuitem", name="Delete")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.get_by_role("menu")).to_have_count(0)
    expect(opener).to_be_focused()


def test_an_input_method_finishes_its_word_with_enter(vera: LiveCaller, visit: Visit) -> None:
    page = visit.open()
    visit.box().fill("にほん")
    for fields in ("isComposing: true", "keyCode: 229"):
        page.evaluate(
            "document.activeElement.dispatchEvent(new KeyboardEvent('keydown', "
            f"{{ key: 'Enter', bubbles: true, cancelable: true, {fields} }}))"
        )
    expect(visit.questions()).to_have_count(0)
    expect(visit.box()).to_have_value("にほん")
    assert "にほん" in visit.ask("にほん")


# --- Small screens ---------------------------------------------------------------------------------------------------


def nothing_sticks_out(page: Page) -> None:
    wide = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert wide[0] <= wide[1], page.evaluate("""[...document.querySelectorAll("body *")]
        .filter((each) => each.getBoundingClientRect().right > innerWidth + 1)
        .map((each) => each.outerHTML.slice(0, 120)).slice(0, 5)""")


@pytest.mark.parametrize("size", [PHONE, {"width": 360, "height": 640}], ids=["390", "360"])
def test_on_a_phone_everything_is_in_reach(size: dict[str, int], vera: LiveCaller, visiting: Visiting) -> None:
    vera.thread("W" * 200, "長い言葉" * 100)
    vera.assistant(name="An assistant with a long name " * 5)
    visit = visiting(vera, viewport=size, has_touch=True, is_mobile=True)
    page = visit.open()
    details = page.get_by_role("complementary", name="Details")
    expect(details).to_have_count(0)
    nothing_sticks_out(page)

    page.get_by_role("button", name="Threads", exact=True).tap()
    entry = page.get_by_role("link", name="W" * 40)
    expect(entry).to_be_in_viewport()
    nothing_sticks_out(page)
    entry.tap()
    expect(entry).not_to_be_in_viewport()
    expect(visit.questions()).to_have_count(2)
    nothing_sticks_out(page)

    for name in ("Assistant", "Run"):
        page.get_by_role("button", name=name, exact=True).tap()
        expect(details).to_be_in_viewport()
        nothing_sticks_out(page)
        page.get_by_role("button", name="Close the panel").tap()
        expect(details).to_have_count(0)

    page.get_by_role("main").get_by_role("button", name="Show the code for this").tap()
    expect(page.get_by_role("dialog")).to_be_in_viewport()
    nothing_sticks_out(page)
    page.get_by_role("dialog").get_by_role("button", name="Close").tap()
    with model(said(ANSWER + "\n" + "x" * 500 + " | 長い" * 200)) as provider:
        vera.provided_by(provider.base_url)
        visit.ask("Answer")
    nothing_sticks_out(page)
    page.goto("/#/usage")
    expect(page.get_by_role("heading", level=1, name="Usage")).to_be_visible()
    nothing_sticks_out(page)


# --- axe -------------------------------------------------------------------------------------------------------------


def is_accessible(page: Page, what: str) -> None:
    """No serious or critical issue, in light and in dark."""
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        page.evaluate(chromium.SETTLED)
        found: list[dict[str, Any]] = page.evaluate("axe.run({ resultTypes: ['violations'] })")["violations"]
        bad = [
            f"{what}, {scheme}: {each['id']}: {each['help']}: {node['html'][:160]} {node.get('failureSummary', '')}"
            for each in found
            if each["impact"] in ("serious", "critical")
            for node in each["nodes"][:3]
        ]
        assert not bad, "\n".join(bad)


def watched(visit: Visit) -> None:
    visit.page.add_init_script(path=AXE_FILE_PATH)


def test_signing_in_is_accessible(visiting: Visiting) -> None:
    visit = visiting()
    watched(visit)
    visit.page.goto("/")
    expect(visit.page.get_by_label("API token")).to_be_visible()
    is_accessible(visit.page, "signing in")


def test_every_view_is_accessible(vera: LiveCaller, visit: Visit) -> None:
    vera.assistant(name="Weather", model="demo", tools=[{"type": "function", "function": {"name": "get_weather"}}])
    watched(visit)
    page = visit.open()
    is_accessible(page, "start")
    visit.send("call:get_weather {}")
    form = page.get_by_role("form", name="A function waits for your answer")
    expect(form).to_be_visible()
    is_accessible(page, "a waiting function")
    form.get_by_role("textbox").fill("sunny")
    form.get_by_role("button", name="Submit").click()
    expect(visit.answers()).to_have_count(1)
    visit.wait_for_rest()
    page.get_by_role("button", name="Run", exact=True).click()
    is_accessible(page, "run")
    page.get_by_role("main").get_by_role("button", name="Show the code for this").click()
    expect(page.get_by_role("dialog")).to_be_visible()
    is_accessible(page, "code")
    page.keyboard.press("Escape")
    page.locator(".settings-button").click()
    is_accessible(page, "menu")
    page.keyboard.press("Escape")
    page.goto("/#/usage")
    expect(page.get_by_role("heading", level=1, name="Usage")).to_be_visible()
    expect(page.locator(".swatch").first).to_be_visible()  # the figures have come
    is_accessible(page, "usage")


def test_answers_are_accessible(vera: LiveCaller, visit: Visit) -> None:
    with model(said(ANSWER)) as provider:
        vera.provided_by(provider.base_url)
        watched(visit)
        page = visit.open()
        visit.ask("Answer")
    expect(visit.answers().locator(".katex").first).to_be_visible()
    expect(visit.answers().locator("code [class^=hljs]").first).to_be_visible()
    is_accessible(page, "an answer")


def test_a_small_screen_is_accessible(vera: LiveCaller, visiting: Visiting) -> None:
    vera.thread("One thread")
    visit = visiting(vera, viewport=PHONE)
    watched(visit)
    page = visit.open()
    is_accessible(page, "a phone")
    page.get_by_role("button", name="Threads", exact=True).click()
    is_accessible(page, "the list on a phone")
