"""Which tools a run can use: a literal dict from the tool's type to what carries it out."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tools import function
from tools.code_interpreter.tool import CodeInterpreter
from tools.file_search import FileSearch
from tools.tool import Chat, Entry, ServerTool

SERVER_TOOLS: dict[str, ServerTool] = {
    "code_interpreter": CodeInterpreter(),
    "file_search": FileSearch(),
}


@dataclass(frozen=True)
class Offered:
    """A tool as a run offers it to the model: under which name, and who carries its calls out (None: the caller)."""

    name: str
    chat: Chat
    tool: dict[str, Any]
    server_tool: ServerTool | None = None

    def opening(self) -> dict[str, Any]:
        assert self.server_tool is not None
        return {self.server_tool.type: self.server_tool.opening(self.tool)}


def offered(
    tools: list[dict[str, Any]], brief: Callable[[ServerTool], str] = lambda tool: "", *, even_if_off: bool = False
) -> list[Offered]:
    """What the model is told of these tools. Types that this server cannot carry out are not offered, nor, unless asked
    for (`even_if_off`), those that its operator has switched off.

    A server's tool is offered once, under its own name unless a function has taken it; `brief` gives what its
    description tells of the run.
    """
    functions = [
        Offered(tool["function"]["name"], function.offer(tool), tool) for tool in tools if tool["type"] == "function"
    ]
    taken = {each.name for each in functions}
    served: dict[str, Offered] = {}
    for tool in tools:
        server_tool = SERVER_TOOLS.get(tool["type"])
        if server_tool is None or server_tool.type in served:
            continue
        if even_if_off or server_tool.is_offered():
            name = free_name(server_tool.type, taken)
            chat = server_tool.offer(tool, name, brief(server_tool))
            served[server_tool.type] = Offered(name, chat, tool, server_tool)
    return [*served.values(), *functions]


def free_name(wanted: str, taken: set[str]) -> str:
    while wanted in taken:
        wanted += "_tool"
    return wanted


def as_opened(entry: Entry) -> Entry:
    """A server tool's call as it stood in the step when it had just begun."""
    kind = entry["type"]
    return {**entry, kind: SERVER_TOOLS[kind].opened(entry[kind])}


def is_told_while_it_runs(entry: Entry) -> bool:
    """Whether deltas tell what a call comes to; else its step's end does."""
    return SERVER_TOOLS[entry["type"]].listener() is not None
