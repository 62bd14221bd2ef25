"""Which tools a run can use: a literal dict from the tool's type to what carries it out."""

from dataclasses import dataclass
from typing import Any

from tools import function
from tools.file_search import FileSearch
from tools.tool import Chat, Entry, ServerTool

SERVER_TOOLS: dict[str, ServerTool] = {
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


def offered(tools: list[dict[str, Any]]) -> list[Offered]:
    """What the model is told of these tools. Types that this server cannot carry out are not offered.

    A server's tool is offered once, under its own name unless a function has taken it.
    """
    functions = [
        Offered(tool["function"]["name"], function.offer(tool), tool) for tool in tools if tool["type"] == "function"
    ]
    taken = {each.name for each in functions}
    served: dict[str, Offered] = {}
    for tool in tools:
        server_tool = SERVER_TOOLS.get(tool["type"])
        if server_tool is not None and server_tool.type not in served:
            name = free_name(server_tool.type, taken)
            served[server_tool.type] = Offered(name, server_tool.offer(tool, name), tool, server_tool)
    return [*served.values(), *functions]


def free_name(wanted: str, taken: set[str]) -> str:
    while wanted in taken:
        wanted += "_tool"
    return wanted


def as_opened(entry: Entry) -> Entry:
    """A server tool's call as it stood in the step when it had just begun."""
    kind = entry["type"]
    return {**entry, kind: SERVER_TOOLS[kind].opened(entry[kind])}
