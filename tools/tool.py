"""What a tool is: how the model is told of it, how its calls look in a run step, and what carrying one out gives.

A tool knows nothing of runs. It gets a `ToolContext`, and its failure is a text for the model: the run goes on.
"""

from collections.abc import Callable, Sequence
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
    thread_id: str = ""
    call_id: str = ""  # unique among all calls of all runs, and the same if another worker goes on with it
    # The call's details as far as they were told, if another worker told them; else as `opening` has them.
    told: dict[str, Any] = field(default_factory=dict)
    begun: dict[str, Any] | None = None  # what `begin` gave, perhaps in another worker
    is_resumed: bool = False
    # Tells the readers of a growth of the call's details: lists of entries with their `index`, texts that are added.
    grow: Callable[[dict[str, Any]], None] = lambda growth: None
    code_files: tuple[str, ...] = ()  # the assistant's and the thread's files for code, by their ids
    seconds_left: float = 600.0  # until the run expires
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
    images: tuple[str, ...] = ()  # ids of files that the run's next message shows


class ServerTool(Protocol):
    """A tool that this server carries out; `type` is its name in `tools` and in steps."""

    type: str
    # Whether the calls of one turn are carried out one after another, in their order; else all at once.
    in_order: bool

    def is_offered(self) -> bool:
        """Whether runs get this tool at all; the operator may have switched it off."""
        ...

    def offer(self, tool: dict[str, Any], name: str, briefing: str) -> Chat:
        """The tool in the words of chat completions, as the model is told of it, under this name.

        `briefing` is what `brief` has given for this run.
        """
        ...

    def brief(self, tenant_id: str, thread_id: str, file_ids: Sequence[str]) -> str:
        """What the tool's description tells of this run, such as its files. Reads the database."""
        ...

    async def hindrance(self) -> str:
        """Why no run can be offered this tool now, as a sentence with its remedy, which fails the run; else empty."""
        ...

    def listener(self) -> "Listener | None":
        """For a call whose arguments are told while the model writes them; None: they are not told."""
        ...

    def opening(self, tool: dict[str, Any]) -> dict[str, Any]:
        """A call's details in the step when it has just begun."""
        ...

    def opened(self, details: dict[str, Any]) -> dict[str, Any]:
        """Details with a result as they were when the call had just begun."""
        ...

    def shown_again(self, arguments: str) -> str:
        """A call's arguments as the model is shown them in its next turns: a JSON object, if they can be read."""
        ...

    def flaw(self, arguments: str) -> str:
        """What is wrong with a call's arguments, as the model is told; empty: they can be read."""
        ...

    async def begin(self, context: ToolContext) -> dict[str, Any] | None:
        """What is stored before a call is carried out, so that another worker can go on with it where this one died.

        None: a call without effects, which that worker's model turn may ask for again.
        """
        ...

    async def run(self, context: ToolContext, arguments: str, number: int) -> ToolResult:
        """Carries a call out; what it gives to cite is numbered from `number` on.

        Raises nothing of its own: what goes wrong is told to the model.
        """
        ...

    async def abandon(self, context: ToolContext) -> None:
        """The run was cancelled or has expired while a call was under way: ends what it started. Never raises."""
        ...


class Listener(Protocol):
    """Reads a call's arguments while they come."""

    def feed(self, text: str) -> dict[str, Any]:
        """The details' growth by these characters, such as `{"input": "impo"}`; empty: nothing to tell yet."""
        ...
