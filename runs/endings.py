"""The end of a run told from its rows, for readers whose event stream does not tell it."""

from dataclasses import dataclass
from typing import Any

from assistant_site.wire.rendering import dumps
from runs import events
from runs.events import Telling, Told, run_event
from runs.machine import RESTING, Status
from runs.models import Run, RunStep, StepStatus
from runs.record import Record, untold
from runs.serializers import step_object
from threads.models import Message, MessageStatus
from threads.serializers import MessageObjectSerializer


@dataclass(frozen=True)
class Ending:
    """The last events of a run that rests; `is_final` unless it waits for tool outputs."""

    told: list[Told]
    is_final: bool


def from_rows(run_id: str, position: int, open_step: str | None, open_message: str | None) -> Ending | None:
    """The missing last events behind `position`; None while the run is not at rest, or its stream tells its end.

    Where the stream is whole but for its end, they are what it does not tell, at the positions it would have them at,
    and are added to it. Where it is gone they end what this reader has seen begin, and tell the run's state.
    """
    run = Run.objects.across_tenants().filter(pk=run_id).first()
    if run is None:
        gone = error_data(f"No run found with id '{run_id}'.", "invalid_request_error")
        return Ending([_told(position, "error", gone)], True)
    if Status(run.status) not in RESTING:
        return None
    if position >= run.event_position:
        return Ending([], run.is_terminal)
    if events.last_position(run_id) >= run.event_position:
        return None
    record = Record(events.told_of(run_id))
    if record.position >= run.event_position:  # it came this moment
        return None
    ending = untold(run, record) if record.is_whole else ends_of(run, open_step, open_message)
    ending.append(run_event(run))
    first = max(record.position + 1, run.event_position - len(ending) + 1)
    if record.is_whole and first + len(ending) - 1 == run.event_position:  # whoever comes later shall be told the same
        events.append(run_id, first - 1, ending, end=record.position)
    told = [_told(first + at, name, data) for at, (name, data) in enumerate(ending)]
    return Ending([entry for entry in told if entry.position > position], run.is_terminal)


def ends_of(run: Run, open_step: str | None, open_message: str | None) -> Telling:
    """How this step and message ended."""
    ending: Telling = []
    if open_message:
        message = Message.objects.across_tenants().filter(pk=open_message).first()
        if message is not None and message.status != MessageStatus.IN_PROGRESS:
            ending.append((f"thread.message.{message.status}", MessageObjectSerializer.of(message)))
    if open_step:
        step = RunStep.objects.across_tenants().filter(pk=open_step).first()
        if step is not None and step.status != StepStatus.IN_PROGRESS:
            ending.append((f"thread.run.step.{step.status}", step_object(step, run.include)))
    return ending


def _told(position: int, name: str, data: dict[str, Any]) -> Told:
    return Told(position, name.encode(), dumps(data))


def error_data(message: str, kind: str = "server_error") -> dict[str, Any]:
    """An `error` event's data: flat for the schema, and nested because some SDKs only look there."""
    flat = {"message": message, "type": kind, "param": None, "code": None}
    return {**flat, "error": flat}
