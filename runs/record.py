"""What a run's event stream has told so far, against what its rows hold.

A worker writes to the database first and tells afterwards. One that died may have left rows that nobody was told of,
and text in the stream that is in no row. Who takes its run up, or tells its end, makes both agree.
"""

from typing import Any

import orjson

from runs.events import Telling, Told, message_delta, step_delta
from runs.folding import fold, growth, rest_of
from runs.models import Run, RunStep, StepStatus
from runs.serializers import step_object
from threads.models import Message, MessageStatus
from threads.serializers import MessageObjectSerializer
from tools.registry import as_opened, is_told_while_it_runs

Part = dict[str, Any]


class Record:
    """The steps and messages that the stream has begun and ended, and the text it has told of them."""

    def __init__(self, entries: list[Told]) -> None:
        # A stream that lacks its beginning was lost with Valkey's data: what it does not tell may have been told.
        self.is_whole = bool(entries) and entries[0].name in (b"thread.created", b"thread.run.created")
        self.position = entries[-1].position if entries else 0
        self.begun: set[str] = set()
        self.ended: set[str] = set()
        self.contents: dict[str, list[Part]] = {}
        self.calls: dict[str, list[Part]] = {}
        for entry in entries:
            self._take(entry.name.decode(), orjson.loads(entry.data))

    def add(self, told: Telling) -> None:
        """Takes in events that are about to be told."""
        for name, data in told:
            self._take(name, data)

    def _take(self, name: str, data: Part) -> None:
        if name in ("thread.run.step.created", "thread.message.created"):
            self.begun.add(data["id"])
        elif name.endswith(".delta") and data["id"] not in self.begun:
            pass  # lost with its beginning: a text with a hole is nobody's
        elif name == "thread.message.delta":
            fold(self.contents.setdefault(data["id"], []), data["delta"]["content"])
        elif name == "thread.run.step.delta":
            fold(self.calls.setdefault(data["id"], []), data["delta"]["step_details"]["tool_calls"])
        elif name.startswith(("thread.run.step.", "thread.message.")) and not name.endswith(".in_progress"):
            self.ended.add(data["id"])


def untold(run: Run, record: Record) -> Telling:
    """The events of what the run's steps and messages hold and its stream does not tell; none if that is not whole."""
    told: Telling = []
    if not record.is_whole:
        return told
    for step in RunStep.objects.across_tenants().filter(run=run).order_by("pk"):
        if step.pk in record.ended:
            continue
        if step.pk not in record.begun:
            beginning = step_object(as_begun(step), run.include)
            told += [("thread.run.step.created", beginning), ("thread.run.step.in_progress", beginning)]
        if step.type == "message_creation":
            message_id = step.step_details["message_creation"]["message_id"]
            told += untold_of_message(Message.objects.across_tenants().get(pk=message_id), record)
        elif calls := rest_of_calls(step, record.calls.get(step.pk, [])):
            told.append(("thread.run.step.delta", step_delta(step.pk, calls)))
        if step.status != StepStatus.IN_PROGRESS:
            told.append((f"thread.run.step.{step.status}", step_object(step, run.include)))
    return told


def untold_of_message(message: Message, record: Record) -> Telling:
    told: Telling = []
    if message.pk not in record.begun:
        beginning = MessageObjectSerializer.of(as_begun(message))
        told += [("thread.message.created", beginning), ("thread.message.in_progress", beginning)]
    if message.status == MessageStatus.IN_PROGRESS or message.pk in record.ended:
        return told
    rest = rest_of_content(message.content, record.contents.get(message.pk, []))
    if rest:
        told.append(("thread.message.delta", message_delta(message.pk, rest)))
    told.append((f"thread.message.{message.status}", MessageObjectSerializer.of(message)))
    return told


def rest_of_content(content: list[Part], known: list[Part]) -> list[Part]:
    """The part of a message's texts that was not told, as the entries of a delta."""
    rest: list[Part] = []
    for index, part in enumerate(content):
        before: Part = known[index] if index < len(known) else {}
        if part["type"] == "text":
            piece = rest_of_text(part["text"], before.get("text", {}))
            if not piece and not before and index > 0:  # no words, but behind images
                piece = {"value": "", "annotations": []}
            if piece:
                rest.append({"index": index, "type": "text", "text": piece})
        elif part["type"] == "refusal":
            if text := rest_of(part["refusal"], before.get("refusal", "")):
                rest.append({"index": index, "type": "refusal", "refusal": text})
        elif not before:
            rest.append({"index": index, **part})
    return rest


def rest_of_text(text: Part, known: Part) -> Part:
    """What a text's delta tells of it: the characters that were not told, with the annotations among them."""
    value = rest_of(text["value"], known.get("value", ""))
    if not value:
        return {}
    piece: Part = {"value": value}
    told = len(known.get("annotations", []))
    annotations = [{"index": at, **each} for at, each in enumerate(text["annotations"]) if at >= told]
    if annotations or not known:
        piece["annotations"] = annotations
    return piece


def rest_of_calls(step: RunStep, known: list[Part]) -> list[Part]:
    """The part of a step's calls that was not told, as the entries of a delta.

    Outputs of functions and results are told by the step's end. A function's output in a step that waits is the
    server's own, and was to be told as it was made, as what code comes to; but not that of a call which was approved.
    """
    rest: list[Part] = []
    for index, call in enumerate(step.step_details["tool_calls"]):
        if call["type"] != "function":
            kind = call["type"]
            is_known = index < len(known)
            before = known[index] if is_known else as_opened(call)
            wanted = call if is_told_while_it_runs(call) else as_opened(call)
            more = growth({kind: wanted[kind]}, before)
            if is_known and more:
                rest.append({"index": index, "type": kind, **more})
            elif not is_known:  # in one entry: clients that know nothing of it do not add up two
                rest.append({"index": index, **before, kind: {**before[kind], **more.get(kind, {})}})
            continue
        is_approved = step.carry.get("served", {}).get(str(index), {}).get("approved", False)
        is_telling = step.status == StepStatus.IN_PROGRESS and not is_approved
        output = call["function"]["output"] if is_telling else None
        if index >= len(known):
            rest.append({"index": index, **call, "function": {**call["function"], "output": output}})
            continue
        before = known[index]["function"]
        piece: Part = {}
        if text := rest_of(call["function"]["arguments"], before["arguments"]):
            piece["arguments"] = text
        if output is not None and before.get("output") is None:
            piece["output"] = output
        if piece:
            rest.append({"index": index, "type": "function", "function": piece})
    return rest


def grown(stored: list[Part], told: list[Part]) -> list[Part]:
    """Calls that are being carried out: those that are told while they run as they were told, the others as stored.

    A stream that was lost may not tell them all.
    """
    return [
        told[index] if index < len(told) and call["type"] != "function" and is_told_while_it_runs(call) else call
        for index, call in enumerate(stored)
    ]


def as_begun(row: Any) -> Any:
    """A step or message as it was when it began."""
    begun = type(row)(**{field.attname: getattr(row, field.attname) for field in row._meta.concrete_fields})
    begun.status = "in_progress"
    for name in ("completed_at", "failed_at", "cancelled_at", "expired_at", "incomplete_at", "incomplete_reason"):
        if hasattr(begun, name):
            setattr(begun, name, None)
    if isinstance(begun, Message):
        begun.content = []
    elif begun.type == "tool_calls":
        begun.step_details = {"type": "tool_calls", "tool_calls": []}
        begun.last_error = None
    return begun
