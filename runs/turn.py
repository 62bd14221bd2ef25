"""One model turn as it grows, and the shapes in which rows and events have what it brought."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from assistant_site.llm.chat import ChatRequest, TurnFinished, Usage
from assistant_site.llm.tokens import estimate_request, text_bytes, tokens_of_bytes
from runs.folding import grow
from runs.models import RunStep
from tenants.routes import Route
from threads.models import Message
from tools.citations import Cited, Source
from tools.registry import Offered
from tools.tool import FUNCTION, Entry, Listener, ServerTool, StoredFile, ToolResult

# In the carry of a step whose calls are decided and are being carried out: what its turn has cost, and whether it was
# flawed. Such a step stays open when its worker dies, and another worker goes on with its calls.
DECIDED = "decided"


@dataclass(frozen=True)
class FileLink:
    """A link to a file that code has written, as it stands in the text, and the file's id."""

    text: str
    file_id: str


@dataclass
class Call:
    """A call of the model. `entry` is how it stands in the step; a function's arguments and output are in it.

    `served` is the tool that this server carries out for it; None: a function of the caller, or nothing we know.
    """

    name: str
    entry: Entry
    served: Offered | None = None
    arguments: str = ""
    output: str | None = None
    result: ToolResult = field(default=ToolResult(""))  # what it brought beside its output
    is_approved: bool = False  # by the caller, where that is needed
    begun: dict[str, Any] | None = None  # what its tool's `begin` gave
    listener: Listener | None = None
    # When its tool was set to work, and was done; seconds since 1970.
    began_at: float | None = None
    ended_at: float | None = None

    @classmethod
    def new(cls, id: str, name: str, offered: Offered | None) -> "Call":
        """A call that has just begun; `offered` is the tool of this name, if there is one."""
        if offered is not None and offered.server_tool is not None:
            return cls(name, offered.entry(id), offered, listener=offered.server_tool.listener())
        return cls(name, {"id": id, "type": "function", "function": {"name": name, "arguments": "", "output": None}})

    @classmethod
    def kept(cls, entry: Entry, kept: dict[str, Any], offered: Offered | None) -> "Call":
        """A call as its row has it, `kept` being what `as_kept` gave, if the server carries it out."""
        if not kept:
            function = entry["function"]
            return cls(function["name"], entry, None, function["arguments"], function["output"])
        call = cls(kept["name"], entry, offered, kept["arguments"], kept["output"], result_from(kept))
        call.begun, call.is_approved = kept.get("begun"), kept.get("approved", False)
        call.began_at, call.ended_at = kept.get("times", (None, None))
        if offered is None and call.output is None:
            what = "was not" if call.begun is None else "may have been"
            call.answer(f"The tool '{call.name}' is not available any more. This call {what} carried out.")
        return call

    @property
    def tool(self) -> ServerTool | None:
        """Who carries it out; None: its caller, or nobody."""
        return self.served.server_tool if self.served is not None else None

    @property
    def waits(self) -> bool:
        """Whether it is still the server's to carry out."""
        return self.tool is not None and self.output is None and not self.needs_approval

    @property
    def needs_approval(self) -> bool:
        """Whether its caller must approve it before anything is done."""
        return self.served is not None and self.served.needs_approval and not self.is_approved and self.output is None

    @property
    def is_function(self) -> bool:
        """Whether it looks like a call of a function in the step, with its arguments and its output."""
        return bool(self.entry["type"] == FUNCTION)

    def add_arguments(self, text: str) -> dict[str, Any]:
        """More of the arguments; returns what of it readers are told, as growth of the details."""
        self.arguments += text
        if self.served is None:
            told = {"arguments": text}
        else:
            told = self.listener.feed(text) if self.listener is not None else {}
        self.grow(told)
        return told

    def grow(self, growth: dict[str, Any]) -> None:
        """Adds to the details, as they are told."""
        grow(self.entry[self.entry["type"]], growth)

    def answer(self, output: str) -> None:
        """The output that the model gets."""
        self.output = output
        if self.is_function:
            self.entry[FUNCTION]["output"] = output

    def take(self, result: ToolResult) -> None:
        """What the server's tool came to."""
        assert self.served is not None
        self.answer(result.output)
        if result.details is not None:
            self.entry[self.entry["type"]] = result.details
        self.result = result

    def as_kept(self) -> dict[str, Any]:
        """What of a server's tool only the model sees, for the step's row; and how another worker goes on with it."""
        assert self.tool is not None
        assert self.served is not None
        kept: dict[str, Any] = {
            "name": self.name,
            "identity": self.served.identity,
            "arguments": self.tool.shown_again(self.arguments),
            "output": self.output,
            "sources": [source.as_json() for source in self.result.sources],
        }
        if self.result.images:
            kept["images"] = list(self.result.images)
        if self.result.files:
            kept["files"] = {file.name: file.file_id for file in self.result.files}
        if self.output is None and self.begun is not None:
            kept["begun"] = self.begun
        if self.is_approved:
            kept["approved"] = True
        if self.began_at is not None:
            kept["times"] = [self.began_at, self.ended_at]
        return kept


def result_from(kept: dict[str, Any]) -> ToolResult:
    """What a call has brought beside its output, of what `Call.as_kept` gave."""
    return ToolResult(
        "",
        sources=tuple(Source.from_json(stored) for stored in kept["sources"]),
        images=tuple(kept.get("images", ())),
        files=tuple(StoredFile(name, file_id) for name, file_id in kept.get("files", {}).items()),
    )


class Turn:
    """What one model turn has brought so far."""

    def __init__(self, number: int, offered: Iterable[Offered], images: Sequence[str] = ()) -> None:
        self.number = number
        self.images = tuple(images)  # files that its message shows before all else
        self.offered = {each.name: each for each in offered}  # the tools it may call
        self.message: tuple[RunStep, Message] | None = None
        self.calls_step: RunStep | None = None
        self.parts: list[str] = []  # "text" and "refusal" in the order in which they began
        self.text = ""
        self.annotations: list[dict[str, Any]] = []
        self.refusal = ""
        self.calls: list[Call] = []
        self.flawed = ""  # a function that was called with arguments that are no JSON
        self.finished: TurnFinished | None = None
        self.window: int | None = None  # tokens that its model can see at once, if that was looked up
        self.route: Route | None = None  # the last that was asked; None: nobody was, or by another worker
        self.request: ChatRequest | None = None  # what it was asked
        self.carry: dict[str, Any] = {}  # what goes back to the model as it was, see `carry_of`

    @classmethod
    def kept(cls, step: RunStep, offered: Iterable[Offered]) -> "Turn":
        """A turn whose calls another worker has begun to carry out."""
        turn = cls(step.turn, offered)
        turn.calls_step = step
        served = step.carry["served"]
        for index, entry in enumerate(step.step_details["tool_calls"]):
            kept = served.get(str(index), {})
            turn.calls.append(Call.kept(entry, kept, turn.offered_again(kept)))
        turn.carry = {name: step.carry[name] for name in ("message", "calls") if name in step.carry}
        turn.flawed = step.carry[DECIDED]["flawed"]
        return turn

    def offered_again(self, kept: dict[str, Any]) -> Offered | None:
        """What a call is of, by what `Call.as_kept` gave, if it is still there."""
        if "identity" not in kept:  # a function of the caller's, or kept by a version that went by names
            return self.offered.get(kept["name"]) if kept else None
        return next((each for each in self.offered.values() if each.identity == kept["identity"]), None)

    def entries(self) -> list[Entry]:
        """The calls as they stand in the step."""
        return [call.entry for call in self.calls]

    def approvals(self) -> list[dict[str, Any]]:
        """The calls that wait for their caller's approval, as `required_action` has them."""
        return [
            call.served.asked(call.entry["id"], call.arguments)
            for call in self.calls
            if call.served is not None and call.needs_approval
        ]

    def usage(self) -> Usage | None:
        """What the turn has cost so far, as was told or by our estimate; None: nothing, as nobody was asked here."""
        if self.finished is not None:
            return self.finished.usage
        if self.route is None or self.request is None:
            return None
        said = text_bytes(self.text) + text_bytes(self.refusal)
        said += sum(text_bytes(call.name) + text_bytes(call.arguments) for call in self.calls)
        limits = [self.request.options.get(name) for name in ("max_completion_tokens", "max_tokens")]
        completion = min([tokens_of_bytes(said), *(limit for limit in limits if isinstance(limit, int))])
        prompt = estimate_request(self.request.messages, self.request.tools)
        return Usage(prompt, completion, estimated=True)

    def index_of(self, part: str) -> int:
        """The place of the message's text or refusal, behind its images; given at its first piece, for good."""
        if part not in self.parts:
            self.parts.append(part)
        return len(self.images) + self.parts.index(part)

    def image_parts(self) -> list[dict[str, Any]]:
        return [{"type": "image_file", "image_file": {"file_id": file_id}} for file_id in self.images]

    def grow_text(self, piece: str | Cited | FileLink) -> dict[str, Any]:
        """Adds to the text; returns what a delta tells of it. A citation or link is an annotation at its place, too."""
        text = piece if isinstance(piece, str) else piece.text
        told: dict[str, Any] = {"value": text}
        if not self.text:
            told["annotations"] = []
        if not isinstance(piece, str):
            start = len(self.text)
            kind = piece.source.kind if isinstance(piece, Cited) else "file_path"
            annotation = {
                "type": kind,
                "text": text,
                "start_index": start,
                "end_index": start + len(text),
                kind: piece.source.citation() if isinstance(piece, Cited) else {"file_id": piece.file_id},
            }
            told["annotations"] = [{"index": len(self.annotations), **annotation}]
            self.annotations.append(annotation)
        self.text += text
        return told

    def content(self) -> list[dict[str, Any]]:
        """The message's parts as they stand; a message that says nothing has an empty text."""
        made: dict[str, dict[str, Any]] = {
            "text": {"type": "text", "text": {"value": self.text, "annotations": list(self.annotations)}},
            "refusal": {"type": "refusal", "refusal": self.refusal},
        }
        return [*self.image_parts(), *(made[part] for part in self.parts or ["text"])]


def storable(value: Any) -> Any:
    """PostgreSQL stores no NUL; a model that writes one loses nothing else."""
    if isinstance(value, str):
        return value.replace("\x00", "\ufffd")
    if isinstance(value, list):
        return [storable(item) for item in value]
    if isinstance(value, dict):
        return {storable(key): storable(item) for key, item in value.items()}
    return value


def usage_json(usage: Usage) -> dict[str, Any]:
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "prompt_token_details": {"cached_tokens": usage.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }


def carry_of(finished: TurnFinished) -> dict[str, Any]:
    """What of a model's turn goes back to it as it was; empty for most turns."""
    carry: dict[str, Any] = {}
    if finished.carry:
        carry["message"] = storable(finished.carry)
    if finished.call_extras:
        carry["calls"] = {str(index): storable(extra) for index, extra in finished.call_extras.items()}
    return carry


def carry_json(turn: Turn) -> dict[str, Any]:
    """What goes back to the model with this turn beside what clients see."""
    served = {str(index): storable(call.as_kept()) for index, call in enumerate(turn.calls) if call.served is not None}
    return turn.carry | ({"served": served} if served else {})
