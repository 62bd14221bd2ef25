"""The list of threads, long ones, and what can be done to a message that was sent."""

from typing import Any

from playwright.sync_api import Locator, Page, expect

from assistant_site.db import scope
from assistant_site.llm.tests.quirk_server import refusing, said
from assistant_site.playground.tests.browser.answers import model
from assistant_site.playground.tests.browser.visits import Visit, plain
from assistant_site.tests.callers import LiveCaller
from threads.models import Message, Thread

# The longest task that the page has done since, in milliseconds: while it lasts, no frame is drawn.
WATCH_TASKS = """
globalThis.longest = 0;
new PerformanceObserver((list) => {
  for (const { duration } of list.getEntries()) longest = Math.max(longest, duration);
}).observe({ type: "longtask" });
"""
LONGEST_TASK = 1_500  # on a machine that does other things too


def in_list(visit: Visit, title: str) -> Locator:
    return visit.page.get_by_role("navigation", name="Threads").get_by_role("link", name=title, exact=True)


def test_threads_are_renamed_archived_found_and_deleted(vera: LiveCaller, visit: Visit) -> None:
    thread = vera.thread("What is a hash table?")
    vera.thread("Something else")
    visit.open()
    page = visit.page

    visit.menu("What is a hash table?", "Rename")
    page.get_by_role("dialog").get_by_label("Title").fill("Data structures")
    page.get_by_role("dialog").get_by_role("button", name="Rename").click()
    expect(in_list(visit, "Data structures")).to_be_visible()
    assert vera.get(f"threads/{thread}")["title"] == "Data structures"

    search = page.get_by_role("searchbox", name="Search threads")
    search.fill("HASH")  # said in it, not in its title
    expect(in_list(visit, "Something else")).to_have_count(0)
    expect(in_list(visit, "Data structures")).to_be_visible()
    search.fill("nobody said this")
    expect(page.get_by_text("No thread has these words.")).to_be_visible()
    search.fill("")

    visit.menu("Data structures", "Archive")
    expect(in_list(visit, "Data structures")).to_have_count(0)
    page.get_by_role("button", name="Settings", exact=True).or_(page.locator(".settings-button")).first.click()
    page.get_by_role("menuitem", name="Archived threads").click()
    expect(in_list(visit, "Data structures")).to_be_visible()
    visit.menu("Data structures", "Take out of the archive")
    page.get_by_role("button", name="Back", exact=True).click()
    expect(in_list(visit, "Data structures")).to_be_visible()

    in_list(visit, "Data structures").click()
    expect(visit.questions()).to_have_count(1)
    visit.menu("Data structures", "Delete")
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(in_list(visit, "Data structures")).to_have_count(0)
    expect(visit.questions()).to_have_count(0)
    expect(visit.box()).to_be_visible()
    assert vera.get(f"threads/{thread}").status == 404


def test_a_message_is_edited_and_sent_again(vera: LiveCaller, visit: Visit) -> None:
    visit.open()
    visit.ask("First tag:one")
    visit.ask("Second tag:two")
    first = visit.page.locator("article.user").first
    first.hover()
    first.get_by_role("button", name="Edit and send again").click()
    editor = visit.page.get_by_role("textbox", name="Edit the message")
    expect(editor).to_have_value("First tag:one")

    editor.fill("Better tag:better")
    visit.page.get_by_role("button", name="Send again", exact=True).click()

    expect(visit.answers().last).to_contain_text("[better]")
    visit.wait_for_rest()
    expect(visit.page.locator("article.message")).to_have_count(2)
    assert [each["role"] for each in vera.messages(visit.thread())] == ["user", "assistant"]


def test_an_answer_is_asked_for_again(vera: LiveCaller, visit: Visit) -> None:
    visit.open()
    visit.ask("Say it")
    before = vera.messages(visit.thread())
    question = visit.page.locator("article.user")
    question.hover()

    question.get_by_role("button", name="Ask again").click()

    expect(visit.page.locator(f"[data-id={before[1]['id']}]")).to_have_count(0)
    expect(visit.answers()).to_have_count(1)
    visit.wait_for_rest()
    after = vera.messages(visit.thread())
    assert [each["id"] for each in after[:1]] == [before[0]["id"]]
    assert len(after) == 2


def test_a_run_that_failed_says_why_and_is_tried_again(vera: LiveCaller, visit: Visit) -> None:
    with model(refusing(400, message="This model speaks on Sundays only."), said("Now I speak.")) as provider:
        vera.provided_by(provider.base_url)
        visit.open()
        visit.send("Speak")
        alert = visit.page.get_by_role("main").get_by_role("alert")
        expect(alert).to_contain_text("This model speaks on Sundays only.")

        visit.page.get_by_role("button", name="Try again").click()

        expect(visit.answers()).to_have_text(["Now I speak."])
        expect(alert).to_have_count(0)


# --- A long thread ---------------------------------------------------------------------------------------------------


def long_thread(caller: LiveCaller, count: int = 1_000) -> str:
    """Written into the database: by the API it takes a minute."""
    thread = caller.thread("Begin")
    with scope.of_tenant(caller.tenant.pk):
        kept = Thread.objects.of(caller.tenant).get(pk=thread)
        made = [
            Message(
                tenant=caller.tenant,
                thread=kept,
                role="user" if number % 2 else "assistant",
                content=text_part(f"Number {number}. " + "Some words of it. " * (number % 7)),
            )
            for number in range(1, count)
        ]
        Message.objects.across_tenants().bulk_create(made)
    return thread


def text_part(text: str) -> list[dict[str, Any]]:
    return [{"type": "text", "text": {"value": text, "annotations": []}}]


def scroll_of(page: Page) -> Locator:
    return page.get_by_role("region", name="Messages")


def test_a_thread_of_a_thousand_messages_is_read_from_its_end(vera: LiveCaller, visit: Visit) -> None:
    thread = long_thread(vera)
    visit.page.add_init_script(WATCH_TASKS)
    visit.open(thread)
    page = visit.page
    expect(page.get_by_text("Number 999.")).to_be_in_viewport()
    articles = page.locator("article.message")
    assert articles.count() < 200

    # Up, screen by screen: older pages come in, and what is being read stays where it is.
    scroll_of(page).hover()
    for number in (960, 920):
        before = articles.count()
        anchor = page.get_by_text(f"Number {number}.")
        anchor.scroll_into_view_if_needed()
        expect(anchor).to_be_in_viewport()
        expect(articles).not_to_have_count(before)
        expect(anchor).to_be_in_viewport()
    reached = page.evaluate("""async () => {
        const scroll = document.querySelector(".scroll");
        let count = 0;
        for (let turn = 0; turn < 3000 && count < 1000; turn++) {
          scroll.scrollTop = 0;
          await new Promise((done) => setTimeout(done, 20));
          count = document.querySelectorAll("article.message").length;
        }
        return count;
    }""")
    assert reached == 1_000
    expect(visit.questions().first).to_have_text("Begin")
    assert page.evaluate("longest") < LONGEST_TASK

    # Writing here is as quick as ever, and an answer brings the end into sight.
    answer = visit.ask("And now? tag:end")
    assert answer.startswith("[end]")
    expect(visit.answers().last).to_be_in_viewport()
    [newest] = vera.get(f"threads/{thread}/messages?limit=1")["data"]
    assert plain(newest["content"][0]["text"]["value"]) == answer


def test_the_list_of_threads_comes_in_pages(vera: LiveCaller, visit: Visit) -> None:
    first = vera.thread("The very first one")
    for number in range(45):
        vera.thread(f"Thread {number}")
    visit.open()
    expect(in_list(visit, "Thread 44")).to_be_visible()
    assert in_list(visit, "The very first one").count() == 0

    # Not `click`: it scrolls to the button, and scrolling there loads the page by itself, which takes the button away.
    visit.page.get_by_role("button", name="Older threads").dispatch_event("click")

    in_list(visit, "The very first one").click()
    expect(visit.questions()).to_have_text(["The very first one"])
    assert visit.thread() == first


def test_a_thread_that_is_gone_says_so(vera: LiveCaller, visit: Visit) -> None:
    visit.expects("status of 404")
    thread = vera.thread("Gone")
    vera.delete(f"threads/{thread}")

    visit.open(thread)

    expect(visit.page.get_by_role("main").get_by_role("alert")).to_contain_text(thread)
