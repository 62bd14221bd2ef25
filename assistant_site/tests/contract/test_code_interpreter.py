"""The code interpreter through the official SDK, with a real `sandboxd`: what a program of the hosted API relies on."""

import io
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import openpyxl
import pytest
from openai import AssistantEventHandler
from openai.types.beta import Assistant, Thread
from openai.types.beta.threads import Message, Run
from openai.types.beta.threads.runs import RunStep
from PIL import Image
from typing_extensions import override

from assistant_site.tests.callers import new_tenant
from assistant_site.tests.stack import Stack

pytestmark = [
    pytest.mark.sandbox,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


@pytest.fixture(scope="module")
def sandboxed(
    tmp_path_factory: pytest.TempPathFactory, django_db_setup: None, django_db_blocker: Any
) -> Iterator[Stack]:
    """A stack with a sandbox; a lost worker is noticed after three seconds."""
    env = {"RUN_LEASE_SECONDS": "3"}
    with (
        django_db_blocker.unblock(),
        Stack.workers_of_others_rest(),
        Stack(folder=tmp_path_factory.mktemp("code"), sandbox=True, env=env) as running,
    ):
        yield running


@pytest.fixture
def client(sandboxed: Stack) -> openai.OpenAI:
    _, token = new_tenant("Cora")
    client = openai.OpenAI(base_url=sandboxed.base_url, api_key=token, max_retries=0, timeout=120)
    wait_until_available(sandboxed)
    return client


def wait_until_available(stack: Stack) -> None:
    import requests

    deadline = time.monotonic() + 60
    while requests.get(f"{stack.url}/health", timeout=10).json().get("code_interpreter", {}).get("state") != (
        "available"
    ):
        assert time.monotonic() < deadline, requests.get(f"{stack.url}/health", timeout=10).text
        time.sleep(0.2)


def assistant_of(client: openai.OpenAI, *files: str) -> Assistant:
    return client.beta.assistants.create(
        model="demo-instant",
        tools=[{"type": "code_interpreter"}],
        tool_resources={"code_interpreter": {"file_ids": list(files)}},
    )


def asking(code: str, *more: str) -> str:
    """What makes the demo model run this code, and then these, one turn each."""
    calls = [f"call:code_interpreter {json.dumps({'code': each})}" for each in (code, *more)]
    return "\nthen:\n".join(calls)


def say(client: openai.OpenAI, thread: Thread, assistant: Assistant, text: str) -> Run:
    client.beta.threads.messages.create(thread_id=thread.id, role="user", content=text)
    return client.beta.threads.runs.create_and_poll(
        thread_id=thread.id, assistant_id=assistant.id, poll_interval_ms=100
    )


def calls_of(client: openai.OpenAI, run: Run) -> list[Any]:
    """The code calls of a run, oldest first."""
    steps = client.beta.threads.runs.steps.list(thread_id=run.thread_id, run_id=run.id, order="asc")
    return [call for step in steps if step.step_details.type == "tool_calls" for call in step.step_details.tool_calls]


def logs_of(call: Any) -> str:
    return "".join(output.logs for output in call.code_interpreter.outputs if output.type == "logs")


def last_message(client: openai.OpenAI, thread: Thread) -> Message:
    return client.beta.threads.messages.list(thread_id=thread.id, limit=1).data[0]


class Folding(AssistantEventHandler):
    """Keeps what the deltas add up to, as the SDK folds them, and the order of the events."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []
        self.inputs: list[str] = []
        self.logs: list[str] = []
        self.done_steps: list[RunStep] = []
        self.folded_steps: list[RunStep] = []
        self.done_messages: list[Message] = []
        self.folded_messages: list[Message] = []

    @override
    def on_event(self, event: Any) -> None:
        self.names.append(event.event)

    @override
    def on_tool_call_delta(self, delta: Any, snapshot: Any) -> None:
        if delta.type == "code_interpreter" and delta.code_interpreter:
            if delta.code_interpreter.input:
                self.inputs.append(delta.code_interpreter.input)
            for output in delta.code_interpreter.outputs or []:
                if output.type == "logs":
                    self.logs.append(output.logs)

    @override
    def on_run_step_delta(self, delta: Any, snapshot: RunStep) -> None:
        self.snapshot = snapshot.model_copy(deep=True)

    @override
    def on_run_step_done(self, run_step: RunStep) -> None:
        self.done_steps.append(run_step)
        if run_step.step_details.type == "tool_calls":
            self.folded_steps.append(self.snapshot)

    @override
    def on_message_delta(self, delta: Any, snapshot: Message) -> None:
        self.message = snapshot.model_copy(deep=True)

    @override
    def on_message_done(self, message: Message) -> None:
        self.done_messages.append(message)
        self.folded_messages.append(self.message)


CHART_AND_SHEET = """
import pandas as pd, matplotlib.pyplot as plt
sales = pd.read_csv('/mnt/data/sales.csv')
total = sales.groupby('month').amount.sum()
total.plot.bar(title='销售 売上')
plt.show()
total.to_frame().to_excel('/mnt/data/totals.xlsx')
print(total.sum())
"""


def test_a_csv_goes_in_and_a_chart_and_a_workbook_come_out(client: openai.OpenAI) -> None:
    csv = "month,amount\n" + "".join(f"{month},{month * 10}\n" for month in (1, 2, 3))
    file = client.files.create(file=("sales.csv", csv.encode()), purpose="assistants")
    assistant = assistant_of(client, file.id)
    thread = client.beta.threads.create()
    client.beta.threads.messages.create(thread_id=thread.id, role="user", content=asking(CHART_AND_SHEET))
    folding = Folding()
    with client.beta.threads.runs.stream(
        thread_id=thread.id, assistant_id=assistant.id, event_handler=folding
    ) as stream:
        stream.until_done()
        run = stream.current_run
    assert run is not None
    assert run.status == "completed", run.last_error

    [call] = calls_of(client, run)
    assert call.type == "code_interpreter"
    assert call.code_interpreter.input == CHART_AND_SHEET == "".join(folding.inputs)
    assert logs_of(call).strip() == "60" == "".join(folding.logs).strip()
    [picture] = [output for output in call.code_interpreter.outputs if output.type == "image"]
    shown = Image.open(io.BytesIO(client.files.content(picture.image.file_id).read()))
    assert shown.format == "PNG"
    assert shown.width > 100
    assert client.files.retrieve(picture.image.file_id).purpose == "assistants_output"

    folded, done = folding.folded_steps[0], folding.done_steps[0]
    assert [call.model_dump(exclude={"index"}) for call in folded.step_details.tool_calls] == [  # type: ignore[union-attr]
        call.model_dump()
        for call in done.step_details.tool_calls  # type: ignore[union-attr]
    ] or without_indexes(folded) == without_indexes(done)
    message = last_message(client, thread)
    assert message.content[0].type == "image_file"
    assert message.content[0].image_file.file_id == picture.image.file_id
    answer = message.content[1]
    assert answer.type == "text"
    paths = [each for each in answer.text.annotations if each.type == "file_path"]
    assert paths
    for each in paths:
        assert each.text == "sandbox:/mnt/data/totals.xlsx"
        assert answer.text.value[each.start_index : each.end_index] == each.text
    made = client.files.retrieve(paths[0].file_path.file_id)
    assert (made.purpose, made.filename) == ("assistants_output", "totals.xlsx")
    sheet = openpyxl.load_workbook(io.BytesIO(client.files.content(made.id).read())).active
    assert sheet is not None
    assert [row[1].value for row in sheet.iter_rows(min_row=2)] == [10, 20, 30]
    streamed = folding.folded_messages[-1]
    assert streamed.content[1].text.value == answer.text.value  # type: ignore[union-attr]
    assert without_indexes(streamed)["content"] == without_indexes(message)["content"]


def without_indexes(model: Any) -> Any:
    """As JSON, without the `index` that the SDK leaves in what it has folded, and without nulls."""

    def clean(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: clean(each) for key, each in value.items() if key != "index" and each is not None}
        return [clean(each) for each in value] if isinstance(value, list) else value

    return clean(model.model_dump(mode="json", include={"content", "step_details"}))


def test_state_survives_between_runs(client: openai.OpenAI) -> None:
    assistant = assistant_of(client)
    thread = client.beta.threads.create()
    first = say(client, thread, assistant, asking("x = 41\nopen('/mnt/data/note.txt', 'w').write('kept')"))
    second = say(client, thread, assistant, asking("x += 1\nprint(x, open('/mnt/data/note.txt').read())"))
    third = say(client, thread, assistant, asking("y = x * 2", "y"))
    assert [run.status for run in (first, second, third)] == ["completed"] * 3
    assert logs_of(calls_of(client, second)[0]) == "42 kept\n"
    assert [logs_of(call).strip() for call in calls_of(client, third)] == ["", "84"]
    assert calls_of(client, third)[0].code_interpreter.outputs == []


def test_an_error_is_a_traceback_and_the_run_goes_on(client: openai.OpenAI) -> None:
    assistant, thread = assistant_of(client), client.beta.threads.create()
    run = say(client, thread, assistant, asking("def f():\n    return 1 / 0\nf()", "print('after')"))
    assert run.status == "completed"
    failed, after = calls_of(client, run)
    assert "ZeroDivisionError: division by zero" in logs_of(failed)
    assert "return 1 / 0" in logs_of(failed)
    assert logs_of(after) == "after\n"


def test_a_message_brings_a_file_by_id_and_by_name(client: openai.OpenAI) -> None:
    file = client.files.create(file=("données été.txt", b"bonjour"), purpose="assistants")
    assistant, thread = assistant_of(client), client.beta.threads.create()
    code = f"print(open('/mnt/data/{file.id}').read(), open('/mnt/data/données été.txt').read())"
    client.beta.threads.messages.create(
        thread_id=thread.id,
        role="user",
        content=asking(code),
        attachments=[{"file_id": file.id, "tools": [{"type": "code_interpreter"}]}],
    )
    run = client.beta.threads.runs.create_and_poll(thread_id=thread.id, assistant_id=assistant.id, poll_interval_ms=100)
    assert logs_of(calls_of(client, run)[0]) == "bonjour bonjour\n"


@pytest.mark.parametrize("end", ["kill", "stop"])
def test_a_worker_that_ends_while_code_runs(client: openai.OpenAI, sandboxed: Stack, end: str) -> None:
    assistant, thread = assistant_of(client), client.beta.threads.create()
    code = (
        "import time\n"
        "with open('/mnt/data/times.txt', 'a') as log: log.write('once ')\n"
        "print('begun', flush=True)\ntime.sleep(4)\nprint(open('/mnt/data/times.txt').read())"
    )
    client.beta.threads.messages.create(thread_id=thread.id, role="user", content=asking(code))
    folding = Folding()
    with client.beta.threads.runs.stream(
        thread_id=thread.id, assistant_id=assistant.id, event_handler=folding
    ) as stream:
        for event in stream:
            if event.event == "thread.run.step.delta" and "begun" in "".join(folding.logs):
                getattr(sandboxed, end)("worker-1")
                sandboxed.start("worker-1")
                break
        stream.until_done()
        run = stream.current_run
    assert run is not None
    assert run.status == "completed", run.last_error
    [call] = calls_of(client, run)
    assert logs_of(call) == "begun\nonce \n" == "".join(folding.logs)
    again = say(client, thread, assistant, asking("print(open('/mnt/data/times.txt').read())"))
    assert logs_of(calls_of(client, again)[0]) == "once \n"


def test_a_sandbox_that_is_killed(client: openai.OpenAI, sandboxed: Stack) -> None:
    assistant, thread = assistant_of(client), client.beta.threads.create()
    code = "x = 1\nopen('/mnt/data/kept.txt', 'w').write('still here')"
    slow = "import time\nprint('begun', flush=True)\ntime.sleep(60)"
    say(client, thread, assistant, asking(code))
    client.beta.threads.messages.create(thread_id=thread.id, role="user", content=asking(slow))
    folding = Folding()
    with client.beta.threads.runs.stream(
        thread_id=thread.id, assistant_id=assistant.id, event_handler=folding
    ) as stream:
        for _ in stream:
            if "begun" in "".join(folding.logs):
                sandboxed.kill("sandbox-1")
                sandboxed.start("sandbox-1")
                break
        stream.until_done()
        run = stream.current_run
    assert run is not None
    assert run.status == "completed", run.last_error
    assert "not run again" in logs_of(calls_of(client, run)[0])
    wait_until_available(sandboxed)
    after = say(client, thread, assistant, asking("print(open('/mnt/data/kept.txt').read())\nprint('x' in dir())"))
    logs = logs_of(calls_of(client, after)[0])
    assert logs.endswith("still here\nFalse\n")
    assert "variables" in logs  # it is told that the session is new


def test_a_cancelled_run_ends_its_code(client: openai.OpenAI) -> None:
    assistant, thread = assistant_of(client), client.beta.threads.create()
    code = "import time\nprint('begun', flush=True)\ntime.sleep(100)"
    client.beta.threads.messages.create(thread_id=thread.id, role="user", content=asking(code))
    folding = Folding()
    with client.beta.threads.runs.stream(
        thread_id=thread.id, assistant_id=assistant.id, event_handler=folding
    ) as stream:
        for _ in stream:
            if "begun" in "".join(folding.logs) and stream.current_run is not None:
                started = time.monotonic()
                client.beta.threads.runs.cancel(thread_id=thread.id, run_id=stream.current_run.id)
                break
        stream.until_done()
        run = stream.current_run
    assert run is not None
    assert run.status == "cancelled"
    assert time.monotonic() - started < 60
    assert folding.names[-2:] != []
    [call] = calls_of(client, run)
    assert logs_of(call).startswith("begun\n")
    after = say(client, thread, assistant, asking("print('free again')"))
    assert logs_of(calls_of(client, after)[0]) == "free again\n"


def test_files_of_another_thread_and_tenant_are_not_there(client: openai.OpenAI, sandboxed: Stack) -> None:
    assistant = assistant_of(client)
    one, other = client.beta.threads.create(), client.beta.threads.create()
    say(client, one, assistant, asking("open('/mnt/data/secret.txt', 'w').write('s')"))
    run = say(client, other, assistant, asking("import os\nprint(os.listdir('/mnt/data'))"))
    assert logs_of(calls_of(client, run)[0]) == "[]\n"


def test_a_forced_code_interpreter_and_results_in_a_poll(client: openai.OpenAI, tmp_path: Path) -> None:
    assistant, thread = assistant_of(client), client.beta.threads.create()
    client.beta.threads.messages.create(thread_id=thread.id, role="user", content=asking("6 * 7"))
    run = client.beta.threads.runs.create_and_poll(
        thread_id=thread.id,
        assistant_id=assistant.id,
        tool_choice={"type": "code_interpreter"},
        poll_interval_ms=100,
    )
    assert run.status == "completed", run.last_error
    assert logs_of(calls_of(client, run)[0]).strip() == "42"
