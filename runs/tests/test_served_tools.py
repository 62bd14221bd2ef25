"""Runs with tools of installed packages: what is told, stored, refused, approved, resumed; the page on adding one."""

import json
import os
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from assistant_site.llm.tests.quirk_server import QuirkServer, Request, called, said
from assistant_site.tests.callers import Answer, LiveCaller, new_tenant
from assistant_site.tests.stack import Stack
from runs.models import Run, RunStep
from runs.tests.folding import Folded, shape
from runs.tests.installed import install
from runs.tests.test_code import BEGINNING, CALLS
from runs.tests.test_endings import FUNCTION, Background, run_of
from runs.tests.test_streams import TEXT
from tools.tests.service import Got, Reply, Service, replying

pytestmark = pytest.mark.slow

PAGE = Path(__file__).resolve().parents[2] / "docs" / "adding-a-tool.md"
TOOLS = {
    "sleep": "Sleep",
    "stubborn": "Stubborn",
    "breaking": "Breaking",
    "effect": "Effect",
    "asking": "Asking",
    "bringing": "Bringing",
    "many": "Many",
}


def example() -> str:
    """The module that the page shows."""
    source: str
    [source] = [block for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.S) if "ServedTool)" in block]
    return source


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file in which the tools note what they do; its folder has the packages."""
    folder = tmp_path_factory.mktemp("rig")
    source = Path(__file__).parent / "rig" / "holdfast_rig.py"
    install(folder, "holdfast_rig", source.read_text(), TOOLS | {"broken": "NoSuchClass", "file_search": "Sleep"})
    install(folder, "holdfast_exchange", example(), {"exchange": "Exchange"})
    return folder / "notes"


@pytest.fixture(scope="module")
def rigged(stack: Stack, rig: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Processes with these tools; the session's own worker, which does not know them, rests meanwhile."""
    stack.stop("worker-1")
    env = {"PYTHONPATH": str(rig.parent), "RIG": str(rig), "RUN_LEASE_SECONDS": "3", "WORKER_DRAIN_SECONDS": "1"}
    env["TOOL_CALLS_PER_TENANT"] = "8"
    with Stack(folder=tmp_path_factory.mktemp("rigged"), workers=2, ingestions=0, env=env) as running:
        yield running
    stack.start("worker-1")
    stack.wait_ready()


class Rita(LiveCaller):
    rig: Path

    def executions(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.rig.read_text().splitlines()] if self.rig.exists() else []

    def wait_for_executions(self, count: int) -> None:
        deadline = time.monotonic() + 60
        while len(self.executions()) < count:
            assert time.monotonic() < deadline, self.executions()
            time.sleep(0.01)


@pytest.fixture
def rita(live: Stack, rigged: Stack, rig: Path) -> Rita:
    rig.unlink(missing_ok=True)
    rita = Rita(*new_tenant("Rita"), rigged.url)
    rita.rig = rig
    return rita


def call(name: str, **arguments: Any) -> tuple[str, str]:
    return name, json.dumps(arguments)


def outputs_in(request: Request) -> list[str]:
    return [message["content"] for message in request.body["messages"] if message["role"] == "tool"]


def test_the_page_on_adding_a_tool_is_true(rita: Rita) -> None:
    given = call("exchange", amount=10, **{"from": "EUR", "to": "JPY"})
    with QuirkServer(called(given), said("1712 yen.")) as provider:
        rita.provided_by(provider.base_url)
        thread = rita.thread("10 euros in yen?")
        events = rita.stream(f"threads/{thread}/runs", {"assistant_id": rita.assistant(tools=[{"type": "exchange"}])})
        question, answer = provider.requests
    assert shape(events) == [*BEGINNING, *CALLS, *TEXT]
    folded = Folded(events)
    folded.equals_rest(rita)
    [offered] = question.body["tools"]
    assert offered["function"]["name"] == "exchange"
    assert offered["function"]["description"].startswith("Converts an amount")
    assert outputs_in(answer) == ["1712.00 JPY"]
    [step, _] = rita.steps(thread, folded.run["id"])
    function = {"name": "exchange", "arguments": given[1], "output": "1712.00 JPY"}
    assert step["step_details"]["tool_calls"] == [{"id": "call_0", "type": "function", "function": function}]
    deltas = [event.data["delta"]["step_details"]["tool_calls"][0] for event in events if "step.delta" in event.name]
    assert deltas[0]["function"] == {"name": "exchange", "arguments": "", "output": None}
    assert deltas[-1] == {"index": 0, "type": "function", "function": {"output": "1712.00 JPY"}}


def test_arguments_that_do_not_fit_are_told_to_the_model(rita: Rita) -> None:
    wrong = [
        call("exchange", amount=-1, **{"from": "EUR", "to": "JPY"}),
        call("exchange", amount=1, **{"from": "EUR", "to": "XXX"}),
        call("exchange", amount=1),
    ]
    with QuirkServer(called(*wrong), said("I am sorry.")) as provider:
        rita.provided_by(provider.base_url)
        run_with(rita, {"type": "exchange"})
        negative, unknown, missing = outputs_in(provider.requests[1])
    assert negative.startswith("Nothing was done: the arguments, at amount, do not fit: -1 is less than the minimum")
    assert "at to, do not fit: 'XXX' is not one of" in unknown
    assert "'from' is a required property" in missing


def run_with(rita: Rita, *tools: dict[str, Any], **fields: Any) -> Folded:
    thread = rita.thread("Go")
    folded = Folded(
        rita.stream(f"threads/{thread}/runs", {"assistant_id": rita.assistant(tools=list(tools)), **fields})
    )
    folded.equals_rest(rita)
    return folded


def test_calls_of_one_turn_run_at_once_each_with_its_deadline(rita: Rita) -> None:
    calls = [call("sleep", seconds=60), call("sleep", seconds=0.1, say="one"), call("sleep", seconds=0.1, say="two")]
    broken = [call("breaking"), call("breaking", how="cancelled")]
    with QuirkServer(called(*calls, *broken), said("Done.")) as provider:
        rita.provided_by(provider.base_url)
        folded = run_with(rita, {"type": "sleep"}, {"type": "breaking"})
        outputs = outputs_in(provider.requests[1])
    assert folded.run["status"] == "completed"
    assert outputs[:3] == ["'sleep' took longer than 3 seconds, and was given up.", "one", "two"]
    assert outputs[3:] == ["The call failed because of a fault of the server. Say so if it matters."] * 2
    begun = [each["at"] for each in rita.executions()]
    assert max(begun) - min(begun) < 3  # none has waited for the one that was given up


def test_a_call_that_cannot_be_stopped_holds_up_no_run(rita: Rita) -> None:
    with QuirkServer(called(("stubborn", "{}"), call("sleep", seconds=0)), said("Done.")) as provider:
        rita.provided_by(provider.base_url)
        folded = run_with(rita, {"type": "stubborn"}, {"type": "sleep"})
        outputs = outputs_in(provider.requests[1])
        assert not rita.rig.with_name(f"{rita.rig.name}-late").exists()  # it still goes on
    assert folded.run["status"] == "completed"
    assert outputs == ["'stubborn' took longer than 1 seconds, and was given up.", "slept"]


def test_the_calls_of_a_tenant_wait_for_each_other_and_not_for_its_neighbours(rita: Rita) -> None:
    with (
        QuirkServer(called(*[call("sleep", seconds=0.9)] * 40), said("Done.")) as provider,
        QuirkServer(called(call("sleep", seconds=0)), said("Done.")) as other_provider,
    ):
        rita.provided_by(provider.base_url)
        body = {"assistant_id": rita.assistant(tools=[{"type": "sleep"}])}
        background = Background(rita, f"threads/{rita.thread('Go')}/runs", body)
        rita.wait_for_executions(8)
        neighbour = Rita(*new_tenant("Neighbour"), rita.url)
        neighbour.provided_by(other_provider.base_url)
        assert run_with(neighbour, {"type": "sleep"}).run["status"] == "completed"
        begun_meanwhile = len(rita.executions())
        assert Folded(background.ended()).run["status"] == "completed"
        assert outputs_in(provider.requests[1]) == ["slept"] * 40
    steps = [each["call_id"].partition(":")[0] for each in rita.executions()]
    at = [each["at"] for each in rita.executions() if steps.count(each["call_id"].partition(":")[0]) > 1]
    assert len(at) == 40
    assert all(later - earlier > 0.8 for earlier, later in zip(at, at[8:], strict=False))
    assert begun_meanwhile < 41


def test_pages_images_and_files_come_into_the_answer(rita: Rita) -> None:
    link = "sandbox:/mnt/data/report.csv"
    answers = [f"Cats purr【1:0†All of cats】, they say【9:9†forged】. See [it]({link})."]
    with QuirkServer(called(("bringing", "{}")), said(*answers), said("Again.")) as provider:
        rita.provided_by(provider.base_url)
        folded = run_with(rita, {"type": "bringing"})
        [output] = outputs_in(provider.requests[1])
        thread = folded.run["thread_id"]
        rita.post(f"threads/{thread}/messages", {"role": "user", "content": "And?"})
        rita.stream(f"threads/{thread}/runs", {"assistant_id": folded.run["assistant_id"]})
        shown_again = provider.requests[2].body["messages"][-2]["content"]
    assert output == "【1:0†All of cats】 purr�?"
    image, text = rita.messages(thread)[1]["content"]
    assert rita.get(f"files/{image['image_file']['file_id']}")["filename"] == "cat.png"
    value, (page, file) = text["text"]["value"], text["text"]["annotations"]
    assert value == f"Cats purr【1:0†All of cats】, they say. See [it]({link})."
    assert page["type"] == "url_citation"
    assert page["url_citation"] == {"url": "https://example.com/cats", "title": "All of cats"}
    assert value[page["start_index"] : page["end_index"]] == page["text"] == "【1:0†All of cats】"
    assert value[file["start_index"] : file["end_index"]] == file["text"] == link
    assert rita.get(f"files/{file['file_path']['file_id']}")["filename"] == "report.csv"
    assert "【" not in json.dumps(shown_again, ensure_ascii=False)


def test_the_callers_functions_wait_beside_tools_that_run(rita: Rita) -> None:
    with QuirkServer(called(call("sleep", seconds=0, say="hi"), ("lookup", "{}")), said("Done.")) as provider:
        rita.provided_by(provider.base_url)
        folded = run_with(rita, {"type": "sleep"}, FUNCTION)
        [pending] = folded.run["required_action"]["submit_tool_outputs"]["tool_calls"]
        assert pending["function"]["name"] == "lookup"
        assert "submit_tool_approval" not in folded.run["required_action"]
        submit(rita, folded, tool_outputs=[{"tool_call_id": pending["id"], "output": "found"}])
        assert outputs_in(provider.requests[1]) == ["hi", "found"]


def submit(rita: Rita, folded: Folded, **body: Any) -> Folded:
    thread, run = folded.run["thread_id"], folded.run["id"]
    events = rita.stream(f"threads/{thread}/runs/{run}/submit_tool_outputs", {"tool_outputs": [], **body})
    step = next(iter(folded.steps.values()))
    after = Folded([event for event in events if event.data != "[DONE]" or event.name == "done"])
    after.equals_rest(rita)
    assert rita.get(f"threads/{thread}/runs/{run}/steps/{step['id']}")["status"] == "completed"
    return after


def test_approved_calls_are_carried_out_and_others_are_not(rita: Rita) -> None:
    calls = [call("look", what="a"), call("do_it_", what="b"), call("do_it_", what="c"), ("lookup", "{}")]
    with QuirkServer(called(*calls), said("Done.")) as provider:
        rita.provided_by(provider.base_url)
        folded = run_with(rita, {"type": "asking"}, FUNCTION)
        action = folded.run["required_action"]
        assert [each["of"] for each in rita.executions()] == ["look at it"]
        refused = [
            answer_to(rita, folded, tool_outputs=[]),
            answer_to(rita, folded, tool_outputs=[{"tool_call_id": "call_3", "output": "x"}]),
            answer_to(rita, folded, tool_approvals=[{"tool_call_id": "call_1", "approve": True}]),
        ]
        assert all(answer.status == 400 for answer in refused)
        assert refused[1].error["message"] == "Expected tool approvals for call_ids ['call_1', 'call_2'], got []"
        assert len(rita.executions()) == 1
        approvals = [{"tool_call_id": "call_1", "approve": True}, {"tool_call_id": "call_2", "approve": False}]
        outputs = [{"tool_call_id": "call_3", "output": "found"}]
        after = submit(rita, folded, tool_outputs=outputs, tool_approvals=approvals)
        told = outputs_in(provider.requests[1])
    assert action["type"] == "submit_tool_outputs"
    assert [each["id"] for each in action["submit_tool_outputs"]["tool_calls"]] == ["call_3"]
    assert action["submit_tool_approval"]["tool_calls"] == [
        {"id": f"call_{at}", "type": "asking", "name": "do", "arguments": calls[at][1]} for at in (1, 2)
    ]
    assert [(each["of"], each["what"]) for each in rita.executions()] == [("look at it", "a"), ("do", "b")]
    denied = "This call was not approved by the user, and not carried out."
    assert told == ["look at it: a", "do: b", denied, "found"]
    assert after.run["status"] == "completed"


def answer_to(rita: Rita, folded: Folded, **body: Any) -> Answer:
    path = f"threads/{folded.run['thread_id']}/runs/{folded.run['id']}/submit_tool_outputs"
    return rita.post(path, {"tool_outputs": [], **body})


def test_a_run_in_which_nothing_is_approved_goes_on(rita: Rita) -> None:
    with QuirkServer(called(call("do_it_", what="b")), said("As you like.")) as provider:
        rita.provided_by(provider.base_url)
        folded = run_with(rita, {"type": "asking"})
        assert folded.run["required_action"]["type"] == "submit_tool_approval"
        assert folded.run["required_action"]["submit_tool_outputs"] == {"tool_calls": []}
        after = submit(rita, folded, tool_approvals=[{"tool_call_id": "call_0", "approve": False}])
    assert after.run["status"] == "completed"
    assert rita.executions() == []


def test_a_run_that_waits_for_approval_can_be_cancelled(rita: Rita) -> None:
    with QuirkServer(called(call("do_it_", what="b"))) as provider:
        rita.provided_by(provider.base_url)
        folded = run_with(rita, {"type": "asking"})
        path = f"threads/{folded.run['thread_id']}/runs/{folded.run['id']}"
        assert rita.post(f"{path}/cancel")["status"] == "cancelling"
    assert rita.get(path)["status"] == "cancelled"
    [step] = rita.steps(folded.run["thread_id"], folded.run["id"])
    assert step["status"] == "cancelled"
    assert rita.executions() == []


def wait_for_outputs(run: Run, count: int) -> None:
    """Until so many calls of the run have ended and are stored."""
    deadline = time.monotonic() + 60
    kept: list[Any] = []
    while len([each for each in kept if each["output"] is not None]) < count:
        assert time.monotonic() < deadline, kept
        time.sleep(0.05)
        steps = RunStep.objects.across_tenants().filter(run=run)
        kept = [each for step in steps for each in step.carry.get("served", {}).values()]


@pytest.mark.parametrize("how", ["kill", "stop"])
def test_a_take_over_repeats_no_call_that_has_ended(rita: Rita, rigged: Stack, how: str) -> None:
    calls = [call("effect", what="quick"), call("effect", what="slow", seconds=60), call("sleep", seconds=0)]
    with QuirkServer(called(*calls), said("Done.")) as provider:
        rita.provided_by(provider.base_url)
        thread = rita.thread("Go")
        tools = [{"type": "effect"}, {"type": "sleep"}]
        background = Background(rita, f"threads/{thread}/runs", {"assistant_id": rita.assistant(tools=tools)})
        rita.wait_for_executions(3)
        run = Run.objects.of(rita.tenant).get(thread_id=thread)
        wait_for_outputs(run, 2)
        worker = worker_of(rigged, run)
        getattr(rigged, how)(worker)
        events = background.ended()
        rigged.start(worker)
        outputs = outputs_in(provider.requests[-1])
        asked = len(provider.requests)
    folded = Folded(events)
    folded.equals_rest(rita)
    assert folded.run["status"] == "completed"
    assert outputs == ["done quick", "done slow", "slept"]
    assert asked == 2
    executions = rita.executions()
    assert [each.get("what") for each in executions if not each["is_resumed"]].count("quick") == 1
    [first] = [each for each in executions[:3] if each.get("what") == "slow"]
    assert executions[3:]  # once, or more often if a busy machine makes the second attempt lose its lease as well
    for again in executions[3:]:
        assert (again["what"], again["is_resumed"], again["call_id"]) == ("slow", True, first["call_id"])


def test_an_action_that_a_dead_worker_had_begun_is_made_again_only_if_that_is_safe(rita: Rita, rigged: Stack) -> None:
    begun = threading.Barrier(3)

    def slow_at_first(got: Got) -> Reply:
        if len([each for each in service.got if each.target == got.target]) == 1:
            begun.wait(60)
            time.sleep(6)
        return replying({"done": got.method})

    with Service(slow_at_first) as service:
        actions = rita.post("actions", {"openapi_schema": two_operations(service.url)}).body
        tools = [{"type": "action", "id": each["id"]} for each in actions]
        with QuirkServer(called(("read", "{}"), ("write", "{}")), said("Done.")) as provider:
            rita.provided_by(provider.base_url)
            thread = rita.thread("Go")
            background = Background(rita, f"threads/{thread}/runs", {"assistant_id": rita.assistant(tools=tools)})
            begun.wait(60)
            worker = worker_of(rigged, Run.objects.of(rita.tenant).get(thread_id=thread))
            rigged.kill(worker)
            events = background.ended()
            rigged.start(worker)
            read, written = outputs_in(provider.requests[-1])
    folded = Folded(events)
    folded.equals_rest(rita)
    assert folded.run["status"] == "completed"
    assert read == '{"done": "GET"}'
    assert written.startswith("The connection was lost while this call was made.")
    keys = sorted((got.target, got.headers["idempotency-key"]) for got in service.got)
    assert [target for target, _ in keys] == ["/r", "/r", "/w"]
    assert keys[0] == keys[1]
    assert keys[0][1] != keys[2][1]


def two_operations(url: str) -> dict[str, Any]:
    plain = {"responses": {"200": {"description": "Fine."}}}
    return {
        "openapi": "3.0.3",
        "info": {"title": "Two", "version": "1"},
        "servers": [{"url": url}],
        "paths": {"/r": {"get": {"operationId": "read", **plain}}, "/w": {"post": {"operationId": "write", **plain}}},
    }


def worker_of(rigged: Stack, run: Run) -> str:
    """The name of the process that holds the run."""
    group = os.getpgid(int(run.claimed_by.rpartition(":")[2]))
    return next(name for name in ("worker-1", "worker-2") if rigged.pid(name) == group)


def test_tools_that_cannot_be_loaded_are_left_out(rita: Rita, rigged: Stack) -> None:
    refused = rita.post("assistants", {"model": "m", "tools": [{"type": "broken"}]})
    assert refused.status == 400
    assert "'broken'" in refused.error["message"]
    logs = rigged.logs(lines=1_000)
    assert "The tool 'broken' (holdfast_rig:NoSuchClass) is left out" in logs
    assert "The tool 'file_search' (holdfast_rig:Sleep) is left out: it is no ServedTool" in logs


def test_a_choice_of_a_tool_is_kept(rita: Rita) -> None:
    with QuirkServer(said("Hm."), said("Hm.")) as provider:
        rita.provided_by(provider.base_url)
        run_with(rita, {"type": "asking"}, tool_choice={"type": "asking", "name": "do"})
        run_with(rita, {"type": "asking"}, tool_choice={"type": "asking"})
        chosen = [request.body["tool_choice"] for request in provider.requests]
    assert chosen == [{"type": "function", "function": {"name": "do_it_"}}, "required"]


def test_no_more_functions_are_offered_than_models_take(rita: Rita) -> None:
    with QuirkServer(called(call("many_42")), said("Done.")) as provider:
        rita.provided_by(provider.base_url)
        run_with(rita, {"type": "many"}, FUNCTION)
        first, second = provider.requests
    names = [tool["function"]["name"] for tool in first.body["tools"]]
    assert len(names) == len(set(names)) == 128
    assert names[:3] == ["many", "many_tool", "many_2"]
    assert names[-1] == "lookup"
    assert "23 more functions could not be offered" in first.body["messages"][0]["content"]
    assert outputs_in(second) == ["42"]


def test_parameters_in_extra_body_go_to_the_model(rita: Rita) -> None:
    with QuirkServer(said("Hm.")) as provider:
        rita.provided_by(provider.base_url)
        of_assistant = {"model_params": {"frequency_penalty": 0.5, "seed": 7, "model": "other", "stream": False}}
        assistant = rita.assistant(extra_body=of_assistant, temperature=0.1)
        assert rita.get(f"assistants/{assistant}")["extra_body"] == of_assistant
        thread = rita.thread("Go")
        body = {"assistant_id": assistant, "extra_body": {"model_params": {"seed": 8, "temperature": 0.9}}}
        rita.stream(f"threads/{thread}/runs", body)
        [sent] = (request.body for request in provider.requests)
    assert (sent["frequency_penalty"], sent["seed"], sent["temperature"]) == (0.5, 8, 0.9)
    assert (sent["model"], sent["stream"]) == ("demo-instant", True)


def test_credentials_of_a_run_are_kept_encrypted_and_no_longer_than_it(rita: Rita) -> None:
    secret = {"act_1": {"type": "bearer", "secret": "hunter2"}}
    with QuirkServer(called(("lookup", "{}")), said("Done.")) as provider:
        rita.provided_by(provider.base_url)
        folded = run_with(rita, FUNCTION, extra_body={"action_authentications": secret})
        run = Run.objects.of(rita.tenant).get(pk=folded.run["id"])
        assert run.sealed
        assert "hunter2" not in run.sealed + json.dumps(folded.run)
        submit(rita, folded, tool_outputs=[{"tool_call_id": "call_0", "output": "found"}])
    run.refresh_from_db()
    assert run.sealed == ""


def test_retrieval_is_file_search(rita: Rita) -> None:
    assistant = rita.assistant(tools=[{"type": "retrieval"}])
    [tool] = rita.get(f"assistants/{assistant}")["tools"]
    assert tool["type"] == "file_search"


def test_a_run_whose_tool_is_gone_goes_on(rita: Rita, rigged: Stack) -> None:
    """Its package was uninstalled while a call waited for approval."""
    with QuirkServer(called(call("do_it_", what="b")), said("Then not.")) as provider:
        rita.provided_by(provider.base_url)
        folded = run_with(rita, {"type": "asking"})
        Run.objects.of(rita.tenant).filter(pk=folded.run["id"]).update(tools=[])
        thread, run = folded.run["thread_id"], folded.run["id"]
        approvals = [{"tool_call_id": "call_0", "approve": True}]
        rita.post(f"threads/{thread}/runs/{run}/submit_tool_outputs", {"tool_outputs": [], "tool_approvals": approvals})
        run_of(rita, thread, "completed")
        [output] = outputs_in(provider.requests[1])
    assert output.startswith("The tool 'do_it_' is not available any more.")
