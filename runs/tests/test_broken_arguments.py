"""A model whose calls have arguments that are no JSON object: it is told once, then the run fails."""

import pytest

from assistant_site.llm.tests.quirk_server import QuirkServer, called, delta, said, streaming
from assistant_site.tests.callers import LiveCaller
from runs.models import Run
from runs.tests.folding import Folded, shape

FUNCTION = {"type": "function", "function": {"name": "lookup", "parameters": {"type": "object", "properties": {}}}}
CUT_OFF = '{"city": "Bei'


@pytest.mark.parametrize(
    ("arguments", "flaw"),
    [
        (CUT_OFF, "Unterminated string starting at: line 1 column 10 (char 9)"),
        ("city=Beijing", "Expecting value: line 1 column 1 (char 0)"),
        ('["Beijing"]', "not an object"),
        ('{"x": Infinity}', "Infinity is not a JSON value"),
    ],
)
def test_the_model_is_told_what_is_wrong_and_goes_on(lena: LiveCaller, arguments: str, flaw: str) -> None:
    with QuirkServer(called(("lookup", arguments)), said("Beijing it is.")) as provider:
        lena.provided_by(provider.base_url)
        thread = lena.thread("Go")
        events = lena.stream(f"threads/{thread}/runs", {"assistant_id": lena.assistant(tools=[FUNCTION])})
        assistant, output = provider.requests[1].body["messages"][-2:]

    assert "run.requires_action" not in shape(events)
    assert shape(events)[-1:] == ["done"]
    folded = Folded(events)
    folded.equals_rest(lena)
    assert folded.run["status"] == "completed"
    assert lena.last_text(thread) == "Beijing it is."
    assert assistant["tool_calls"][0]["function"] == {"name": "lookup", "arguments": "{}"}
    assert (output["role"], output["tool_call_id"]) == ("tool", "call_0")
    assert flaw in output["content"]
    assert arguments in output["content"]
    step = next(step for step in folded.steps.values() if step["type"] == "tool_calls")
    [call] = step["step_details"]["tool_calls"]
    assert call["function"] == {"name": "lookup", "arguments": arguments, "output": output["content"]}


def test_good_calls_beside_it_go_their_usual_way(lena: LiveCaller) -> None:
    turn = called(("lookup", '{"city": "Tokyo"}'), ("lookup", CUT_OFF), ("nothing", CUT_OFF))
    with QuirkServer(turn, said("Done.")) as provider:
        lena.provided_by(provider.base_url)
        thread = lena.thread("Go")
        run = lena.run(thread, lena.assistant(tools=[FUNCTION]))
        [pending] = run["required_action"]["submit_tool_outputs"]["tool_calls"]
        assert pending["function"] == {"name": "lookup", "arguments": '{"city": "Tokyo"}'}
        path = f"threads/{thread}/runs/{run['id']}/submit_tool_outputs"
        events = lena.stream(path, {"tool_outputs": [{"tool_call_id": pending["id"], "output": "sunny"}]})
        good, broken, unknown = [m["content"] for m in provider.requests[1].body["messages"] if m["role"] == "tool"]

    folded = Folded(events)
    folded.equals_rest(lena)
    assert folded.run["status"] == "completed"
    assert good == "sunny"
    assert "Unterminated string" in broken
    assert unknown == "There is no tool named 'nothing'."


def test_the_second_time_ends_the_run(lena: LiveCaller) -> None:
    with QuirkServer(called(("lookup", CUT_OFF)), called(("nothing", "{}")), called(("lookup", "no"))) as provider:
        lena.provided_by(provider.base_url)
        thread = lena.thread("Go")
        events = lena.stream(f"threads/{thread}/runs", {"assistant_id": lena.assistant(tools=[FUNCTION])})
        assert len(provider.requests) == 3

    assert shape(events)[-3:] == ["run.step.completed", "run.failed", "done"]
    folded = Folded(events)
    folded.equals_rest(lena)
    message = "The model called 'lookup' with arguments that are not valid JSON, twice."
    assert folded.run["last_error"] == {"code": "server_error", "message": message}
    assert folded.run["usage"]["total_tokens"] == sum(s["usage"]["total_tokens"] for s in folded.steps.values())
    outputs = [step["step_details"]["tool_calls"][0]["function"]["output"] for step in folded.steps.values()]
    assert "Expecting value" in outputs[-1]
    assert lena.post(f"threads/{thread}/messages", {"role": "user", "content": "next"}).status == 200


def test_a_run_that_comes_back_from_its_caller_remembers_the_first_time(lena: LiveCaller) -> None:
    first = called(("lookup", "{}"), ("lookup", CUT_OFF))
    with QuirkServer(first, called(("lookup", CUT_OFF))) as provider:
        lena.provided_by(provider.base_url)
        thread = lena.thread("Go")
        run = lena.run(thread, lena.assistant(tools=[FUNCTION]))
        path = f"threads/{thread}/runs/{run['id']}/submit_tool_outputs"
        lena.post(path, {"tool_outputs": [{"tool_call_id": "call_0", "output": "sunny"}]})
        ended = lena.settled(thread, run["id"])
        assert len(provider.requests) == 2

    assert (ended["status"], ended["last_error"]["code"]) == ("failed", "server_error")
    assert ended["last_error"]["message"].endswith("twice.")


def test_the_next_run_begins_anew(lena: LiveCaller) -> None:
    broken = called(("lookup", CUT_OFF))
    with QuirkServer(broken, said("One."), broken, said("Two.")) as provider:
        lena.provided_by(provider.base_url)
        thread, assistant = lena.thread("Go"), lena.assistant(tools=[FUNCTION])
        assert lena.run(thread, assistant)["status"] == "completed"
        assert lena.run(thread, assistant)["status"] == "completed"


def test_a_made_up_tool_is_answered_whatever_its_arguments(lena: LiveCaller) -> None:
    made_up = called(("nothing", CUT_OFF))
    with QuirkServer(made_up, made_up, called(("lookup", "{}"))) as provider:
        lena.provided_by(provider.base_url)
        run = lena.run(lena.thread("Go"), lena.assistant(tools=[FUNCTION]))

    assert run["status"] == "requires_action"


def test_a_tool_without_arguments_is_called(lena: LiveCaller) -> None:
    with QuirkServer(called(("lookup", ""))) as provider:
        lena.provided_by(provider.base_url)
        run = lena.run(lena.thread("Go"), lena.assistant(tools=[FUNCTION]))

    [call] = run["required_action"]["submit_tool_outputs"]["tool_calls"]
    assert call["function"]["arguments"] == "{}"


def test_arguments_cut_by_the_length_end_the_run_incomplete(lena: LiveCaller) -> None:
    with QuirkServer(called(("lookup", CUT_OFF), finish="length")) as provider:
        lena.provided_by(provider.base_url)
        thread = lena.thread("Go")
        events = lena.stream(f"threads/{thread}/runs", {"assistant_id": lena.assistant(tools=[FUNCTION])})
        assert len(provider.requests) == 1

    folded = Folded(events)
    folded.equals_rest(lena)
    assert folded.run["incomplete_details"] == {"reason": "max_completion_tokens"}


def test_calls_stopped_by_the_content_filter_are_not_handed_on(lena: LiveCaller) -> None:
    with QuirkServer(called(("lookup", "{}"), finish="content_filter")) as provider:
        lena.provided_by(provider.base_url)
        thread = lena.thread("Go")
        events = lena.stream(f"threads/{thread}/runs", {"assistant_id": lena.assistant(tools=[FUNCTION])})

    assert shape(events)[-3:] == ["run.step.failed", "run.failed", "done"]
    folded = Folded(events)
    folded.equals_rest(lena)
    assert "content filter" in folded.run["last_error"]["message"]


def test_text_behind_calls_is_neither_told_nor_sent_back(lena: LiveCaller) -> None:
    piece = {"index": 0, "id": "c", "type": "function", "function": {"name": "lookup", "arguments": "{}"}}
    turn = streaming(delta(content="Before."), delta(tool_calls=[piece]), delta(content="Behind."), delta("tool_calls"))
    with QuirkServer(turn, said("Done.")) as provider:
        lena.provided_by(provider.base_url)
        thread = lena.thread("Go")
        run = lena.run(thread, lena.assistant(tools=[FUNCTION]))
        path = f"threads/{thread}/runs/{run['id']}/submit_tool_outputs"
        events = lena.stream(path, {"tool_outputs": [{"tool_call_id": "c", "output": ""}]})
        sent = provider.requests[1].body["messages"]

    Folded(events).equals_rest(lena)
    assert [message["content"][0]["text"]["value"] for message in lena.messages(thread)[1:]] == ["Before.", "Done."]
    assert [message["content"] for message in sent if message["role"] == "assistant"] == ["Before."]
    assert Run.objects.of(lena.tenant).get(pk=run["id"]).turns == 2
