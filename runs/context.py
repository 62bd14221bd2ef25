"""What the model is shown: instructions, the thread's messages that fit, and this run's own calls and outputs.

Messages are read from the newest on, in pages, only until the budget is full: a long thread costs no more than what is
sent of it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

from django.db.models import QuerySet

from assistant_site.db.questions import Place, Question
from assistant_site.llm.tokens import estimate_message, estimate_request
from assistant_site.wire.ids import moment_id
from runs import images
from runs.models import Run, RunStep, StepStatus
from runs.moves import NEWEST
from runs.windows import window_of
from tenants.routes import Profile
from threads.models import Message
from tools.citations import without_citations
from tools.registry import Offered

Chat = dict[str, Any]

# What the seed takes where a memory of type `window` does not say.
WINDOW_MESSAGES = 20
WINDOW_TOKENS = 4_000

# Parameters of a request that an assistant's `model_params` do not decide.
OUR_PARAMS = frozenset({"model", "messages", "tools", "tool_choice", "stream", "stream_options", "n", "functions"})

_FIRST_PAGE = NEWEST
_PAGE = 400


UNKNOWN = Profile()


def build(run: Run, tools: list[Offered], notes: Sequence[str] = (), profile: Profile = UNKNOWN) -> list[Chat]:
    """The chat messages of the run's next turn, in which these tools are offered; `notes` end the instructions.

    `profile` is what is known of the run's model.
    """
    instructions = "\n\n".join(filter(None, [run.instructions, *notes]))
    system = [{"role": "system", "content": instructions}] if instructions else []
    own = own_turns(run)
    budget = prompt_budget(run, profile) - estimate_request([*system, *own], [tool.chat for tool in tools])
    shown = [*system, *thread_messages(run, budget), *own]
    return images.unseen(shown) if profile.has_vision is False else images.located(run.tenant_id, shown)


def prompt_budget(run: Run, profile: Profile) -> int:
    """Tokens the next prompt may have: the model's window less room for an answer, and the run's own limit."""
    window = profile.context_window or window_of(run.model)
    answer = min(run.max_completion_tokens or window // 4, profile.max_completion_tokens or window)
    room = window - min(answer, window // 2)
    if run.max_prompt_tokens is not None:
        room = min(room, run.max_prompt_tokens - run.spent.get("prompt_tokens", 0))
    return room


@dataclass(frozen=True)
class Reach:
    """How far back the model is shown the thread, at most."""

    messages: int | None = None
    tokens: int | None = None
    to_last_question: bool = False  # no further than the last message of the user

    @classmethod
    def of(cls, run: Run) -> "Reach":
        """What the run's truncation strategy and the assistant's memory allow, taken together.

        Memory is the seed's: `metadata.memory` of the assistant, of type `naive` (everything), `zero` (from the last
        user message on) or `window` (so many messages and tokens).
        """
        strategy, memory = run.truncation_strategy or {}, run.memory
        limits = [strategy["last_messages"]] if strategy.get("type") == "last_messages" else []
        tokens = None
        if memory.get("type") == "window":
            limits.append(memory.get("window_size", WINDOW_MESSAGES))
            tokens = memory.get("max_token_size", WINDOW_TOKENS)
        return cls(min(limits) if limits else None, tokens, memory.get("type") == "zero")

    @property
    def is_everything(self) -> bool:
        return self == Reach()


def thread_messages(run: Run, budget: int) -> list[Chat]:
    """The thread's messages, oldest first, as far as reach and budget allow; at least the newest.

    Where nothing else limits them, what does not fit is dropped from the middle: the thread's first message stays, if
    it takes no more than a quarter of the budget.
    """
    reach = Reach.of(run)
    budget = budget if reach.tokens is None else min(budget, reach.tokens)
    kept: list[Chat] = []
    costs: list[int] = []
    left = budget
    for message in newest_first(run, reach.messages):
        shown = as_chat(message)
        if shown is None:
            continue
        cost = estimate_message(shown)
        if cost > left and kept:
            if reach.is_everything:
                keep_first(run, kept, costs, left, budget)
            break
        kept.append(shown)
        costs.append(cost)
        left -= cost
        if reach.to_last_question and message.role == "user":
            break
    kept.reverse()
    return kept


def keep_first(run: Run, kept: list[Chat], costs: list[int], left: int, budget: int) -> None:
    """Makes room for the thread's first message behind the newest ones; `kept` has the newest in front."""
    first = first_message(run)
    shown = as_chat(first) if first is not None else None
    if shown is None or (cost := estimate_message(shown)) > budget // 4:
        return
    while cost > left and len(kept) > 1:
        kept.pop()
        left += costs.pop()
    if cost <= left:
        kept.append(shown)


def thread_rows(run: Run) -> QuerySet[Message]:
    """The thread's messages but for this run's own; for one that has ended, those that were there when it began.

    While it is under way the thread takes no others.
    """
    rows = Message.objects.across_tenants().filter(thread_id=run.thread_id).exclude(run_id=run.pk)
    if run.is_terminal and run.started_at is not None:
        rows = rows.filter(pk__lt=moment_id("msg_", run.started_at))
    return rows


class Said(NamedTuple):
    """What a model is shown of a message."""

    pk: str
    role: str
    content: list[Chat]


@cache
def _older() -> Question[Message]:
    """A page of what a run sees of its thread before a message."""
    rows = Message.objects.across_tenants().filter(thread_id=Place("thread"), pk__lt=Place("before"))
    return Question(rows.exclude(run_id=Place("run")).order_by("-pk").only(*Said._fields)[:_PAGE])


@cache
def _first() -> Question[Message]:
    """The first message that a run sees of its thread, or of those that come behind it."""
    rows = Message.objects.across_tenants().filter(thread_id__gte=Place("thread")).exclude(run_id=Place("run"))
    return Question(rows.order_by("thread_id", "pk").only(*Said._fields, "thread_id")[:1])


def first_message(run: Run) -> Message | None:
    """The thread's first message, if it is not of this run.

    Asked for by the order of threads. Told to want the smallest id of this thread, PostgreSQL walks through messages of
    all threads where this one has a good part of them: 5 ms, when it had 10,000 of 18,000.
    """
    first = next(iter(_first().ask(thread=run.thread_id, run=run.pk)), None)
    return first if first is not None and first.thread_id == run.thread_id else None


def newest_first(run: Run, most: int | None) -> Iterator[Message | Said]:
    """The thread's messages, page by page."""
    before = ""
    size = _FIRST_PAGE
    while most is None or most > 0:
        size = size if most is None else min(size, most)
        rows: Sequence[Message | Said]
        if not before and run.newest is not None:
            rows, run.newest = run.newest[:size], None
        elif before and size == _PAGE and not run.is_terminal:
            rows = [Said(*values) for values in _older().ask_values(thread=run.thread_id, before=before, run=run.pk)]
        else:
            page = thread_rows(run)
            rows = list((page.filter(pk__lt=before) if before else page).order_by("-pk")[:size])
        yield from rows
        if len(rows) < size:
            return
        before, most, size = rows[-1].pk, None if most is None else most - size, _PAGE


def as_chat(message: Message | Said) -> Chat | None:
    """A message in the words of chat completions; None if there is nothing to show."""
    match message.content:
        case [{"type": "text", "text": {"value": str(text), "annotations": []}}]:  # nearly all are so
            return {"role": message.role, "content": text}
    parts: list[Chat] = []
    for part in message.content:
        if part["type"] == "text":
            text = without_citations(part["text"]["value"], part["text"]["annotations"])
            parts.append({"type": "text", "text": text})
        elif part["type"] == "refusal":
            parts.append({"type": "text", "text": part["refusal"]})
        elif message.role == "assistant" and part["type"] == "image_file":  # only users show images to a model
            parts.append({"type": "text", "text": f"[image {part['image_file']['file_id']}]"})
        elif part["type"] in ("image_url", "image_file"):
            parts.append(part)
    if not parts:
        return None
    if message.role == "assistant":
        parts = [part for part in parts if part["type"] == "text"]
    return {"role": message.role, "content": images.content_of(parts)}


def own_turns(run: Run) -> list[Chat]:
    """The finished turns of this run: what the model said and called, and what came out."""
    turns: dict[int, list[RunStep]] = {}
    if run.turns:
        finished = RunStep.objects.across_tenants().filter(run=run, status=StepStatus.COMPLETED, turn__lte=run.turns)
        for step in finished.order_by("pk"):
            turns.setdefault(step.turn, []).append(step)
    shown: list[Chat] = []
    for steps in turns.values():
        shown += turn_as_chat(steps)
    return shown


def turn_as_chat(steps: list[RunStep]) -> list[Chat]:
    """One turn: a message of the assistant, with its calls if there are any, then a message for each output."""
    text = ""
    calls: list[Chat] = []
    outputs: list[Chat] = []
    carry: Chat = {}
    for step in steps:
        carry |= step.carry.get("message", {})
        if step.type == "message_creation":
            message = Message.objects.across_tenants().get(pk=step.step_details["message_creation"]["message_id"])
            text = message.text
            continue
        extras, served = step.carry.get("calls", {}), step.carry.get("served", {})
        for index, call in enumerate(step.step_details["tool_calls"]):
            function = served.get(str(index)) or call["function"]
            calls.append(
                {
                    "id": call["id"],
                    "type": "function",
                    "function": {"name": function["name"], "arguments": function["arguments"]},
                    **extras.get(str(index), {}),
                }
            )
            outputs.append({"role": "tool", "tool_call_id": call["id"], "content": function["output"] or ""})
    said: Chat = {"role": "assistant", "content": text, **carry}
    return [said | ({"tool_calls": calls} if calls else {}), *outputs]


def options_of(run: Run, tools: list[Offered], profile: Profile) -> Chat:
    """The chat-completion parameters of the next turn. What nobody set is left out: some models refuse it.

    A forced tool is forced in the first turn only, else the run would never end. More tokens than the model's longest
    answer has are not asked for.
    """
    options: Chat = {
        name: getattr(run, name)
        for name in ("temperature", "top_p", "reasoning_effort")
        if getattr(run, name) is not None
    }
    if run.response_format not in ("auto", None, ""):
        options["response_format"] = run.response_format
    if run.max_completion_tokens is not None:
        options["max_completion_tokens"] = run.max_completion_tokens - run.spent.get("completion_tokens", 0)
    options |= params_of(run)
    if (most := profile.max_completion_tokens) is not None:
        for name in ("max_completion_tokens", "max_tokens"):
            if isinstance(options.get(name), int):
                options[name] = min(options[name], most)
    if tools:
        choice = run.tool_choice if run.tool_choice == "none" or run.turns == 0 else "auto"
        if choice != "auto" and (wanted := choice_of(choice, tools)) is not None:
            options["tool_choice"] = wanted
        if not run.parallel_tool_calls:
            options["parallel_tool_calls"] = False
    return options


def params_of(run: Run) -> Chat:
    """The parameters that the assistant or the request wants to be sent as they are, but for those that are ours."""
    params = {name: value for name, value in run.model_params.items() if name not in OUR_PARAMS and value is not None}
    if run.max_completion_tokens is not None:  # counted down over the turns
        params.pop("max_tokens", None)
        params.pop("max_completion_tokens", None)
    return params


def choice_of(choice: Any, tools: list[Offered]) -> Any:
    """A tool choice in the words of chat completions, where every tool is a function; None if it is not offered.

    Where a choice fits several functions, the model must call any function.
    """
    if not isinstance(choice, dict) or choice["type"] == "function":
        return choice
    fitting = [tool.name for tool in tools if is_chosen(choice, tool)]
    if len(fitting) > 1:
        return "required"
    return {"type": "function", "function": {"name": fitting[0]}} if fitting else None


def is_chosen(choice: dict[str, Any], tool: Offered) -> bool:
    if tool.server_tool is None or tool.server_tool.type != choice["type"]:
        return False
    known = {
        "id": (tool.tool.get("id"),),
        "server_label": (tool.tool.get("server_label"),),
        "name": (tool.of, tool.name),
    }
    return all(value in known[key] for key, value in choice.items() if key != "type")
