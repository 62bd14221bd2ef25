"""Streamed runs: the exact order of events, and that they tell what was stored."""

from itertools import groupby

from assistant_site.llm.tests.quirk_server import QuirkServer, called, delta, said, streaming
from assistant_site.tests.callers import Event, LiveCaller
from runs.tests.folding import Folded, shape

FUNCTION = {"type": "function", "function": {"name": "lookup", "parameters": {"type": "object", "properties": {}}}}
TEXT = [
    "run.step.created",
    "run.step.in_progress",
    "message.created",
    "message.in_progress",
    "message.delta",
    "message.completed",
    "run.step.completed",
    "run.completed",
    "done",
]


def test_plain_text(lena: LiveCaller) -> None:
    thread = lena.thread("Hello")
    events = lena.stream(f"threads/{thread}/runs", {"assistant_id": lena.assistant(model="demo")})

    assert shape(events) == ["run.created", "run.queued", "run.in_progress", *TEXT]
    assert [event.data["status"] for event in events[:3]] == ["queued", "queued", "in_progress"]
    deltas = [event.data["delta"]["content"] for event in events if event.name == "thread.message.delta"]
    assert len(deltas) > 3
    assert deltas[0][0]["text"]["annotations"] == []
    assert all("annotations" not in delta[0]["text"] for delta in deltas[1:])
    folded = Folded(events)
    folded.equals_rest(lena)
    assert folded.run["usage"]["total_tokens"] > 0
    assert folded.run["expires_at"] is None
    assert next(iter(folded.steps.values()))["usage"]["total_tokens"] == folded.run["usage"]["total_tokens"]


def test_create_and_run_begins_with_the_thread(lena: LiveCaller) -> None:
    body = {"assistant_id": lena.assistant(), "thread": {"messages": [{"role": "user", "content": "Hi"}]}}
    events = lena.stream("threads/runs", body)

    assert shape(events) == ["created", "run.created", "run.queued", "run.in_progress", *TEXT]
    assert events[0].name == "thread.created"
    assert lena.get(f"threads/{events[0].data['id']}").body == events[0].data
    Folded(events).equals_rest(lena)


def test_function_calls_and_their_outputs(lena: LiveCaller) -> None:
    thread = lena.thread('call:lookup {"key": "first"}\ncall:lookup {"key": "second"}')
    assistant = lena.assistant(tools=[FUNCTION])
    events = lena.stream(f"threads/{thread}/runs", {"assistant_id": assistant})

    assert shape(events) == [
        "run.created",
        "run.queued",
        "run.in_progress",
        "run.step.created",
        "run.step.in_progress",
        "run.step.delta",
        "run.requires_action",
        "done",
    ]
    deltas = [e.data["delta"]["step_details"]["tool_calls"][0] for e in events if e.name == "thread.run.step.delta"]
    openings = [call for call in deltas if "id" in call]
    assert [call["index"] for call in openings] == [0, 1]
    assert all(call["function"] == {"name": "lookup", "arguments": "", "output": None} for call in openings)
    folded = Folded(events)
    folded.equals_rest(lena)
    run = folded.run
    assert run["usage"] is None
    calls = run["required_action"]["submit_tool_outputs"]["tool_calls"]
    assert [call["function"]["arguments"] for call in calls] == ['{"key": "first"}', '{"key": "second"}']
    [step] = lena.steps(thread, run["id"])
    assert (step["status"], step["usage"], step["completed_at"]) == ("in_progress", None, None)
    assert [call["id"] for call in step["step_details"]["tool_calls"]] == [call["id"] for call in calls]

    outputs = [{"tool_call_id": call["id"], "output": f"value of {call['id']}"} for call in calls]
    more = lena.stream(f"threads/{thread}/runs/{run['id']}/submit_tool_outputs", {"tool_outputs": outputs})

    assert shape(more) == ["run.step.completed", "run.queued", "run.in_progress", *TEXT]
    assert more[0].data["id"] == step["id"]
    told = more[0].data["step_details"]["tool_calls"]
    assert [call["function"]["output"] for call in told] == [output["output"] for output in outputs]
    folded = Folded(more)
    folded.equals_rest(lena)
    assert all(output["output"] in lena.last_text(thread) for output in outputs)
    steps = lena.steps(thread, run["id"])
    assert [s["type"] for s in steps] == ["tool_calls", "message_creation"]
    assert folded.run["usage"]["total_tokens"] == sum(s["usage"]["total_tokens"] for s in steps)


def test_text_before_calls_is_a_message_of_its_own(lena: LiveCaller) -> None:
    first = streaming(
        delta(role="assistant", content="Let me "),
        delta(content="look."),
        delta(
            tool_calls=[{"index": 0, "id": "c1", "type": "function", "function": {"name": "lookup", "arguments": ""}}]
        ),
        delta(tool_calls=[{"index": 0, "function": {"arguments": "{}"}}]),
        delta("tool_calls"),
    )
    with QuirkServer(first, said("Found.")) as provider:
        lena.provided_by(provider.base_url)
        thread = lena.thread("Look it up")
        events = lena.stream(f"threads/{thread}/runs", {"assistant_id": lena.assistant(tools=[FUNCTION])})
        assert shape(events)[3:] == [
            "run.step.created", "run.step.in_progress", "message.created", "message.in_progress", "message.delta",
            "message.completed", "run.step.completed",
            "run.step.created", "run.step.in_progress", "run.step.delta", "run.requires_action", "done",
        ]  # fmt: skip
        folded = Folded(events)
        folded.equals_rest(lena)
        [call] = folded.run["required_action"]["submit_tool_outputs"]["tool_calls"]
        outputs = [{"tool_call_id": call["id"], "output": "42"}]
        Folded(
            lena.stream(f"threads/{thread}/runs/{folded.run['id']}/submit_tool_outputs", {"tool_outputs": outputs})
        ).equals_rest(lena)

        # The second turn was shown the first: its text, its call and the output, in one assistant message.
        _, said_and_called, output = provider.requests[1].body["messages"][-3:]
        assert said_and_called["content"] == "Let me look."
        assert said_and_called["tool_calls"][0]["id"] == output["tool_call_id"] == call["id"]
        assert output["content"] == "42"
    assert [m["content"][0]["text"]["value"] for m in lena.messages(thread)][1:] == ["Let me look.", "Found."]


def told_of_calls(events: list[Event]) -> list[tuple[int, list[str]]]:
    """What step deltas tell one after the other: the call's index, and of which fields. Pieces of a text count once."""
    deltas = [e.data["delta"]["step_details"]["tool_calls"][0] for e in events if e.name == "thread.run.step.delta"]
    told = [(call["index"], sorted(call["function"])) for call in deltas]
    return [each for each, _ in groupby(told)]


def test_parallel_calls_without_arguments_are_told_one_after_the_other(lena: LiveCaller) -> None:
    """Clients take a call for done when the next one begins, and for a new one when an earlier one goes on."""
    with QuirkServer(called(("lookup", ""), ("lookup", "{}"), ("lookup", '{"key": "third"}'))) as provider:
        lena.provided_by(provider.base_url)
        thread = lena.thread("Look it up")
        events = lena.stream(f"threads/{thread}/runs", {"assistant_id": lena.assistant(tools=[FUNCTION])})
    Folded(events).equals_rest(lena)
    opening, arguments = ["arguments", "name", "output"], ["arguments"]
    assert told_of_calls(events) == [(index, fields) for index in range(3) for fields in (opening, arguments)]


def test_a_waiting_step_tells_what_the_server_answered_itself(lena: LiveCaller) -> None:
    with QuirkServer(called(("nothing", "{}"), ("lookup", "{}")), said("Found.")) as provider:
        lena.provided_by(provider.base_url)
        thread = lena.thread("Look it up")
        events = lena.stream(f"threads/{thread}/runs", {"assistant_id": lena.assistant(tools=[FUNCTION])})
        folded = Folded(events)
        folded.equals_rest(lena)
        opening, arguments = ["arguments", "name", "output"], ["arguments"]
        assert told_of_calls(events) == [(0, opening), (0, arguments), (0, ["output"]), (1, opening), (1, arguments)]
        [call] = folded.run["required_action"]["submit_tool_outputs"]["tool_calls"]
        assert call["function"]["name"] == "lookup"
        outputs = [{"tool_call_id": call["id"], "output": "42"}]
        path = f"threads/{thread}/runs/{folded.run['id']}/submit_tool_outputs"
        Folded(lena.stream(path, {"tool_outputs": outputs})).equals_rest(lena)
    [step, _] = lena.steps(thread, folded.run["id"])
    told = [call["function"]["output"] for call in step["step_details"]["tool_calls"]]
    assert told == ["There is no tool named 'nothing'.", "42"]


def test_text_in_every_script_folds(lena: LiveCaller) -> None:
    pieces = ["Grüße ", "你好", "こん", "にちは ", "🎉", "\u0000\n\r\n", '"quoted" \\ ', "【4:0†x】"]
    with QuirkServer(said(*pieces)) as provider:
        lena.provided_by(provider.base_url)
        thread = lena.thread("Say it")
        Folded(lena.stream(f"threads/{thread}/runs", {"assistant_id": lena.assistant()})).equals_rest(lena)
    assert lena.last_text(thread) == "".join(pieces).replace("\x00", "\ufffd")


def test_a_refusal_is_a_part_of_its_own(lena: LiveCaller) -> None:
    answer = streaming(delta(role="assistant", refusal="I cannot "), delta(refusal="do that."), delta("stop"))
    with QuirkServer(answer) as provider:
        lena.provided_by(provider.base_url)
        thread = lena.thread("Do it")
        Folded(lena.stream(f"threads/{thread}/runs", {"assistant_id": lena.assistant()})).equals_rest(lena)
    assert lena.messages(thread)[-1]["content"] == [{"type": "refusal", "refusal": "I cannot do that."}]


def test_a_refusal_that_is_followed_by_text(lena: LiveCaller) -> None:
    answer = streaming(
        delta(refusal="no "), delta(refusal="way"), delta(content="te"), delta(content="xt"), delta("stop")
    )
    with QuirkServer(answer) as provider:
        lena.provided_by(provider.base_url)
        thread = lena.thread("Do it")
        Folded(lena.stream(f"threads/{thread}/runs", {"assistant_id": lena.assistant()})).equals_rest(lena)
    assert [part["type"] for part in lena.messages(thread)[-1]["content"]] == ["refusal", "text"]


def test_what_postgresql_cannot_store_costs_nothing_else(lena: LiveCaller) -> None:
    call = {"index": 0, "id": "c\x001", "type": "function", "function": {"name": "look\x00up", "arguments": "{}"}}
    answer = streaming(delta(reasoning_content="a\x00b"), delta(tool_calls=[call]), delta("tool_calls"))
    with QuirkServer(answer, said("Sorry.")) as provider:
        lena.provided_by(provider.base_url)
        thread = lena.thread("Go")
        folded = Folded(lena.stream(f"threads/{thread}/runs", {"assistant_id": lena.assistant(tools=[FUNCTION])}))
    folded.equals_rest(lena)
    assert folded.run["status"] == "completed"


def test_an_empty_answer_is_an_empty_message(lena: LiveCaller) -> None:
    with QuirkServer(streaming(delta(role="assistant", content=""), delta("stop"))) as provider:
        lena.provided_by(provider.base_url)
        thread = lena.thread("Say nothing")
        folded = Folded(lena.stream(f"threads/{thread}/runs", {"assistant_id": lena.assistant()}))
    assert folded.run["status"] == "completed"
    assert lena.last_text(thread) == ""


def test_a_model_that_calls_what_it_was_not_offered_is_told_so(lena: LiveCaller) -> None:
    with QuirkServer(called(("nothing", "{}")), said("Sorry.")) as provider:
        lena.provided_by(provider.base_url)
        thread = lena.thread("Go")
        events = lena.stream(f"threads/{thread}/runs", {"assistant_id": lena.assistant(tools=[FUNCTION])})
        assert provider.requests[1].body["messages"][-1]["content"] == "There is no tool named 'nothing'."
    folded = Folded(events)
    folded.equals_rest(lena)
    assert folded.run["status"] == "completed"
    assert folded.run["usage"]["completion_tokens"] == sum(
        step["usage"]["completion_tokens"] for step in folded.steps.values()
    )
