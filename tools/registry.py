"""Which tools a run can use: a literal dict from the tool's type to what carries it out, and what others install.

A package of somebody else's adds tools by entry points of the group `holdfast.tools`: docs/adding-a-tool.md.
"""

import functools
import hashlib
import logging
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from typing import Any

from tools import function
from tools.code_interpreter.tool import CodeInterpreter
from tools.file_search import FileSearch
from tools.mcp.tool import Mcp
from tools.openapi_actions.tool import ActionTool
from tools.served import ServedTool
from tools.tool import FUNCTION, Entry, Offer, ServerTool
from tools.web_search.tool import WebSearch
from tools.web_search.wire import TYPES as WEB_SEARCH_TYPES

logger = logging.getLogger(__name__)

SERVER_TOOLS: dict[str, ServerTool] = {
    "code_interpreter": CodeInterpreter(),
    "file_search": FileSearch(),
    "action": ActionTool(),
    "mcp": Mcp(),
    **dict.fromkeys(WEB_SEARCH_TYPES, WebSearch()),
}

ENTRY_POINTS = "holdfast.tools"
MOST_NAME = 64
MOST_FUNCTIONS = 128  # of one request: OpenAI refuses more, and others with it


@functools.cache
def server_tools() -> dict[str, ServerTool]:
    """The tools of this installation by their type: ours, and those of installed packages.

    One that cannot be loaded is left out, and the log says why.
    """
    found = dict(SERVER_TOOLS)
    for point in entry_points(group=ENTRY_POINTS):
        try:
            tool = point.load()()
            if not isinstance(tool, ServedTool) or tool.type != point.name:
                raise TypeError(f"it is no ServedTool whose type is '{point.name}'")
            if point.name in found or point.name == FUNCTION:
                raise ValueError("there is a tool of this type already")
            found[point.name] = tool
        except Exception as problem:
            logger.error(
                "The tool '%s' (%s) is left out: %s. Repair its package, or uninstall it.",
                point.name,
                point.value,
                problem,
            )
    return found


@dataclass(frozen=True)
class Offered:
    """A function as a run offers it to the model: under which name, and who carries its calls out (None: the caller).

    `of` and `needs_approval` are the `Offer`'s.
    """

    name: str
    chat: dict[str, Any]
    tool: dict[str, Any]
    server_tool: ServerTool | None = None
    of: str = ""
    needs_approval: bool = False

    @property
    def identity(self) -> list[str]:
        """Which of a run's functions it is, whatever it is called: lists change, and names then go to others."""
        return [self.tool["type"], self.tool.get("id", ""), self.tool.get("server_label", ""), self.of]

    def entry(self, id: str) -> Entry:
        """A call of this server's in the step when it has just begun."""
        assert self.server_tool is not None
        kind = self.server_tool.step_type
        return {"id": id, "type": kind, kind: self.server_tool.opening(self.tool, self.name)}

    def asked(self, id: str, arguments: str) -> dict[str, Any]:
        """A call as it waits for approval in `required_action`."""
        assert self.server_tool is not None
        asked: dict[str, Any] = {"id": id, "type": self.server_tool.type}
        asked |= {key: self.tool[key] for key in ("server_label",) if key in self.tool}
        return asked | {"name": self.of or self.name, "arguments": arguments}


@dataclass(frozen=True)
class Offering:
    """All that a run offers to the model, and sentences about what it cannot offer now."""

    tools: list[Offered] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


Brief = Callable[[ServerTool, dict[str, Any]], Any]


def offering(tools: list[dict[str, Any]], brief: Brief, *, even_if_off: bool = False) -> Offering:
    """What the model is told of these tools. Types that this server cannot carry out are not offered, nor, unless asked
    for (`even_if_off`), those that its operator has switched off.

    A name that a function, or a tool before, has taken gets an ending; `brief` gives what `ServerTool.brief` does. More
    functions than a model takes are left out, and the model is told how many.
    """
    functions = [
        Offered(tool["function"]["name"], function.offer(tool), tool) for tool in tools if tool["type"] == FUNCTION
    ]
    taken = {each.name for each in functions}
    served: list[Offered] = []
    notes: list[str] = []
    for server_tool, tool in served_among(tools):
        if not (even_if_off or server_tool.is_offered()):
            continue
        briefing = brief(server_tool, tool)
        for offer in server_tool.offers(tool, briefing):
            name = free_name(fit_name(offer.name), taken)
            taken.add(name)
            served.append(Offered(name, as_chat(offer, name), tool, server_tool, offer.of, offer.needs_approval))
        if note := server_tool.note(tool, briefing):
            notes.append(note)
    room = max(0, MOST_FUNCTIONS - len(functions))
    if len(served) > room:
        notes.append(f"{len(served) - room} more functions could not be offered to you: there are too many.")
    return Offering([*served[:room], *functions], notes)


def served_among(tools: list[dict[str, Any]]) -> Iterator[tuple[ServerTool, dict[str, Any]]]:
    """Those of a run's tools that this server carries out."""
    seen: set[str] = set()
    for tool in tools:
        server_tool = server_tools().get(tool["type"])
        if server_tool is None or (server_tool.is_single and server_tool.type in seen):
            continue
        seen.add(server_tool.type)
        yield server_tool, tool


def refreshing(tools: list[dict[str, Any]]) -> list[tuple[ServerTool, dict[str, Any]]]:
    """Those whose `refresh` is to be awaited before they can be offered."""
    return [(server_tool, tool) for server_tool, tool in served_among(tools) if server_tool.refreshes]


def as_chat(offer: Offer, name: str) -> dict[str, Any]:
    """The offer in the words of chat completions."""
    told = {"name": name, "description": offer.description, "parameters": offer.parameters}
    return {"type": "function", "function": told}


def fit_name(wanted: str) -> str:
    """A name that models take: letters, digits, `_` and `-`, 64 of them at most. What is cut stays unique."""
    name = re.sub(r"[^a-zA-Z0-9_-]", "_", wanted) or "tool"
    if len(name) <= MOST_NAME:
        return name
    return f"{name[: MOST_NAME - 9]}_{hashlib.sha256(wanted.encode()).hexdigest()[:8]}"


def free_name(wanted: str, taken: set[str]) -> str:
    name, number = wanted, 1
    while name in taken:
        ending = "_tool" if number == 1 else f"_{number}"
        name, number = wanted[: MOST_NAME - len(ending)] + ending, number + 1
    return name


def as_opened(entry: Entry) -> Entry:
    """A call of a type of its own as it stood in the step when it had just begun."""
    kind = entry["type"]
    return {**entry, kind: server_tools()[kind].opened(entry[kind])}


def is_told_while_it_runs(entry: Entry) -> bool:
    """Whether deltas tell what a call comes to; else its step's end does."""
    return server_tools()[entry["type"]].listener() is not None
