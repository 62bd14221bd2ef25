"""The helpers of the official Python SDK through every state of a run: all agree with each other and with REST."""

import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import openai
import pytest
from django.db import connection
from django.utils import timezone
from openai import AssistantEventHandler

from assistant_site.llm.tests.quirk_server import QuirkServer
from assistant_site.tests.callers import LiveCaller
from assistant_site.tests.contract.scenarios import SCENARIOS, SOME, TOOLS, Scenario, play
from runs.models import Run

pytestmark = [
    pytest.mark.contract,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]
PATIENCE_SECONDS = 60
SPEAKING_SECONDS = 2  # what is left to a run whose time ends while the model speaks
STREAMING = ["stream", "create_and_stream", "create_and_run_stream"]
POLLING = ["create_and_poll", "create_and_run_poll"]


@pytest.fixture(scope="module")
def model() -> Iterator[QuirkServer]:
    with QuirkServer(play) as server:
        yield server


@pytest.fixture
def patient(lena: LiveCaller, model: QuirkServer) -> LiveCaller:
    lena.provided_by(model.base_url)
    return lena


class Watcher(AssistantEventHandler):
    """Writes down every callback. Cancels the run at the first thing the model says, if told so."""

    def __init__(self, cancel_with: openai.OpenAI | None = None) -> None:
        super().__init__()
        self.names: list[str] = []
        self.seen: dict[str, list[Any]] = {}
        self._cancel_with = cancel_with

    def _note(self, what: str, value: Any = None) -> None:
        self.seen.setdefault(what, []).append(value)

    def of(self, what: str) -> list[Any]:
        return self.seen.get(what, [])

    def on_event(self, event: Any) -> None:
        self.names.append(event.event)
        if event.event.endswith(".delta") and self._cancel_with is not None and self.current_run is not None:
            client, self._cancel_with = self._cancel_with, None
            answer = client.beta.threads.runs.cancel(self.current_run.id, thread_id=self.current_run.thread_id)
            assert answer.status == "cancelling"

    def on_end(self) -> None:
        self._note("end")

    def on_exception(self, exception: Exception) -> None:
        self._note("exception", exception)

    def on_timeout(self) -> None:
        self._note("exception", "timeout")

    def on_run_step_created(self, run_step: Any) -> None:
        self._note("step created", run_step.id)

    def on_run_step_delta(self, delta: Any, snapshot: Any) -> None:
        self._note("step delta", snapshot.id)

    def on_run_step_done(self, run_step: Any) -> None:
        self._note("step done", run_step)

    def on_tool_call_created(self, tool_call: Any) -> None:
        self._note("call created", tool_call.id)

    def on_tool_call_delta(self, delta: Any, snapshot: Any) -> None:
        self._note("call delta", delta.function.arguments)

    def on_tool_call_done(self, tool_call: Any) -> None:
        self._note("call done", (tool_call.id, tool_call.function.arguments))

    def on_message_created(self, message: Any) -> None:
        self._note("message created", message.id)

    def on_message_delta(self, delta: Any, snapshot: Any) -> None:
        self._note("message delta", snapshot.id)

    def on_message_done(self, message: Any) -> None:
        self._note("message done", message.id)

    def on_text_created(self, text: Any) -> None:
        self._note("text created")

    def on_text_delta(self, delta: Any, snapshot: Any) -> None:
        self._note("text delta", delta.value)

    def on_text_done(self, text: Any) -> None:
        self._note("text done", text.value)


class Journey:
    """One scenario on a thread of its own, carried by one family of helpers."""

    def __init__(self, lena: LiveCaller, name: str, helper: str) -> None:
        self.lena, self.name, self.helper = lena, name, helper
        self.scenario: Scenario = SCENARIOS[name]
        self.client = openai.OpenAI(base_url=lena.base_url, api_key=lena.token, max_retries=0)
        self.assistant = lena.assistant(tools=TOOLS)
        self.runs = self.client.beta.threads.runs
        self.run: Any = None
        self.told: dict[str, set[str]] = {"messages": set(), "steps": set()}

    def go(self) -> None:
        """To the end of the scenario."""
        self.begin()
        for number in range(1, self.scenario.rounds + 1):
            self.waits_for_outputs()
            if self.scenario.ended.endswith("waiting") and number == self.scenario.rounds:
                self.end_while_it_waits()
                break
            if self.scenario.ended == "expired speaking":
                self.let_time_end_in(SPEAKING_SECONDS)
            self.go_on()

    @property
    def cancels(self) -> bool:
        return self.scenario.ended == "cancelled speaking"

    def begin(self) -> None:
        body: Any = {"assistant_id": self.assistant, **self.scenario.body}
        messages: Any = [{"role": "user", "content": self.name}]
        if "create_and_run" in self.helper:
            call = getattr(self.client.beta.threads, self.helper)
            body["thread"] = {"messages": messages}
        else:
            call = getattr(self.runs, self.helper)
            body["thread_id"] = self.client.beta.threads.create(messages=messages).id
        if self.helper in STREAMING and self.scenario.ended == "left speaking":
            self.leave(call, body)
            return
        if self.helper in STREAMING:
            self.watch(call, Watcher(self.client if self.cancels else None), body)
            return
        if self.cancels:
            threading.Thread(target=self.cancel_when_it_speaks, daemon=True).start()
        self.run = call(**body)

    def go_on(self) -> None:
        calls = self.run.required_action.submit_tool_outputs.tool_calls
        body: Any = {
            "thread_id": self.run.thread_id,
            "run_id": self.run.id,
            "tool_outputs": [{"tool_call_id": call.id, "output": "42"} for call in calls],
        }
        if self.helper in STREAMING:
            self.watch(self.runs.submit_tool_outputs_stream, Watcher(), body)
        else:
            self.run = self.runs.submit_tool_outputs_and_poll(**body)

    def waits_for_outputs(self) -> None:
        assert self.run.status == "requires_action", self.run
        assert self.run.usage is None
        calls = self.run.required_action.submit_tool_outputs.tool_calls
        assert calls
        assert all(call.function.name == "lookup" for call in calls)

    # --- Streams ------------------------------------------------------------------------------------------------------

    def watch(self, call: Any, watcher: Watcher, body: dict[str, Any]) -> None:
        """Takes in the whole stream, whose helper must tell what REST says."""
        with call(**body, event_handler=watcher) as stream:
            stream.until_done()
        self.run = watcher.get_final_run()
        assert watcher.names[-1] == f"thread.run.{self.run.status}"
        path = f"threads/{self.run.thread_id}/runs/{self.run.id}"
        assert self.run.to_dict() == self.lena.get(path).body

        messages: list[Any] = watcher.get_final_messages() if "thread.message.created" in watcher.names else []
        for message in messages:
            assert message.to_dict() == self.lena.get(f"threads/{self.run.thread_id}/messages/{message.id}").body
        begun: list[Any] = watcher.get_final_run_steps() if "thread.run.step.created" in watcher.names else []
        for step in begun:
            assert as_begun(step.to_dict()) == as_begun(self.lena.get(f"{path}/steps/{step.id}").body)
        for step in watcher.of("step done"):
            assert step.to_dict() == self.lena.get(f"{path}/steps/{step.id}").body
        self.told["messages"] |= {message.id for message in messages}
        self.told["steps"] |= {step.id for step in [*begun, *watcher.of("step done")]}
        self.callbacks_fit(watcher, messages, begun)

    def leave(self, call: Any, body: dict[str, Any]) -> None:
        """Closes the stream at the first text; the run goes on without whoever has left."""
        watcher = Watcher()
        with call(**body, event_handler=watcher) as stream:
            assert next(iter(stream.text_deltas))
        begun = watcher.current_run
        assert begun is not None
        self.run = self.runs.poll(begun.id, thread_id=begun.thread_id)
        self.told.clear()

    def callbacks_fit(self, watcher: Watcher, messages: list[Any], steps: list[Any]) -> None:
        """`steps` are those that began in this stream."""
        assert watcher.of("exception") == []
        assert len(watcher.of("end")) == 1
        assert watcher.of("message created") == watcher.of("message done") == [message.id for message in messages]
        texts = [part.text.value for message in messages for part in message.content if part.type == "text"]
        assert "".join(watcher.of("text delta")) == "".join(texts)
        assert watcher.of("text done") == [text for text in texts if text]
        assert len(watcher.of("text created")) == len(watcher.of("text done"))

        created = watcher.of("step created")
        assert created == [step.id for step in steps]
        done = [step.id for step in watcher.of("step done")]
        continued = [id for id in done if id not in created]  # its outputs were submitted with this stream
        assert len(continued) == ("thread.run.created" not in watcher.names)
        is_open = self.run.status == "requires_action"
        assert done == continued + (created[:-1] if is_open else created)
        made = [step for step in steps if step.type == "tool_calls"]
        if len(made) == 1:  # the SDK does not begin to count anew with another step
            calls = [(call.id, call.function.arguments) for call in made[0].step_details.tool_calls]
            assert watcher.of("call created") == [id for id, _ in calls]
            assert list(dict.fromkeys(watcher.of("call done"))) == calls

    # --- Ends from outside --------------------------------------------------------------------------------------------

    def cancel_when_it_speaks(self) -> None:
        """For the polling helpers, which do not say how the run is called before they return."""
        own = LiveCaller(self.lena.tenant, self.lena.token, self.lena.url)  # a session is for one thread
        found = Run.objects.of(self.lena.tenant).filter(assistant_id=self.assistant)
        run = steps = None
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not steps:
            assert time.monotonic() < deadline
            time.sleep(0.02)
            run = run or found.first()
            steps = own.steps(run.thread_id, run.pk) if run else None
        connection.close()
        assert run is not None
        assert own.post(f"threads/{run.thread_id}/runs/{run.pk}/cancel")["status"] == "cancelling"

    def let_time_end_in(self, seconds: float) -> None:
        moment = timezone.now() + timedelta(seconds=seconds)
        Run.objects.of(self.lena.tenant).filter(pk=self.run.id).update(expires_at=moment)

    def end_while_it_waits(self) -> None:
        waited = self.run
        if self.scenario.ended == "cancelled waiting":
            answer = self.runs.cancel(self.run.id, thread_id=self.run.thread_id)
            assert answer.status == "cancelling"
            self.run = self.runs.poll(self.run.id, thread_id=self.run.thread_id)
        else:
            self.let_time_end_in(-1)
            deadline = time.monotonic() + PATIENCE_SECONDS
            while self.run.status == "requires_action":
                assert time.monotonic() < deadline
                time.sleep(0.05)
                self.run = self.runs.poll(self.run.id, thread_id=self.run.thread_id)
        ended, self.run = self.run, waited
        refusal = f'Runs in status "{self.scenario.status}" do not accept tool outputs.'
        with pytest.raises(openai.BadRequestError, match=refusal):
            self.go_on()
        self.run = ended

    # --- The end ------------------------------------------------------------------------------------------------------

    def ended_well(self) -> None:
        """As the scenario says it; and nothing was left out, nothing is left open."""
        run, scenario = self.run, self.scenario
        assert run.status == scenario.status, run
        details = run.last_error.code if run.last_error else run.incomplete_details and run.incomplete_details.reason
        assert details == scenario.why
        assert (run.required_action, run.expires_at) == (None, None)
        assert run.to_dict() == self.lena.get(f"threads/{run.thread_id}/runs/{run.id}").body
        messages = [message for message in self.lena.messages(run.thread_id) if message["run_id"] == run.id]
        steps = self.lena.steps(run.thread_id, run.id)
        if self.helper in STREAMING and self.told:
            assert self.told["messages"] == {message["id"] for message in messages}
            assert self.told["steps"] == {step["id"] for step in steps}
        assert all(thing["status"] != "in_progress" for thing in [*messages, *steps])
        assert run.usage.total_tokens == sum(step["usage"]["total_tokens"] for step in steps if step["usage"])
        assert self.client.beta.threads.messages.create(run.thread_id, role="user", content="next").id


def as_begun(step: Any) -> Any:
    """What a step shares with itself at its end: the SDK adds deltas to what was created, and takes in no end."""
    details = step["step_details"]
    if details["type"] == "message_creation":
        return step["id"], details
    return step["id"], [
        (call["id"], call["function"]["name"], call["function"]["arguments"]) for call in details["tool_calls"]
    ]


WAYS = [(scenario, helper) for scenario in SCENARIOS for helper in ("stream", "create_and_poll")]
WAYS += [(scenario, helper) for scenario in SOME for helper in STREAMING + POLLING if (scenario, helper) not in WAYS]


@pytest.mark.parametrize(("scenario", "helper"), WAYS)
def test_every_helper_goes_through_every_state(patient: LiveCaller, scenario: str, helper: str) -> None:
    journey = Journey(patient, scenario, helper)
    journey.go()
    journey.ended_well()
