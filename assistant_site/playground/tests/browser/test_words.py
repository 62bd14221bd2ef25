"""Languages: what people write, and what the page says."""

import pytest
from playwright.sync_api import expect

from assistant_site.llm.tests.quirk_server import said
from assistant_site.playground.tests.browser.answers import model
from assistant_site.playground.tests.browser.test_reach import nothing_sticks_out
from assistant_site.playground.tests.browser.visits import Visit, Visiting, plain
from assistant_site.tests.callers import LiveCaller

CHINESE = "你好！请介绍一下长江。"
JAPANESE = "こんにちは。隅田川について教えてください。"
ANSWER = "長江（ちょうこう）は**6,300 km**です。\n\n| 河流 | 长度 |\n| --- | --- |\n| 长江 | 6,300 公里 |"


def test_chinese_and_japanese_are_written_titled_and_found(vera: LiveCaller, visit: Visit) -> None:
    with model(said(*ANSWER)) as provider:
        vera.provided_by(provider.base_url)
        page = visit.open()
        answer = visit.ask(CHINESE)
        assert answer == plain("長江（ちょうこう）は6,300 kmです。 河流 长度 长江 6,300 公里")
        page.keyboard.press("Control+Shift+O")
        visit.ask(JAPANESE)

    threads = page.get_by_role("navigation", name="Threads")
    expect(threads.get_by_role("link")).to_have_text([JAPANESE, CHINESE])
    page.get_by_role("searchbox", name="Search threads").fill("隅田川")
    expect(threads.get_by_role("link")).to_have_text([JAPANESE])


@pytest.mark.parametrize(("locale", "tag"), [("en-GB", "en"), ("zh-CN", "zh-CN"), ("zh-TW", "zh-CN"), ("ja-JP", "ja")])
def test_the_page_speaks_the_browsers_language(locale: str, tag: str, vera: LiveCaller, visiting: Visiting) -> None:
    visit = visiting(vera, locale=locale, viewport={"width": 360, "height": 640})
    visit.page.goto("/")

    expect(visit.page.locator("#message")).to_be_visible()

    expect(visit.page.locator("html")).to_have_attribute("lang", tag)
    expect(visit.page.get_by_text("What shall we talk about?")).to_have_count(int(tag == "en"))
    nothing_sticks_out(visit.page)


def test_a_language_that_is_chosen_stays(vera: LiveCaller, visit: Visit) -> None:
    page = visit.open()
    page.locator(".settings-button").click()
    page.get_by_role("menuitemradio", name="日本語").click()
    expect(page.locator("html")).to_have_attribute("lang", "ja")
    expect(page.get_by_role("button", name="New thread")).to_have_count(0)

    page.reload()

    expect(page.locator("html")).to_have_attribute("lang", "ja")
    page.locator(".settings-button").click()
    page.get_by_role("menuitemradio", name="English").click()
    expect(page.get_by_role("button", name="New thread")).to_be_visible()
