"""What a tool is: how the model is told of it, how its calls look in a run step, and what carrying one out gives.

A tool knows nothing of runs. It gets a `ToolContext`, and its failure is a text for the model: the run goes on.
"""

from dataclasses import dataclass, field
from typing import Any, Protocol

from tools.citations import Source

Chat = dict[str, Any]
Entry = dict[str, Any]  # a call as it stands in a step: id, type, and under the type's name its details


@dataclass(frozen=True)
class ToolContext:
    """What a call may know and use. `turn` is the number of the run's model turn, from 1."""

    tenant_id: str
    turn: int
    options: dict[str, Any]  # the tool as the run has it, such as its `file_search` with `max_num_results`
    vector_stores: tuple[str, ...] = ()
    # Stores whose files may just be on their way, and are waited for before the first search.
    waits_for: tuple[str, ...] = ()
    most_results: int = 20
    result_tokens: int = 16_000


@dataclass(frozen=True)
class ToolResult:
    """What a call came to: a text for the model, its details in the step, and what the model may cite."""

    output: str
    details: dict[str, Any]
    sources: tuple[Source, ...] = field(default=())


class ServerTool(Protocol):
    """A tool that this server carries out; `type` is its name in `tools` and in steps."""

    type: str

    def offer(self, tool: dict[str, Any], name: str) -> Chat:
        """The tool in the words of chat completions, as the model is told of it, under this name."""
        ...

    def opening(self, tool: dict[str, Any]) -> dict[str, Any]:
        """A call's details in the step when it has just begun."""
        ...

    def opened(self, details: dict[str, Any]) -> dict[str, Any]:
        """Details with a result as they were when the call had just begun."""
        ...

    async def run(self, context: ToolContext, arguments: dict[str, Any], number: int) -> ToolResult:
        """Carries a call out; what it gives to cite is numbered from `number` on.

        Raises nothing of its own: what goes wrong is told to the model.
        """
        ...
