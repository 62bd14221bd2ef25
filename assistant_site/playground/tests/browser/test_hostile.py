"""Texts that want to be more than text: shown, and nothing else. Every visit fails on what they would do."""

import json
import time
from typing import Any

from playwright.sync_api import Page, expect

from assistant_site.db import scope
from assistant_site.llm.tests.quirk_server import called, said
from assistant_site.playground.tests.browser import hostile
from assistant_site.playground.tests.browser.answers import model
from assistant_site.playground.tests.browser.visits import Visit
from assistant_site.tests.callers import LiveCaller
from threads.models import Message, Thread

LONGEST_READING = 15  # seconds, for two such texts on a busy machine
NAME = "<img src=x onerror=window.broken=1>"
# What a message may not bring into the page, wherever it stands.
INTRUDERS = """
() => [...document.querySelectorAll("script, iframe, object, embed, base, meta, style, link, form, a, img, use, input")]
  .filter((each) => each.closest(".said, .trail, .sidebar .thread, .bar-title, .panel"))
  .filter((each) => {
    if (each.matches("a")) return !/^(https?:|mailto:|#[/]threads[/])/.test(each.getAttribute("href") ?? "https:");
    if (each.matches("img")) return !/^(blob:|data:image[/](png|jpeg|gif|webp))/.test(each.src);
    return !each.matches("input, form");
  })
  .map((each) => each.outerHTML.slice(0, 200))
"""
HANDLERS = """
() => [...document.querySelectorAll(".said *, .trail *, .sidebar *")]
  .filter((each) => [...each.attributes].some(({ name }) => name.startsWith("on")))
  .map((each) => each.outerHTML.slice(0, 200))
"""


def is_untouched(page: Page) -> None:
    assert page.evaluate(INTRUDERS) == []
    assert page.evaluate(HANDLERS) == []
    assert page.evaluate("document.title") == page.title()
    expect(page.get_by_role("textbox", name="Message", exact=True)).to_be_visible()


def with_messages(caller: LiveCaller, texts: list[str]) -> str:
    """A thread in which each text was said by both sides."""
    thread = caller.thread()
    with scope.of_tenant(caller.tenant.pk):
        kept = Thread.objects.of(caller.tenant).get(pk=thread)
        for text in texts:
            for role in ("user", "assistant"):
                content: list[dict[str, Any]] = [{"type": "text", "text": {"value": text, "annotations": []}}]
                Message.objects.create(tenant=caller.tenant, thread=kept, role=role, content=content)
    return thread


def test_nothing_that_is_said_gets_into_the_page(vera: LiveCaller, visit: Visit) -> None:
    for start in range(0, len(hostile.TEXTS), 19):
        texts = hostile.TEXTS[start : start + 19]
        thread = with_messages(vera, texts)

        visit.open(thread)

        expect(visit.page.locator("article.message")).to_have_count(2 * len(texts))
        is_untouched(visit.page)


def test_nothing_gets_in_while_it_is_being_said(vera: LiveCaller, visit: Visit) -> None:
    """In pieces, cut where it hurts: half a tag, half a link."""
    text = "\n\n".join(hostile.TEXTS[:40])
    pieces = [text[at : at + 37] for at in range(0, len(text), 37)]
    with model(said(*pieces)) as provider:
        vera.provided_by(provider.base_url)
        visit.open()

        visit.ask("Attack")

        is_untouched(visit.page)


def test_names_titles_and_outputs_are_text(vera: LiveCaller, visit: Visit) -> None:
    file = vera.upload(hostile.NAMES[0], b"x")
    tools = [
        {"type": "file_search"},
        {"type": "function", "function": {"name": "look", "description": NAME, "parameters": {}}},
    ]
    assistant = vera.assistant(name=NAME, description=NAME, instructions=NAME, metadata={"x": NAME}, tools=tools)
    thread = str(vera.post("threads", {"title": NAME})["id"])
    attachments = [{"file_id": file, "tools": [{"type": "file_search"}]}]
    vera.post(f"threads/{thread}/messages", {"role": "user", "content": "Look", "attachments": attachments})
    with model(called(("look", json.dumps({NAME: NAME}))), said("Seen")) as provider:
        vera.provided_by(provider.base_url)
        run = vera.run(thread, assistant)
        [call] = run["required_action"]["submit_tool_outputs"]["tool_calls"]
        page = visit.open(thread)
        expect(page.get_by_role("heading", level=1)).to_have_text(NAME)
        form = page.get_by_role("form", name="A function waits for your answer")
        expect(form).to_contain_text(NAME)
        is_untouched(page)

        form.get_by_role("textbox").fill(NAME)
        form.get_by_role("button", name="Submit").click()

        expect(visit.answers().last).to_have_text("Seen")
    page.get_by_role("list", name="Tools").locator("summary").last.click()
    expect(page.get_by_role("list", name="Tools")).to_contain_text(NAME)
    page.get_by_role("button", name="Run", exact=True).click()
    expect(page.get_by_role("tabpanel", name="Run")).to_contain_text("look")
    is_untouched(page)
    assert call["function"]["name"] == "look"


def test_what_takes_other_readers_minutes_is_shown_in_time(vera: LiveCaller, visit: Visit) -> None:
    visit.open()
    for number, text in enumerate(hostile.LONG):
        thread = with_messages(vera, [text])
        begun = time.monotonic()

        visit.open(thread)

        expect(visit.page.locator("article.message")).to_have_count(2)
        visit.box().fill(f"still there {number}")
        assert time.monotonic() - begun < LONGEST_READING, text[:20]
