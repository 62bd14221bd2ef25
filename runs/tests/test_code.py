"""Runs with code: the exact events, what is stored, images and files in answers, bad ends."""

import json
import time
from datetime import timedelta
from itertools import pairwise

import pytest
from django.utils import timezone

from assistant_site.llm.tests.quirk_server import Answer, QuirkServer, called, delta, said, streaming
from runs.models import Run
from runs.tests.coding import CODE, CodingCaller, code, writing
from runs.tests.folding import Folded, calls_of, shape
from runs.tests.test_endings import is_free, run_of
from runs.tests.test_streams import FUNCTION, TEXT

pytestmark = pytest.mark.slow
CALLS = ["run.step.created", "run.step.in_progress", "run.step.delta", "run.step.completed"]
BEGINNING = ["run.created", "run.queued", "run.in_progress"]


def test_the_events_of_a_code_call(cora: CodingCaller) -> None:
    with QuirkServer(writing(code("print 4\u00e9🐈", "sleep 0.2", "print five")), said("It is 4.")) as provider:
        cora.provided_by(provider.base_url)
        thread = cora.thread("2+2?")
        events = cora.streamed(thread, cora.coder()).ended()
        question, answer = (request.body for request in provider.requests)

    assert shape(events) == [*BEGINNING, *CALLS, *TEXT]
    folded = Folded(events)
    folded.equals_rest(cora)
    deltas = [
        event.data["delta"]["step_details"]["tool_calls"][0]
        for event in events
        if event.name == "thread.run.step.delta"
    ]
    empty = {"input": "", "outputs": []}
    assert deltas[0] == {"index": 0, "id": "call_0", "type": "code_interpreter", "code_interpreter": empty}
    assert all(each["index"] == 0 and each["type"] == "code_interpreter" for each in deltas)
    assert all("id" not in each and len(each["code_interpreter"]) == 1 for each in deltas[1:])
    outputs = [each["code_interpreter"]["outputs"] for each in deltas[1:] if "outputs" in each["code_interpreter"]]
    assert outputs == [[{"index": 0, "type": "logs", "logs": text}] for text in ("4é🐈\n", "five\n")]

    [step, _] = cora.steps(thread, folded.run["id"])
    source = "print 4é🐈\nsleep 0.2\nprint five"
    done = {"input": source, "outputs": [{"type": "logs", "logs": "4é🐈\nfive\n"}]}
    assert step["step_details"]["tool_calls"] == [
        {"id": "call_0", "type": "code_interpreter", "code_interpreter": done}
    ]
    assert step["usage"]["total_tokens"] == 10
    assert folded.run["usage"]["total_tokens"] == 20
    assert [tool["function"]["name"] for tool in question["tools"]] == ["code_interpreter"]
    told, output = answer["messages"][-2:]
    assert json.loads(told["tool_calls"][0]["function"]["arguments"]) == {"code": source}
    assert output == {"role": "tool", "tool_call_id": "call_0", "content": "4é🐈\nfive"}


def test_code_is_told_while_the_model_writes_it(cora: CodingCaller) -> None:
    with QuirkServer(slowly_written('{"code": "pri', "nt 1\\np", 'rint 2"}'), said("Done.")) as provider:
        cora.provided_by(provider.base_url)
        events = cora.streamed(cora.thread("Go"), cora.coder()).ended()
    Folded(events).equals_rest(cora)
    inputs = [
        event.data["delta"]["step_details"]["tool_calls"][0]["code_interpreter"].get("input")
        for event in events
        if event.name == "thread.run.step.delta"
    ]
    assert inputs[:4] == ["", "pri", "nt 1\np", "rint 2"]


def slowly_written(*pieces: str) -> Answer:
    """A call of code whose arguments come in these pieces, half a second apart."""
    opening = {"index": 0, "id": "call_0", "type": "function"}
    chunks = [delta(tool_calls=[{**opening, "function": {"name": "code_interpreter", "arguments": ""}}])]
    chunks += [delta(tool_calls=[{"index": 0, "function": {"arguments": piece}}]) for piece in pieces]
    sent = streaming(*chunks, delta("tool_calls")).pieces
    return Answer(tuple(part for piece in sent for part in (piece, 0.3)))


def test_calls_of_one_turn_run_in_their_order(cora: CodingCaller) -> None:
    calls = [code(f"print {number}", "sleep 0.4", f"print {number}") for number in (1, 2, 3)]
    search = ("file_search", json.dumps({"queries": ["cats"]}))
    with QuirkServer(writing(calls[0], search, *calls[1:]), said("Done.")) as provider:
        cora.provided_by(provider.base_url)
        thread = cora.thread("Go")
        events = cora.streamed(thread, cora.coder({"type": "file_search"})).ended()
        outputs = [each["content"] for each in provider.requests[1].body["messages"] if each["role"] == "tool"]
    folded = Folded(events)
    folded.equals_rest(cora)
    begun = [each["at"] for each in cora.clockwork.executions(thread)]
    assert len(begun) == 3
    assert all(later - earlier >= 0.4 for earlier, later in pairwise(begun))
    assert outputs[0] == "1\n1"
    assert "no files to search" in outputs[1]
    assert outputs[2:] == ["2\n2", "3\n3"]
    assert len({each["call_id"] for each in cora.clockwork.executions(thread)}) == 3


def test_images_begin_the_next_message(cora: CodingCaller) -> None:
    with QuirkServer(writing(code("image one", "print a", "image two")), said("See ", "both.")) as provider:
        cora.provided_by(provider.base_url)
        thread = cora.thread("Draw")
        events = cora.streamed(thread, cora.coder()).ended()
        shown = provider.requests[1].body["messages"][-1]["content"]
    folded = Folded(events)
    folded.equals_rest(cora)
    step, _ = cora.steps(thread, folded.run["id"])
    first, logs, second = step["step_details"]["tool_calls"][0]["code_interpreter"]["outputs"]
    assert logs == {"type": "logs", "logs": "a\n"}
    ids = [first["image"]["file_id"], second["image"]["file_id"]]
    assert ids[0] in shown
    message = cora.messages(thread)[-1]
    assert message["content"] == [
        *({"type": "image_file", "image_file": {"file_id": id}} for id in ids),
        {"type": "text", "text": {"value": "See both.", "annotations": []}},
    ]
    contents = [event.data["delta"]["content"] for event in events if event.name == "thread.message.delta"]
    assert contents[:2] == [
        [{"index": index, "type": "image_file", "image_file": {"file_id": id}}] for index, id in enumerate(ids)
    ]
    assert contents[2][0]["index"] == 2
    assert cora.get(f"files/{ids[0]}")["purpose"] == "assistants_output"


def test_images_are_shown_once_whichever_turn_made_them(cora: CodingCaller) -> None:
    """Also by a worker that claims the run later; a message without words holds them as well."""
    with QuirkServer(
        writing(code("image one")), writing(code("image two"), ("lookup", "{}")), said(), said("No image.")
    ) as provider:
        cora.provided_by(provider.base_url)
        thread, assistant = cora.thread("Draw"), cora.coder(FUNCTION)
        waiting = cora.run(thread, assistant)
        assert waiting["status"] == "requires_action"
        [call] = waiting["required_action"]["submit_tool_outputs"]["tool_calls"]
        path = f"threads/{thread}/runs/{waiting['id']}/submit_tool_outputs"
        events = cora.stream(path, {"tool_outputs": [{"tool_call_id": call["id"], "output": "42"}]})
        Folded(events).equals_rest(cora)
        cora.post(f"threads/{thread}/messages", {"role": "user", "content": "And?"})
        cora.run(thread, assistant)
    first, second = cora.messages(thread)[1], cora.messages(thread)[-1]
    assert [part["type"] for part in first["content"]] == ["image_file", "image_file", "text"]
    assert first["content"][2]["text"] == {"value": "", "annotations": []}
    assert [part["type"] for part in second["content"]] == ["text"]


def test_links_lead_to_files(cora: CodingCaller) -> None:
    texts = (
        "🐈 [a](sandbox:/mnt/da", "ta/a b.csv), 下载sandbox:/mnt/data/a%20b.csv下载 ",
        "and sandbox:/mnt/data/a, sandbox:/mnt/data/none.csv",
    )  # fmt: skip
    with QuirkServer(writing(code("write a text", "write b.csv 1,2")), said(*texts)) as provider:
        cora.provided_by(provider.base_url)
        thread = cora.thread("Go")
        file = cora.upload("a b.csv", b"1,2\n")
        assistant = cora.coder(tool_resources={"code_interpreter": {"file_ids": [file]}})
        events = cora.streamed(thread, assistant).ended()
    Folded(events).equals_rest(cora)
    [part] = cora.messages(thread)[-1]["content"]
    value, annotations = part["text"]["value"], part["text"]["annotations"]
    assert value == "".join(texts)
    assert [each["text"] for each in annotations] == [
        "sandbox:/mnt/data/a b.csv",
        "sandbox:/mnt/data/a%20b.csv",
        "sandbox:/mnt/data/a",
    ]
    assert all(value[each["start_index"] : each["end_index"]] == each["text"] for each in annotations)
    assert [each["file_path"]["file_id"] for each in annotations[:2]] == [file, file]
    made = annotations[2]["file_path"]["file_id"]
    assert cora.get(f"files/{made}")["purpose"] == "assistants_output"
    assert cora.get(f"files/{made}/content").body == b"text"
    told = [
        annotation
        for event in events
        if event.name == "thread.message.delta"
        for annotation in event.data["delta"]["content"][0]["text"].get("annotations", [])
    ]
    assert told == [{"index": index, **each} for index, each in enumerate(annotations)]


def test_a_cancel_ends_code_at_once(cora: CodingCaller) -> None:
    with QuirkServer(writing(code("print begun", "sleep 60", "print never")), said("x")) as provider:
        cora.provided_by(provider.base_url)
        thread = cora.thread("Go")
        stream = cora.streamed(thread, cora.coder())
        run = run_of(cora, thread, "in_progress")
        cora.wait_for_executions(thread, 1)
        time.sleep(1)
        started = time.monotonic()
        cora.post(f"threads/{thread}/runs/{run}/cancel")
        ended = cora.settled(thread, run)
        assert time.monotonic() - started < 30
        events = stream.ended()
    assert ended["status"] == "cancelled"
    assert shape(events)[-5:] == ["run.step.delta", "run.cancelling", "run.step.cancelled", "run.cancelled", "done"]
    Folded(events).equals_rest(cora)
    [step] = cora.steps(thread, run)
    assert calls_of(step)[0][2] == {
        "input": "print begun\nsleep 60\nprint never",
        "outputs": [{"type": "logs", "logs": "begun\n"}],
    }
    assert (step["usage"]["total_tokens"], ended["usage"]["total_tokens"]) == (10, 10)
    deadline = time.monotonic() + 60
    while not cora.clockwork.interruptions(thread):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert is_free(cora, thread)


def test_code_ends_when_its_run_expires(cora: CodingCaller) -> None:
    with QuirkServer(called(("lookup", "{}")), writing(code("print begun", "sleep 60"))) as provider:
        cora.provided_by(provider.base_url)
        thread = cora.thread("Go")
        run = cora.run(thread, cora.coder(FUNCTION))
        [call] = run["required_action"]["submit_tool_outputs"]["tool_calls"]
        Run.objects.of(cora.tenant).filter(pk=run["id"]).update(expires_at=timezone.now() + timedelta(seconds=6))
        outputs = [{"tool_call_id": call["id"], "output": "42"}]
        events = cora.stream(f"threads/{thread}/runs/{run['id']}/submit_tool_outputs", {"tool_outputs": outputs})
    assert shape(events)[-4:] == ["run.step.delta", "run.step.expired", "run.expired", "done"]
    Folded(events).equals_rest(cora)
    assert calls_of(cora.steps(thread, run["id"])[-1])[0][2]["outputs"] == [{"type": "logs", "logs": "begun\n"}]
    deadline = time.monotonic() + 60
    while not cora.clockwork.interruptions(thread):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_sandbox_that_is_away_fails_the_run_before_the_model_is_asked(cora: CodingCaller) -> None:
    cora.clockwork.fail("bubblewrap is not installed. Debian: apt install bubblewrap")
    try:
        time.sleep(2.1)  # an answer about health holds so long
        with QuirkServer(said("x")) as provider:
            cora.provided_by(provider.base_url)
            run = cora.run(cora.thread("Go"), cora.coder())
            assert provider.requests == []
            other = cora.run(cora.thread("Go"), cora.assistant())
    finally:
        cora.clockwork.fail("")
        time.sleep(2.1)
    assert run["last_error"] == {
        "code": "server_error",
        "message": "bubblewrap is not installed. Debian: apt install bubblewrap",
    }
    assert (run["status"], other["status"]) == ("failed", "completed")


def test_code_that_cannot_be_read_is_told_to_the_model(cora: CodingCaller) -> None:
    with QuirkServer(called(("code_interpreter", '{"code": "print 1')), said("Sorry.")) as provider:
        cora.provided_by(provider.base_url)
        thread = cora.thread("Go")
        events = cora.streamed(thread, cora.coder()).ended()
        told = provider.requests[1].body["messages"][-1]["content"]
    Folded(events).equals_rest(cora)
    assert "nothing was run" in told
    assert cora.executions(thread) == []


def test_forced_code_is_forced_once(cora: CodingCaller) -> None:
    with QuirkServer(writing(code("print 1")), said("Yes.")) as provider:
        cora.provided_by(provider.base_url)
        ended = cora.run(cora.thread("Go"), cora.coder(), tool_choice=CODE)
        assert ended["status"] == "completed", ended["last_error"]
        choices = [request.body.get("tool_choice") for request in provider.requests]
    assert choices == [{"type": "function", "function": {"name": "code_interpreter"}}, None]
