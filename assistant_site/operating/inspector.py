"""All that is known of a run: what its turns were asked, called, took and cost; its events; its neighbours."""

import json
import logging
from copy import copy
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.conf import settings

from assistant_site.staff import content, shown
from metering.models import LedgerEntry
from runs import context, events, sent_prompts, serving, trace
from runs.machine import ACTIVE, HELD
from runs.models import Run
from runs.windows import profile_for
from tenants.models import Provider
from threads.models import Message
from vector_stores.models import VectorStore

logger = logging.getLogger(__name__)

MOST_EVENTS = 200
MOST_NEIGHBOURS = 10


@dataclass(frozen=True)
class Passage:
    """What a search has found and the model was shown."""

    file_id: str
    filename: str
    place: str
    text: str
    score: str = ""


@dataclass(frozen=True)
class Call:
    """A tool that the model called, as it is shown."""

    id: str
    type: str
    name: str
    arguments: str
    output: str | None
    passages: list[Passage]


@dataclass
class Turn(trace.Turn):
    """A model turn, with what only staff are shown of it."""

    shown_calls: list[Call] = field(default_factory=list)
    text: str = ""
    provider: str = ""
    prompt: list[dict[str, str]] | None = None
    tools: str = ""
    options: str = ""
    is_exact: bool = False

    @property
    def seconds(self) -> float | None:
        return (self.ended - self.began).total_seconds() if self.ended and self.began else None

    @property
    def took(self) -> str:
        return shown.span(self.seconds)


@dataclass(frozen=True)
class Stretch:
    """A part of a turn's bar, in per cent of the whole run."""

    kind: str
    left: float
    width: float
    title: str


@dataclass(frozen=True)
class Event:
    position: int
    name: str
    data: str


@dataclass(frozen=True)
class Inspection:
    run: Run
    is_under_way: bool
    is_held: bool
    turns: list[Turn]
    bars: list[tuple[Turn, list[Stretch]]]
    waited: str
    took: str
    first_word: str
    tokens: dict[str, Any]
    entries: list[LedgerEntry]
    cost: str
    messages: list[Message]
    neighbours: list[Run]
    stores: list[VectorStore]
    events: list[Event]
    more_events: bool
    shows_content: bool
    keeps_prompts: bool


def of(blanked: Run, user: Any) -> Inspection:
    """What the rows, the ledger and the event stream tell of the run; without its texts for who may not see content.

    Reads it anew: the row of the page may have no content itself.
    """
    run: Run = Run.objects.across_tenants().select_related("tenant").get(pk=blanked.pk)
    shows_content = content.is_shown_to(user)
    traced = trace.of(run, Turn)
    turns, entries = traced.turns, traced.entries
    messages = list(Message.objects.across_tenants().filter(run_id=run.pk).order_by("pk"))
    _show(turns, entries, messages, shows_content)
    if shows_content:
        _add_prompts(run, turns)
    told = events.told_of(run.pk)
    ended, first = traced.last_moment, traced.first_word
    neighbours = Run.objects.across_tenants().filter(thread_id=run.thread_id).exclude(pk=run.pk)
    stores = {*run.assistant_stores, *run.thread_stores}
    return Inspection(
        run=run,
        is_under_way=run.status in ACTIVE,
        is_held=run.status in HELD,
        turns=turns,
        bars=_bars(run, turns, ended),
        waited=shown.span((run.started_at - run.queued_at).total_seconds()) if run.started_at else shown.NOTHING,
        took=shown.span((ended - run.created_at).total_seconds()) if ended else shown.NOTHING,
        first_word=shown.span((first - run.created_at).total_seconds()) if first else shown.NOTHING,
        tokens=run.spent or {},
        entries=entries,
        cost=_cost(entries),
        messages=messages,
        neighbours=list(neighbours.order_by("-pk")[:MOST_NEIGHBOURS]),
        stores=list(VectorStore.objects.across_tenants().filter(pk__in=stores)) if stores else [],
        events=[_event(each, shows_content) for each in told[-MOST_EVENTS:]],
        more_events=len(told) > MOST_EVENTS,
        shows_content=shows_content,
        keeps_prompts=settings.KEEP_PROMPTS_HOURS > 0,
    )


def _cost(entries: list[LedgerEntry]) -> str:
    return ", ".join(f"{shown.money(cost)} {currency}" for currency, cost in trace.sums_of(entries).items())


def _event(told: events.Told, shows_content: bool) -> Event:
    data = told.data.decode() if shows_content else ""
    return Event(told.position, told.name.decode(), data)


# --- Turns -----------------------------------------------------------------------------------------------------------


def _show(turns: list[Turn], entries: list[LedgerEntry], messages: list[Message], shows_content: bool) -> None:
    """Adds to the turns what is shown of them, and takes away what this user may not see."""
    texts = {message.pk: message.text for message in messages} if shows_content else {}
    providers = _provider_names(entries)
    for turn in turns:
        turn.text = texts.get(turn.message_id or "", "")
        turn.error = turn.error if shows_content else None
        turn.shown_calls = [_call(call, shows_content) for call in turn.calls]
        if turn.entry is not None:
            turn.provider = providers.get(turn.entry.provider_id, turn.entry.provider_id)


def _provider_names(entries: list[LedgerEntry]) -> dict[str, str]:
    ids = {entry.provider_id for entry in entries if entry.provider_id}
    return dict(Provider.objects.filter(pk__in=ids).values_list("pk", "name")) if ids else {}


def _call(call: trace.Call, shows_content: bool) -> Call:
    return Call(
        id=call.id,
        type=call.type,
        name=call.name,
        arguments=_pretty(call.arguments) if shows_content else "",
        output=call.output if shows_content else None,
        passages=_passages(call.entry, call.kept, shows_content),
    )


def _pretty(text: str) -> str:
    try:
        return json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    except ValueError:
        return text


def _passages(call: dict[str, Any], kept: dict[str, Any], shows_content: bool) -> list[Passage]:
    """What a file search brought; of one without its sources, the results that its step tells."""
    results = (call.get("file_search") or {}).get("results") or []
    scores = [f"{result['score']:.3f}" if "score" in result else "" for result in results]
    sources = kept.get("sources") or []
    if sources:
        return [
            Passage(
                file_id=source.get("file_id", ""),
                filename=source.get("filename", "") if shows_content else "",
                place=_place(source),
                text=source.get("quote", "") if shows_content else "",
                score=scores[index] if index < len(scores) else "",
            )
            for index, source in enumerate(sources)
        ]
    return [
        Passage(
            file_id=result.get("file_id", ""),
            filename=result.get("file_name", "") if shows_content else "",
            place="",
            text="\n".join(part.get("text", "") for part in result.get("content") or []) if shows_content else "",
            score=score,
        )
        for result, score in zip(results, scores, strict=True)
    ]


def _place(source: dict[str, Any]) -> str:
    words = [f"{what} {source[what]}" for what in ("page", "line") if source.get(what) is not None]
    return ", ".join(words)


# --- Prompts ---------------------------------------------------------------------------------------------------------


def _add_prompts(run: Run, turns: list[Turn]) -> None:
    """What each turn was asked: as it was kept, else rebuilt from the rows as they are now."""
    kept = sent_prompts.of(run)
    rebuilt = None
    for turn in turns:
        if turn.number in kept:
            body = kept[turn.number]
            turn.is_exact = True
        else:
            if rebuilt is None:
                rebuilt = _offered(run)
            body = _rebuilt(run, turn.number, *rebuilt)
        turn.prompt = [_shown(message) for message in body["messages"]]
        turn.tools = json.dumps(body["tools"], indent=2, ensure_ascii=False) if body["tools"] else ""
        turn.options = json.dumps(body["options"], indent=2, ensure_ascii=False) if body["options"] else ""


def _offered(run: Run) -> tuple[list[Any], list[str]]:
    """The tools as they would be offered now, and the notes that go with them."""
    try:
        offering = serving.offering_of(run, even_if_off=True)
    except Exception:
        logger.exception("The tools of %s cannot be told.", run.pk)
        return [], []
    return list(offering.tools), list(offering.notes)


def _rebuilt(run: Run, number: int, tools: list[Any], notes: list[str]) -> dict[str, Any]:
    then = copy(run)
    then.turns = number - 1
    then.spent = {}
    return {
        "messages": context.build(then, tools, notes, profile_for(then)),
        "tools": [tool.chat for tool in tools],
        "options": {},
    }


def _shown(message: dict[str, Any]) -> dict[str, str]:
    content = message.get("content")
    text = content if isinstance(content, str) else json.dumps(content, indent=2, ensure_ascii=False)
    calls = message.get("tool_calls")
    return {
        "role": str(message.get("role", "")),
        "text": text or "",
        "calls": json.dumps(calls, indent=2, ensure_ascii=False) if calls else "",
    }


# --- Bars ------------------------------------------------------------------------------------------------------------


def _bars(run: Run, turns: list[Turn], ended: datetime | None) -> list[tuple[Turn, list[Stretch]]]:
    """For each turn: waiting for its first word, speaking, and its tools at work, on the run's own scale."""
    first = run.created_at
    whole = max(((ended or first) - first).total_seconds(), 0.001)
    bars = []
    for turn in turns:
        spoken = turn.settled if turn.calls and turn.settled else turn.ended
        if turn.calls and turn.settled is None:
            spoken = turn.spoke
        moments = [
            ("wait", turn.began, turn.spoke, "until its first word"),
            ("speak", turn.spoke, spoken, "answering"),
            ("tools", spoken, turn.ended, "tools at work"),
        ]
        stretches = []
        for kind, start, stop, what in moments:
            if start is None or stop is None or stop <= start:
                continue
            seconds = (stop - start).total_seconds()
            left = 100 * max((start - first).total_seconds(), 0) / whole
            width = max(min(100 * seconds / whole, 100 - left), 0.3)
            stretches.append(Stretch(kind, left, width, f"{what}: {shown.span(seconds)}"))
        bars.append((turn, stretches))
    return bars
