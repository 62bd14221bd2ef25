"""The law of folds: a stream, put together as the SDKs do it, is what REST then returns."""

import copy
from typing import Any

from openai.lib.streaming._deltas import accumulate_delta

from assistant_site.tests.callers import Event, LiveCaller


def shape(events: list[Event]) -> list[str]:
    """The events' names, repeated deltas as one."""
    names: list[str] = []
    for event in events:
        if not (event.name.endswith(".delta") and names and names[-1] == event.name):
            names.append(event.name.removeprefix("thread."))
            if event.name.endswith(".delta"):
                names[-1] = event.name
    return [name.removeprefix("thread.") for name in names]


class Folded:
    """What a reader of the stream knows at its end.

    Judges by the strictest client's rules: one open step and one open message at a time.
    """

    def __init__(self, events: list[Event]) -> None:
        self.messages: dict[str, Any] = {}
        self.steps: dict[str, Any] = {}
        self.run: Any = None
        open_step = open_message = None
        positions = [event.position for event in events if event.position is not None]
        assert positions == sorted(set(positions)), "positions grow"
        for event in events:
            if event.name == "thread.message.created":
                assert open_message is None
                assert event.data["content"] == []
                open_message = event.data["id"]
                self.messages[open_message] = dict(event.data)
            elif event.name == "thread.message.delta":
                assert event.data["id"] == open_message
                self.messages[open_message] = accumulated(self.messages[open_message], event)
            elif event.name in ("thread.message.completed", "thread.message.incomplete"):
                assert event.data["id"] == open_message
                folded = self.messages[open_message]["content"]
                stored = event.data["content"]
                told = [without_index(part) for part in folded]
                assert told == stored or not told, (told, stored)
                self.messages[open_message] = event.data
                open_message = None
            elif event.name == "thread.run.step.created":
                assert open_step is None
                open_step = event.data["id"]
                self.steps[open_step] = dict(event.data)
            elif event.name == "thread.run.step.delta":
                assert event.data["id"] == open_step
                assert "id" not in event.data["delta"]
                self.steps[open_step] = accumulated(self.steps[open_step], event)
            elif event.name.startswith("thread.run.step.") and event.name != "thread.run.step.in_progress":
                assert open_step in (None, event.data["id"])  # a step of an earlier stream may end in this one
                if open_step is not None:
                    assert calls_of(self.steps[open_step]) == calls_of(event.data)
                self.steps[event.data["id"]] = event.data
                open_step = None
            elif event.name.startswith("thread.run.") and event.name.count(".") == 2:
                self.run = event.data
        assert events[-1].name == "done"
        assert events[-2].name.startswith("thread.run.")
        assert events[-2].name.count(".") == 2
        assert open_message is None
        assert open_step is None or self.run["status"] == "requires_action"

    def equals_rest(self, caller: LiveCaller) -> None:
        """AssertionError unless REST says the same."""
        thread, run = self.run["thread_id"], self.run["id"]
        assert caller.get(f"threads/{thread}/runs/{run}").body == self.run
        for id, message in self.messages.items():
            assert caller.get(f"threads/{thread}/messages/{id}").body == message
        for id, step in self.steps.items():
            stored = caller.get(f"threads/{thread}/runs/{run}/steps/{id}").body
            if step["status"] == "in_progress":  # folded from deltas: its entries still have their index
                step = {**step, "step_details": without_index(step["step_details"])}
            assert stored == step


def accumulated(known: dict[Any, Any], event: Event) -> dict[Any, Any]:
    return accumulate_delta(known, copy.deepcopy(event.data["delta"]))  # which keeps parts of what it is given


def without_index(value: Any) -> Any:
    """A folded value as REST has it: the indexes, by which deltas name the entries of lists, are gone."""
    if isinstance(value, list):
        return [without_index(item) for item in value]
    if isinstance(value, dict):
        return {key: without_index(item) for key, item in value.items() if key != "index"}
    return value


def calls_of(step: Any) -> list[tuple[str, str, Any]]:
    """What deltas tell of a step's calls: of a function with what, of code everything, of a search that it was."""
    told = []
    for call in step["step_details"].get("tool_calls", []):
        function = call.get("function", {"name": call["type"], "arguments": call.get("code_interpreter")})
        told.append((call["id"], function["name"], without_index(function["arguments"])))
    return told
