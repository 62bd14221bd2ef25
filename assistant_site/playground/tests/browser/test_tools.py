"""Tools in the conversation: functions answered by hand, files that are cited, code that draws."""

import json

import pytest
from playwright.sync_api import FilePayload, expect

from assistant_site.playground.tests.browser.conftest import sandbox_is_built
from assistant_site.playground.tests.browser.visits import Visit
from assistant_site.tests.callers import LiveCaller

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
TWO_CITIES = 'The weather?\ncall:get_weather {"city": "Beijing"}\ncall:get_weather {"city": "東京"}'
RIVERS = "Rivers of Europe.\n\nThe Rhine is 1,233 kilometres long.\n\nThe Danube is 2,850 kilometres long.\n"
RIVERS_FILE: FilePayload = {"name": "rivers.txt", "mimeType": "text/plain", "buffer": RIVERS.encode()}


def test_a_function_is_answered_by_hand(vera: LiveCaller, visit: Visit) -> None:
    vera.assistant(name="Weather", model="demo", tools=[WEATHER])
    visit.open()
    visit.send(TWO_CITIES)
    form = visit.page.get_by_role("form", name="2 functions wait for your answers")
    answers = form.get_by_role("textbox", name="Answer of get_weather")
    expect(answers).to_have_count(2)
    expect(answers.first).to_be_focused()
    expect(form).to_contain_text("The weather of a city.")
    expect(form).to_contain_text("東京")

    answers.first.fill('{"sky": "blue"}')
    visit.page.reload()
    expect(answers.first).to_have_value('{"sky": "blue"}')  # what was written survives
    answers.last.fill("rain <b>soon</b>")
    answers.last.press("Control+Enter")

    expect(visit.answers().last).to_contain_text("rain <b>soon</b>")
    expect(form).to_have_count(0)
    visit.wait_for_rest()
    [run] = vera.get(f"threads/{visit.thread()}/runs")["data"]
    [step, _] = vera.steps(visit.thread(), run["id"])
    outputs = [each["function"]["output"] for each in step["step_details"]["tool_calls"]]
    assert outputs == ['{"sky": "blue"}', "rain <b>soon</b>"]


def test_a_file_may_be_the_first_thing_that_is_sent(vera: LiveCaller, visit: Visit) -> None:
    page = visit.open()
    page.get_by_label("Add files", exact=True).set_input_files([RIVERS_FILE])
    send = page.get_by_role("button", name="Send", exact=True)
    send.click()

    page.get_by_role("button", name="Turn on file search").click()
    send.click()

    expect(visit.answers()).to_have_count(1)
    [assistant] = vera.get("assistants")["data"]
    assert [tool["type"] for tool in assistant["tools"]] == ["file_search"]


def test_a_run_that_waits_can_be_stopped(vera: LiveCaller, visit: Visit) -> None:
    vera.assistant(name="Weather", model="demo", tools=[WEATHER])
    visit.open()
    visit.send('call:get_weather {"city": "Ulm"}')
    form = visit.page.get_by_role("form", name="A function waits for your answer")

    form.get_by_role("button", name="Stop the run").click()

    expect(form).to_have_count(0)
    expect(visit.page.get_by_text("Stopped.", exact=True)).to_be_visible()
    expect(visit.box()).to_be_editable()


def test_a_file_is_uploaded_searched_and_cited(vera: LiveCaller, visit: Visit) -> None:
    vera.assistant(name="Reader", model="demo", tools=[{"type": "file_search"}])
    visit.open()
    page = visit.page
    page.get_by_label("Add files", exact=True).set_input_files([RIVERS_FILE])
    expect(page.get_by_role("list", name="Files of this message")).to_contain_text("rivers.txt")
    expect(page.get_by_role("progressbar")).to_have_count(0)

    answer = visit.ask("How long is the Rhine?")

    assert "1,233 kilometres" in answer
    assert "【" not in answer
    expect(page.get_by_role("list", name="Attached files")).to_contain_text("rivers.txt")
    page.get_by_role("button", name="Source 1").first.click()
    passage = page.get_by_role("dialog")
    expect(passage).to_contain_text("rivers.txt")
    expect(passage).to_contain_text("The Rhine is 1,233 kilometres long.")
    with page.expect_download() as saved:
        passage.get_by_role("button", name="Download").first.click()
    assert saved.value.path().read_text() == RIVERS
    page.keyboard.press("Escape")
    expect(passage).to_have_count(0)
    expect(page.get_by_role("button", name="Source 1").first).to_be_focused()


def test_a_file_that_no_tool_reads_is_not_sent_without_a_word(vera: LiveCaller, visit: Visit) -> None:
    vera.assistant(name="Talker", model="demo")
    visit.open()
    page = visit.page
    page.get_by_label("Add files", exact=True).set_input_files([RIVERS_FILE])

    page.get_by_role("button", name="Turn on file search").click()

    expect(page.get_by_role("progressbar")).to_have_count(0)
    answer = visit.ask("How long is the Danube?")
    assert "2,850" in answer
    [assistant] = vera.get("assistants")["data"]
    assert [each["type"] for each in assistant["tools"]] == ["file_search"]


@pytest.mark.skipif(not sandbox_is_built(), reason="the code interpreter's Python is not built (make sandbox)")
def test_code_draws_a_picture_and_writes_a_file(vera: LiveCaller, visit: Visit) -> None:
    vera.assistant(name="Coder", model="demo", tools=[{"type": "code_interpreter"}])
    visit.open()
    page = visit.page
    code = "\n".join(
        [
            "import matplotlib.pyplot as plt",
            "plt.plot([1, 3, 2])",
            "plt.show()",
            "open('/mnt/data/answer.csv', 'w').write('answer\\n42\\n')",
            "print(40 + 2, '<img src=x onerror=hacked()>')",
            "print('sandbox:/mnt/data/answer.csv')",
        ]
    )
    answer = visit.ask(f"Draw something.\ncall:code_interpreter {json.dumps({'code': code})}")
    assert "42" in answer

    calls = page.get_by_role("list", name="Tools")
    expect(calls.get_by_role("listitem")).to_have_count(1)
    calls.locator("summary").click()
    expect(calls).to_contain_text("plt.plot([1, 3, 2])")
    expect(calls).to_contain_text("42 <img src=x onerror=hacked()>")
    picture = calls.get_by_role("img").last
    expect(picture).to_be_visible()
    expect(picture).to_have_js_property("complete", True)
    assert picture.evaluate("(each) => each.naturalWidth") > 100
    with page.expect_download() as saved:
        visit.answers().last.get_by_role("button", name="answer.csv").first.click()
    assert saved.value.path().read_text() == "answer\n42\n"


def test_the_run_panel_tells_what_happened(vera: LiveCaller, visit: Visit) -> None:
    vera.assistant(name="Weather", model="demo", tools=[WEATHER])
    visit.open()
    visit.send('call:get_weather {"city": "Ulm"}')
    form = visit.page.get_by_role("form", name="A function waits for your answer")
    form.get_by_role("textbox").fill("sunny")
    form.get_by_role("button", name="Submit").click()
    expect(visit.answers()).to_have_count(1)
    visit.wait_for_rest()
    page = visit.page
    page.locator("article.assistant").last.hover()

    page.locator("article.assistant").last.get_by_role("button", name="What happened in the run").click()

    panel = page.get_by_role("tabpanel", name="Run")
    [run] = vera.get(f"threads/{visit.thread()}/runs")["data"]
    expect(panel).to_contain_text(run["id"])
    expect(panel).to_contain_text("get_weather")
    expect(panel).to_contain_text(f"{run['usage']['total_tokens']:,}")
