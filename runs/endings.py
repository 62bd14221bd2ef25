"""The end of a run told from its rows, for readers whose event stream is gone."""

from typing import Any

from assistant_site.wire.rendering import dumps
from runs.events import Told
from runs.machine import RESTING, Status
from runs.models import Run, RunStep
from runs.serializers import RunObjectSerializer, RunStepObjectSerializer
from threads.models import Message, MessageStatus
from threads.serializers import MessageObjectSerializer


def from_rows(run_id: str, position: int, open_step: str | None, open_message: str | None) -> list[Told] | None:
    """The missing last events; None while the run is not at rest. Ends what the reader has seen begin."""
    run = Run.objects.across_tenants().filter(pk=run_id).first()
    if run is None:
        return [_told(position, "error", error_data(f"No run found with id '{run_id}'.", "invalid_request_error"))]
    if Status(run.status) not in RESTING:
        return None
    ending = []
    if open_message:
        message = Message.objects.across_tenants().filter(pk=open_message).first()
        if message is not None and message.status != MessageStatus.IN_PROGRESS:
            ending.append((f"thread.message.{message.status}", MessageObjectSerializer.of(message)))
    if open_step:
        step = RunStep.objects.across_tenants().filter(pk=open_step).first()
        if step is not None and step.status != "in_progress":
            ending.append((f"thread.run.step.{step.status}", RunStepObjectSerializer.of(step)))
    ending.append((f"thread.run.{run.status}", RunObjectSerializer.of(run)))
    last = max(position + len(ending), run.event_position)
    return [_told(last - len(ending) + 1 + at, name, data) for at, (name, data) in enumerate(ending)]


def _told(position: int, name: str, data: dict[str, Any]) -> Told:
    return Told(position, name.encode(), dumps(data))


def error_data(message: str, kind: str = "server_error") -> dict[str, Any]:
    """An `error` event's data: flat for the schema, and nested because some SDKs only look there."""
    flat = {"message": message, "type": kind, "param": None, "code": None}
    return {**flat, "error": flat}
