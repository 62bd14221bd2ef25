"""The page `reference/events.md`: every event of a run's stream."""

from dataclasses import dataclass
from typing import Any

from documentation import results

INTRODUCTION = """# Events

With `stream: true` the answers of *create run*, *create thread and run* and *submit tool outputs* are streams of
server-sent events. Each has a name, a position, and an object as its data; the last one says `[DONE]`:

```text
event: thread.message.delta
id: 17
data: {"id": "msg_abc", "object": "thread.message.delta", "delta": {…}}

event: done
data: [DONE]
```

Positions belong to the run: a stream that broke is [taken up again](../extensions.md) behind the last one that was
seen. Over a [WebSocket](../extensions.md) the same events come as messages.
"""


@dataclass(frozen=True)
class Event:
    name: str
    data: str  # the name of the object in OpenAI's document
    when: str


def all_events() -> list[Event]:
    """In the order in which a reader meets them; the states are those of the code."""
    from runs.machine import Status
    from runs.models import StepStatus

    when = {
        "queued": "it waits for a worker",
        "in_progress": "a worker carries it",
        "requires_action": "it waits for outputs or approvals of the caller; the stream ends here",
        "cancelling": "it was cancelled, and what is open is closed",
        "cancelled": "it has been cancelled; the stream ends here",
        "completed": "the answer is whole; the stream ends here",
        "incomplete": "a limit of tokens was reached; the stream ends here",
        "failed": "`last_error` says why; the stream ends here",
        "expired": "its time was over; the stream ends here",
    }
    return [
        Event("thread.created", "ThreadObject", "first, where the request makes the thread too"),
        Event("thread.run.created", "RunObject", "the run is there"),
        *(Event(f"thread.run.{status.value}", "RunObject", when[status.value]) for status in Status),
        Event("thread.run.step.created", "RunStepObject", "a turn of the model begins a message or calls tools"),
        *(
            Event(f"thread.run.step.{status.value}", "RunStepObject", f"the step is `{status.value}`")
            for status in StepStatus
        ),
        Event("thread.run.step.delta", "RunStepDeltaObject", "more of a call: its arguments, its output"),
        Event("thread.message.created", "MessageObject", "the assistant begins a message"),
        Event("thread.message.in_progress", "MessageObject", "its first words follow"),
        Event("thread.message.delta", "MessageDeltaObject", "more of its text, an image, an annotation"),
        Event("thread.message.completed", "MessageObject", "the message is whole"),
        Event("thread.message.incomplete", "MessageObject", "it was cut; `incomplete_details` says why"),
        Event("error", "Error", "the server could not go on with the stream; the run may"),
        Event("done", "`[DONE]`", "always last"),
    ]


def page() -> str:
    recorded = results.read()
    told: dict[str, Any] = recorded.get("events", {})
    lines = ["| event | data | when |", "| --- | --- | --- |"]
    lines += [f"| [`{each.name}`](#{anchor(each.name)}) | {each.data} | {each.when} |" for each in all_events()]
    parts = [INTRODUCTION, "\n".join(lines) + "\n"]
    parts.append("What may follow what, and what the data hold, is as the tests have met it in thousands of streams.\n")
    for each in all_events():
        parts.append(
            f"## `{each.name}` {{ #{anchor(each.name)} }}\n\n{each.when[:1].upper()}{each.when[1:]}. Data: "
            f"{each.data}.\n"
        )
        found = told.get(each.name, {})
        if following := found.get("followed_by"):
            parts.append("Followed by " + ", ".join(f"`{name}`" for name in following) + ".\n")
        if properties := found.get("properties"):
            rows = "\n".join(f"    | `{path}` | {kind} |" for path, kind in properties.items())
            parts.append(f'??? note "Data"\n\n    | property | type |\n    | --- | --- |\n{rows}\n')
    return "\n".join(parts)


def anchor(name: str) -> str:
    return name.replace(".", "-")
