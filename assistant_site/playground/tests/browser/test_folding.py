"""The page's own law of folding: a stream that is put together by `core/fold.js` equals what REST answers."""

import json
from typing import Any

import pytest
from playwright.sync_api import Page

from assistant_site.playground.tests.browser.conftest import sandbox_is_built
from assistant_site.playground.tests.browser.visits import Visit
from assistant_site.tests.callers import Event, LiveCaller

FOLD = """
async (events) => {
  const base = JSON.parse(document.getElementById("settings").textContent).assets;
  const prefix = base.endsWith("/") ? base : `${base}/`;
  const { foldMessage, foldStep } = await import(`${prefix}core/fold.js`);
  const objects = {};
  for (const { name, data } of events) {
    if (name === "thread.message.delta") objects[data.id] = foldMessage(objects[data.id], data.delta);
    else if (name === "thread.run.step.delta") objects[data.id] = foldStep(objects[data.id], data.delta);
    else if (/^thread[.](message|run[.]step)[.](created|in_progress)$/.test(name)) objects[data.id] ??= data;
  }
  return objects;
}
"""
WEATHER = {"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object", "properties": {}}}}


def folded(page: Page, events: list[Event]) -> dict[str, Any]:
    told = [{"name": each.name, "data": each.data} for each in events]
    found: dict[str, Any] = page.evaluate(FOLD, told)
    return found


def same_content(found: dict[str, Any], message: dict[str, Any]) -> None:
    assert found[message["id"]]["content"] == message["content"], json.dumps(found[message["id"]], indent=1)


def same_calls(found: dict[str, Any], step: dict[str, Any]) -> None:
    """Of deltas alone; what only the end tells (a function's output) comes with the step's last event."""
    calls = step["step_details"]["tool_calls"]
    mine = found[step["id"]]["step_details"]["tool_calls"]
    assert [each["id"] for each in mine] == [each["id"] for each in calls]
    for one, other in zip(mine, calls, strict=True):
        if other["type"] == "function":
            for name in ("name", "arguments"):
                assert one["function"][name] == other["function"][name]
        else:
            assert one["code_interpreter"] == other["code_interpreter"]


def test_text_and_function_calls_fold(vera: LiveCaller, visit: Visit) -> None:
    visit.open()
    assistant = vera.assistant(tools=[WEATHER], model="demo")
    thread = vera.thread(
        'The weather?\ncall:get_weather {"city": "東京 “x”"}\ncall:get_weather {"city": "Ulm", "days": [1, 2]}'
    )

    events = vera.stream(f"threads/{thread}/runs", {"assistant_id": assistant})
    run = vera.get(f"threads/{thread}/runs")["data"][0]
    calls = run["required_action"]["submit_tool_outputs"]["tool_calls"]
    outputs = [{"tool_call_id": each["id"], "output": "sunny"} for each in calls]
    events += vera.stream(f"threads/{thread}/runs/{run['id']}/submit_tool_outputs", {"tool_outputs": outputs})

    found = folded(visit.page, events)
    [first, _] = vera.steps(thread, run["id"])
    same_calls(found, first)
    same_content(found, vera.messages(thread)[-1])


def test_citations_fold(vera: LiveCaller, visit: Visit) -> None:
    visit.open()
    store, file = vera.store(), vera.upload("rivers.txt", "The Rhine is 1,233 km long. 莱茵河很长。".encode())
    vera.post(f"vector_stores/{store}/files", {"file_id": file})
    vera.indexed(store, file)
    resources = {"file_search": {"vector_store_ids": [store]}}
    assistant = vera.assistant(tools=[{"type": "file_search"}], tool_resources=resources, model="demo")
    thread = vera.thread("How long is the Rhine?")

    events = vera.stream(f"threads/{thread}/runs", {"assistant_id": assistant})

    message = vera.messages(thread)[-1]
    assert message["content"][0]["text"]["annotations"]
    same_content(folded(visit.page, events), message)


@pytest.mark.skipif(not sandbox_is_built(), reason="the code interpreter's Python is not built (make sandbox)")
def test_code_folds(vera: LiveCaller, visit: Visit) -> None:
    visit.open()
    assistant = vera.assistant(tools=[{"type": "code_interpreter"}], model="demo")
    code = "print('one')\nimport matplotlib.pyplot as plt\nplt.plot([1, 3])\nplt.show()\nprint('二')"
    thread = vera.thread(f"Draw\ncall:code_interpreter {json.dumps({'code': code})}")

    events = vera.stream(f"threads/{thread}/runs", {"assistant_id": assistant})

    run = vera.get(f"threads/{thread}/runs")["data"][0]["id"]
    found = folded(visit.page, events)
    step = vera.steps(thread, run)[0]
    assert {each["type"] for each in step["step_details"]["tool_calls"][0]["code_interpreter"]["outputs"]} >= {"logs"}
    same_calls(found, step)
    same_content(found, vera.messages(thread)[-1])
