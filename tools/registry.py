"""Which tools a run can use: a literal dict from the tool's type to what carries it out."""

from typing import Any, Protocol

from tools.function import FunctionTool

Chat = dict[str, Any]


class Tool(Protocol):
    """How one type of tool takes part in a run."""

    def offer(self, tool: dict[str, Any]) -> Chat:
        """The tool in the words of chat completions, as the model is told of it."""
        ...


TOOLS: dict[str, Tool] = {
    "function": FunctionTool(),
}


def offered(tools: list[dict[str, Any]]) -> list[Chat]:
    """What the model is told of these tools. Types that this server cannot carry out are not offered."""
    return [TOOLS[tool["type"]].offer(tool) for tool in tools if tool["type"] in TOOLS]
