"""The laws: what must hold for a run and for each of its readers once it is at rest, whatever was done to the site."""

import json
import traceback
from collections import Counter
from dataclasses import dataclass
from typing import Any

from assistant_site.tests.callers import Event
from runs.machine import RESTING, TERMINAL, Status
from runs.models import RunStep, added_usage, no_usage
from runs.tests.chaos.model import arguments_of
from runs.tests.chaos.readers import Reader
from runs.tests.chaos.rows import Stored
from runs.tests.chaos.stories import Story
from runs.tests.folding import Folded

REASONS = {"failed": "run_failed", "cancelled": "run_cancelled", "expired": "run_expired"}


@dataclass(frozen=True)
class Weather:
    """What happened in the round that excuses something."""

    valkey_lost: bool = False  # its data, so streams have holes
    frozen: bool = False  # a process slept, so the model may be asked for an old turn once more


@dataclass(frozen=True)
class Shown:
    """What REST shows of the run, by path; takes a caller's place in the law of folds."""

    bodies: dict[str, Any]

    def get(self, path: str) -> "Body":
        return Body(self.bodies.get(path))


@dataclass(frozen=True)
class Body:
    body: Any


async def shown(story: Story) -> Shown:
    thread = f"threads/{story.thread}"
    run = f"{thread}/runs/{story.run}"
    bodies = {run: await story.caller.get(run)}
    for message in (await story.caller.get(f"{thread}/messages?limit=100"))["data"]:
        bodies[f"{thread}/messages/{message['id']}"] = message
    for step in (await story.caller.get(f"{run}/steps?limit=100"))["data"]:
        bodies[f"{run}/steps/{step['id']}"] = step
    return Shown(bodies)


async def judge(story: Story, weather: Weather) -> list[str]:
    """What was violated, in words. Adds a message to the thread, if it takes one."""
    if not story.run:
        return story.problems or ["no run was made"]
    stored = await story.rows.stored(story.run)
    if stored is None:
        return [*story.problems, "the run's row is gone"]
    found = list(story.problems)
    if stored.run.status not in TERMINAL:
        return [*found, f"ends as {stored.run.status}"]
    for law in (_end, _hold, _steps, _messages, _usage):
        found += law(story, stored)
    found += _upstream(story, stored, weather)
    rest = await shown(story)
    for reader, _ in story.readers:
        found += [f"reader that {reader.manner}: {words}" for words in _reader(reader, stored, rest, weather)]
    next_one = await story.caller.ask("POST", f"threads/{story.thread}/messages", {"role": "user", "content": "next"})
    if next_one.status != 200:
        found.append(f"the thread takes no message: {next_one.message}")
    return found


# --- Rows ------------------------------------------------------------------------------------------------------------


def was_given_up(stored: Stored) -> bool:
    error = stored.run.last_error or {}
    return stored.run.status == Status.FAILED and "interrupted" in error.get("message", "")


def _end(story: Story, stored: Stored) -> list[str]:
    run, kind = stored.run, story.kind
    if was_given_up(stored):
        return [] if run.attempt >= 3 else [f"given up after {run.attempt} attempts"]
    found = []
    if run.status not in kind.ends:
        found.append(f"ends as {run.status} ({run.last_error}), not as {sorted(kind.ends)}")
    if run.status == "cancelled" and not story.cancel_asked:
        found.append("cancelled, though nobody asked for it")
    if kind.error and (run.last_error or {}).get("code") != kind.error:
        found.append(f"last_error is {run.last_error}, not {kind.error}")
    if (run.status == "failed") != (run.last_error is not None):
        found.append(f"{run.status} with last_error {run.last_error}")
    for status, at in (("completed", run.completed_at), ("cancelled", run.cancelled_at), ("failed", run.failed_at)):
        if (run.status == status) != (at is not None) and not (status == "completed" and run.status == "incomplete"):
            found.append(f"{run.status}, but {status}_at is {at}")
    return found


def _hold(story: Story, stored: Stored) -> list[str]:
    run, thread = stored.run, stored.thread
    found = []
    if run.claim is not None or run.lease_until is not None:
        found.append(f"over, but claimed ({run.claim}, lease {run.lease_until})")
    if run.required_action is not None:
        found.append("over, but requires an action")
    if thread.active_run_id is not None:
        found.append(f"its thread is locked by {thread.active_run_id}")
    if thread.message_count != stored.counted:
        found.append(f"its thread counts {thread.message_count} messages and has {stored.counted}")
    return found


def _steps(story: Story, stored: Stored) -> list[str]:
    run, steps = stored.run, stored.steps
    found = []
    allowed = {"completed", "failed"} | ({run.status} & {"cancelled", "expired"})
    for step in steps:
        if step.status not in allowed:
            found.append(f"{step.type} step of turn {step.turn} is {step.status}")
        if (step.status == "failed") != (step.last_error is not None):
            found.append(f"{step.status} step with last_error {step.last_error}")
    turns = [step.turn for step in steps]
    if turns != sorted(turns):
        found.append(f"steps of turns {turns}")
    done = [step for step in steps if step.status == "completed"]
    for turn, times in Counter(step.turn for step in done if step.type == "tool_calls").items():
        if times > 1:
            found.append(f"the calls of turn {turn} were made {times} times")
    for step in done:
        if step.type == "tool_calls":
            found += _calls(story, step)
    if run.status == "completed":
        kinds = [(step.turn, step.type) for step in done]
        wanted = [
            (number, kind)
            for number, turn in enumerate(story.script.turns, start=1)
            for kind, there in (("message_creation", turn.words), ("tool_calls", turn.calls))
            if there
        ]
        # A text before calls may be said again by the next attempt, when the calls were lost with their worker.
        if sorted(set(kinds)) != sorted(wanted) or (kinds != wanted and not story.kind.name.startswith("text and")):
            found.append(f"completed with the finished steps {kinds}, not {wanted}")
    return found


def _calls(story: Story, step: RunStep) -> list[str]:
    found = []
    turn = story.script.turns[step.turn - 1]
    calls = step.step_details["tool_calls"]
    if [call["function"]["name"] for call in calls] != list(turn.calls):
        found.append(f"turn {step.turn} has the calls {calls}")
    for index, call in enumerate(calls):
        if call["function"]["arguments"] != "".join(arguments_of(index)):
            found.append(f"call {call['id']} has the arguments {call['function']['arguments']!r}")
        wanted = story.submitted.get(call["id"])
        if call["function"]["name"] != "nothing" and call["function"]["output"] != wanted:
            found.append(f"call {call['id']} has the output {call['function']['output']!r}, submitted was {wanted!r}")
    return found


def _messages(story: Story, stored: Stored) -> list[str]:
    found = []
    made_by = {
        step.step_details["message_creation"]["message_id"]: step
        for step in stored.steps
        if step.type == "message_creation"
    }
    if set(made_by) != {message.pk for message in stored.messages}:
        found.append("messages and the steps that made them are not the same")
    for message in stored.messages:
        step = made_by.get(message.pk)
        if step is None:
            continue
        whole = story.script.text(step.turn)
        if message.status == "completed" and (message.text != whole or step.status != "completed"):
            found.append(f"completed message of a {step.status} step says {message.text!r}, not {whole!r}")
        elif message.status == "incomplete":
            if not whole.startswith(message.text):
                found.append(f"incomplete message says {message.text!r}, which does not begin {whole!r}")
            reason = "max_tokens" if step.status == "completed" else REASONS.get(step.status)
            if message.incomplete_reason != reason:
                found.append(f"message of a {step.status} step is incomplete because of {message.incomplete_reason}")
        elif message.status == "in_progress":
            found.append("a message is still in progress")
    return found


def _usage(story: Story, stored: Stored) -> list[str]:
    run = stored.run
    total = no_usage()
    for step in stored.steps:
        total = added_usage(total, step.spent or {})
    found = []
    if run.usage != total and not story.kind.error:  # a model that failed before a step may have cost something
        found.append(f"its usage is {run.usage}, the sum of its steps {total}")
    if run.status == "completed":
        turns = range(1, len(story.script.turns) + 1)
        prompt, completion = (sum(story.script.usage(turn)[part] for turn in turns) for part in (0, 1))
        if (run.usage or {}).get("prompt_tokens") != prompt or (run.usage or {}).get("completion_tokens") != completion:
            found.append(f"its usage is {run.usage}, the model told {prompt} and {completion}")
    return found


def _upstream(story: Story, stored: Stored, weather: Weather) -> list[str]:
    """What the model was asked: finished turns are never asked for again, and calls and outputs come as they are."""
    found = []
    asks = story.script.asks
    turns = [ask.turn for ask in asks]
    if turns != sorted(turns) and not weather.frozen:
        found.append(f"the model was asked for the turns {turns}")
    kept = {
        call["id"]: call["function"]
        for step in stored.steps
        if step.type == "tool_calls" and step.status == "completed"
        for call in step.step_details["tool_calls"]
    }
    for ask in asks:
        for call in ask.calls:
            if call["id"] not in kept:
                found.append(f"the model was shown the call {call['id']}, which no finished step has")
            elif call["function"]["arguments"] != kept[call["id"]]["arguments"]:
                found.append(f"the model was shown other arguments for {call['id']}")
        for id, output in ask.outputs.items():
            if id in kept and output != kept[id]["output"]:
                found.append(f"the model was shown {output!r} for {id}, stored is {kept[id]['output']!r}")
    return found


# --- Readers ---------------------------------------------------------------------------------------------------------


def _reader(reader: Reader, stored: Stored, rest: Shown, weather: Weather) -> list[str]:
    if reader.problem:
        return [f"{reader.problem} {trail(reader)}"]
    events = reader.events
    positions = [event.position or 0 for event in events]
    if positions != sorted(set(positions)):
        return [f"positions do not grow: {trail(reader)}"]
    if reader.manner == "vanishes":
        return []
    found = []
    if not events or events[-1].name != f"thread.run.{stored.run.status}":
        found.append(f"does not end with the run's end: {trail(reader)}")
    resting = [event.name for event in events[:-1] if event.name in {f"thread.run.{s}" for s in RESTING}]
    if any(name != "thread.run.requires_action" for name in resting):
        found.append(f"saw more than one end: {trail(reader)}")
    if weather.valkey_lost:
        return found
    found += _against_stream(reader, stored)
    if problem := _folds(events, rest):
        found.append(f"{problem} {trail(reader)}")
    return found


def _against_stream(reader: Reader, stored: Stored) -> list[str]:
    """Everything that is in the stream, nothing twice, and beyond it only an end that was told from the rows."""
    found = []
    events = reader.events
    seen = {event.position: event for event in events}
    kept = {position for position, _, _ in stored.stream}
    missing = [(position, name) for position, name, _ in stored.stream if position not in seen]
    if missing:
        found.append(f"missed {missing}: {trail(reader)}")
    top = max(kept, default=0)
    extra = [(event.position, event.name) for event in events if event.position not in kept]
    if any(position is None or position < top for position, _ in extra):
        found.append(f"was told what is not in the stream: {extra}")
    for position, name, data in stored.stream:
        event = seen.get(position)
        if event is not None and (event.name != name or event.data != json.loads(data)):
            found.append(f"event {position} is another one: {event.name} for {name}")
    return found


def _folds(events: list[Event], rest: Shown) -> str:
    try:
        Folded([*events, Event("done", None)]).equals_rest(rest)  # type: ignore[arg-type]
    except (AssertionError, KeyError, IndexError, TypeError) as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        return f"does not fold ({frame.line}): {str(error)[:400]}"
    return ""


def trail(reader: Reader) -> str:
    """What the reader was told, connection by connection, shortened."""
    told = []
    for segment in reader.segments:
        names = [
            f"{event.position}:{event.name.removeprefix('thread.')}"
            for event in segment.events
            if not event.name.endswith(".delta")
        ]
        deltas = sum(event.name.endswith(".delta") for event in segment.events)
        if names or deltas or len(reader.segments) < 6:
            told.append(f"after {segment.after}: {' '.join(names)} +{deltas} deltas, {segment.end}")
    return "[" + " | ".join(told) + "]"
