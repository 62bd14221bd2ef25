"""What a tool is: how the model is told of it, how its calls look in a run step, and what carrying one out gives.

A tool knows nothing of runs. It gets a `ToolContext`, and its failure is a text for the model: the run goes on.
Most tools are a `tools.served.ServedTool`; this is what the engine asks of any.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from tools.citations import Source

Entry = dict[str, Any]  # a call as it stands in a step: id, type, and under the type's name its details

FUNCTION = "function"  # the type of such an entry that every client knows


@dataclass(frozen=True)
class Briefed:
    """What a tool may know of a run before the model is told of the tool."""

    tenant_id: str
    thread_id: str
    code_files: Sequence[str] = ()  # the assistant's and the thread's files for code, by their ids
    tools: Sequence[dict[str, Any]] = ()  # all of the run
    found: dict[str, Any] = field(default_factory=dict)  # by tools' types: what was read for several of them at once


@dataclass(frozen=True)
class Offer:
    """A function as the model is told of it. The registry makes its name unique among the run's functions, and fit."""

    name: str
    description: str
    parameters: dict[str, Any]
    of: str = ""  # the tool's own word for it, such as the name by which another server knows it
    needs_approval: bool = False  # its calls wait in `requires_action` until the caller has approved them


@dataclass(frozen=True)
class ToolContext:
    """What a call may know and use. `turn` is the number of the run's model turn, from 1."""

    tenant_id: str
    turn: int
    options: dict[str, Any]  # the tool as the run has it, such as its `file_search` with `max_num_results`
    thread_id: str = ""
    name: str = ""  # under which the model called it
    of: str = ""  # see `Offer`
    # Unique among all calls of all runs, and the same if another worker goes on with it: an idempotency key.
    call_id: str = ""
    number: int = 0  # what the call gives to cite is numbered from it on
    # The call's details as far as they were told, if another worker told them; else as `opening` has them.
    told: dict[str, Any] = field(default_factory=dict)
    begun: dict[str, Any] | None = None  # what `begin` gave, perhaps in another worker
    is_resumed: bool = False
    # Tells the readers of a growth of the call's details: lists of entries with their `index`, texts that are added.
    grow: Callable[[dict[str, Any]], None] = lambda growth: None
    secrets: dict[str, Any] = field(default_factory=dict, repr=False)  # credentials that came with the run
    depth: int = 0  # how many assistants have called each other to start this run
    code_files: tuple[str, ...] = ()  # see `Briefed`
    seconds_left: float = 600.0  # until the run expires
    vector_stores: tuple[str, ...] = ()
    # Stores whose files may just be on their way, and are waited for before the first search.
    waits_for: tuple[str, ...] = ()
    most_results: int = 20
    result_tokens: int = 16_000


@dataclass(frozen=True)
class StoredFile:
    """A file that a call has brought. The answer may link to it as to a file of code: `sandbox:/mnt/data/<name>`."""

    name: str
    file_id: str


@dataclass(frozen=True)
class ToolResult:
    """What a call came to: a text for the model, and what it may cite, show and link to.

    `details` are those of the step, for tools whose calls have a shape of their own there.
    """

    output: str
    details: dict[str, Any] | None = None
    sources: tuple[Source, ...] = ()
    images: tuple[str, ...] = ()  # ids of files that the run's next message shows
    files: tuple[StoredFile, ...] = ()


class ServerTool(Protocol):
    """A tool that this server carries out; `type` is its name in `tools`."""

    type: str
    step_type: str  # of its calls in steps: a type of its own, or FUNCTION
    is_single: bool  # offered once, however often it stands among a run's tools
    refreshes: bool  # `refresh` is to be awaited before `brief`
    in_order: bool  # the calls of one turn are carried out one after another; else all at once
    gives_sources: bool  # what it brings may be cited
    links_to_code: bool  # the model's answer may link to files of the thread's code

    @property
    def seconds(self) -> float | None:
        """How long a call may take; None: it ends by itself."""
        ...

    def is_offered(self) -> bool:
        """Whether runs get this tool at all; the operator may have switched it off."""
        ...

    async def refresh(self, tenant_id: str, tool: dict[str, Any]) -> None:
        """Fetches what `brief` needs and the database lacks. Raises nothing of its own."""
        ...

    def brief(self, tool: dict[str, Any], run: Briefed) -> Any:
        """What the model must be told of the tool in this run. Reads the database."""
        ...

    def offers(self, tool: dict[str, Any], briefing: Any) -> list[Offer]:
        """The functions by which the model calls it; `briefing` is what `brief` has given."""
        ...

    def note(self, tool: dict[str, Any], briefing: Any) -> str:
        """A sentence for the model about what it cannot be offered now; mostly empty."""
        ...

    async def hindrance(self) -> str:
        """Why no run can be offered this tool now, as a sentence with its remedy, which fails the run; else empty."""
        ...

    def listener(self) -> "Listener | None":
        """For a call whose arguments are told while the model writes them; None: they are not told."""
        ...

    def opening(self, tool: dict[str, Any], name: str) -> dict[str, Any]:
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

    async def call(self, context: ToolContext, arguments: str) -> ToolResult:
        """Carries a call out. What goes wrong is told to the model."""
        ...

    async def abandon(self, context: ToolContext) -> None:
        """The run was cancelled or has expired while a call was under way: ends what it started. Never raises."""
        ...


class Listener(Protocol):
    """Reads a call's arguments while they come."""

    def feed(self, text: str) -> dict[str, Any]:
        """The details' growth by these characters, such as `{"input": "impo"}`; empty: nothing to tell yet."""
        ...
