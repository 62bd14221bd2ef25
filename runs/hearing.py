"""What a model says, as it comes: told to the run's readers at once, and kept in the turn."""

import asyncio
import copy
import logging
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from django.db import InterfaceError, OperationalError
from django.utils import timezone

from assistant_site.db.threads import DatabaseThreads
from assistant_site.llm.chat import (
    ChatEvent,
    RefusalDelta,
    TextDelta,
    ToolCallArguments,
    ToolCallStarted,
    TurnFinished,
    Usage,
)
from assistant_site.metrics import counted
from assistant_site.wire.errors import WireError
from runs import flaws, holding
from runs.events import RunLog, Telling, message_delta, step_delta
from runs.models import Run
from runs.turn import Call, FileLink, Turn, storable, usage_json
from tools.citations import Citations, Cited
from tools.code_interpreter import kept
from tools.links import Link, Links

logger = logging.getLogger(__name__)
T = TypeVar("T")


def file_of(run: Run, link: Link) -> str | None:
    """The id of the file that the link leads to; None if there is none, or if none can be made now."""
    try:
        return kept.file_for(run.tenant_id, run.thread_id, link.name)
    except (OperationalError, InterfaceError):
        raise
    except WireError as refused:  # there is no room for it, say
        logger.warning("No file could be made of a link in an answer of %s: %s", run.pk, refused)
        return None
    except Exception:
        logger.exception("No file could be made of a link in an answer of %s.", run.pk)
        return None


class Hearing:
    """The means to tell and to store what belongs to a run that this process holds, and what the model says of it."""

    def __init__(self, run_id: str, database: DatabaseThreads) -> None:
        self.run_id = run_id
        self.database = database
        self.run: Run | None = None
        self.log: RunLog
        self._citations: Citations | None = None  # None: nothing can be cited, so brackets are only brackets
        self._links = Links(())
        self._files: dict[str, str] = {}  # ids of files that the run's calls have brought, by the names in links

    # --- What the model says ----------------------------------------------------------------------------------------

    async def take_in(self, turn: Turn, event: ChatEvent) -> None:
        match event:
            case TextDelta(text):
                await self.take_text(turn, text)
            case RefusalDelta(text):
                await self.take_refusal(turn, text)
            case ToolCallStarted(index, id, name):
                await self.take_call(turn, index, storable(id), storable(name))
            case ToolCallArguments(index, text):
                if told := turn.calls[index].add_arguments(storable(text)):
                    self.tell_growth(turn, index, told)
            case TurnFinished():
                turn.finished = event

    async def take_text(self, turn: Turn, text: str) -> None:
        if not text or turn.calls_step is not None:  # text behind calls belongs nowhere: the turn's message is closed
            return
        text = storable(text)
        for piece in self._citations.feed(text) if self._citations else [text]:
            if isinstance(piece, str):
                await self.show_linked(turn, self._links.feed(piece))
            else:
                await self.show_linked(turn, self._links.end())
                await self.show_text(turn, piece)

    async def take_rest(self, turn: Turn) -> None:
        """Shows what was held back because it might have become a marker or a link."""
        rest = self._links.feed(self._citations.end()) if self._citations else []
        rest += self._links.end()
        if turn.calls_step is None:
            await self.show_linked(turn, rest)

    async def show_linked(self, turn: Turn, pieces: list[str | Link]) -> None:
        """Shows text; a link to a file of the code's leads to a file that can be downloaded."""
        for piece in pieces:
            file_id = None
            if isinstance(piece, Link):
                file_id = self._files.get(piece.name) or await self.database.run(file_of, self.held, piece)
            text = piece.text if isinstance(piece, Link) else piece
            await self.show_text(turn, text if file_id is None else FileLink(text, file_id))

    async def show_text(self, turn: Turn, piece: str | Cited | FileLink) -> None:
        if turn.message is None:
            await self.whole(self.open_message(turn))
        told = turn.grow_text(piece)
        entry = {"index": turn.index_of("text"), "type": "text", "text": told}
        if isinstance(piece, str):
            self.tell_content(turn, entry, ("text", "value"), piece)
        else:  # an event of its own: text that follows must not grow onto the marker
            assert turn.message is not None
            self.log.tell("thread.message.delta", message_delta(turn.message[1].pk, [entry]))

    async def take_refusal(self, turn: Turn, text: str) -> None:
        if not text or turn.calls_step is not None:
            return
        text = storable(text)
        if turn.message is None:
            await self.whole(self.open_message(turn))
        turn.refusal += text
        assert turn.message is not None
        entry = {"index": turn.index_of("refusal"), "type": "refusal", "refusal": text}
        self.log.tell("thread.message.delta", message_delta(turn.message[1].pk, [entry]))

    async def take_call(self, turn: Turn, index: int, id: str, name: str) -> None:
        if turn.calls_step is None:
            await self.take_rest(turn)
            await self.whole(self.open_calls(turn))
        if turn.calls:
            self.answer_flaws(turn, index - 1)  # before the next one begins: clients take it for done then
        call = Call.new(id, name, turn.offered.get(name))
        turn.calls.append(call)
        kind = call.entry["type"]
        opening = {"index": index, **call.entry, kind: dict(call.entry[kind])}
        self.log.tell("thread.run.step.delta", self.step_delta(turn, opening))

    def answer_flaws(self, turn: Turn, index: int) -> None:
        """Answers a whole call that nobody can carry out, so that the model learns what is wrong with it."""
        call = turn.calls[index]
        if call.output is not None:
            return
        if call.name not in turn.offered:
            call.answer(f"There is no tool named '{call.name}'.")
        elif flaw := flaws.in_call(turn.offered[call.name], call.arguments):
            turn.flawed = call.name
            call.answer(flaws.told_to_the_model(call.name, call.arguments, flaw))
        else:
            return
        if call.is_function:
            answered = {"index": index, "type": "function", "function": {"output": call.output}}
            self.log.tell("thread.run.step.delta", self.step_delta(turn, answered))

    def tell_content(self, turn: Turn, entry: dict[str, Any], inner: tuple[str, str], piece: str) -> None:
        assert turn.message is not None
        data = message_delta(turn.message[1].pk, [entry])
        self.log.tell_piece("thread.message.delta", data, ("delta", "content", 0, *inner), piece)

    def tell_growth(self, turn: Turn, index: int, growth: dict[str, Any]) -> None:
        """Tells more of a call's details, which have grown by it: a text that may take further pieces, or anything."""
        kind = turn.calls[index].entry["type"]
        data = self.step_delta(turn, {"index": index, "type": kind, kind: growth})
        inside = ("delta", "step_details", "tool_calls", 0, kind)
        match growth:
            case {"arguments": str(text)} | {"input": str(text)} if len(growth) == 1:
                self.log.tell_piece("thread.run.step.delta", data, (*inside, *growth), text)
            case {"outputs": [{"type": "logs", "logs": str(text)}]} if len(growth) == 1:
                self.log.tell_piece("thread.run.step.delta", data, (*inside, "outputs", 0, "logs"), text)
            case _:
                self.log.tell("thread.run.step.delta", data)

    def grow_call(self, turn: Turn, index: int, growth: dict[str, Any]) -> None:
        """A tool tells more of the call it carries out."""
        turn.calls[index].grow(copy.deepcopy(growth))
        self.tell_growth(turn, index, growth)

    @staticmethod
    def step_delta(turn: Turn, entry: dict[str, Any]) -> dict[str, Any]:
        assert turn.calls_step is not None
        return step_delta(turn.calls_step.pk, [entry])

    async def open_message(self, turn: Turn) -> None:
        self.log.settle()
        self.note_first(turn)
        step, message, told = await self.database.run(holding.open_message, self.held, self.log.position, turn.number)
        turn.message = (step, message)
        self.tell_all(told)
        for index, part in enumerate(turn.image_parts()):
            self.log.tell("thread.message.delta", message_delta(message.pk, [{"index": index, **part}]))

    async def open_calls(self, turn: Turn) -> None:
        """Opens the step for calls; a message before it is whole now, for clients know one open step at a time."""
        if turn.message is not None:
            step, message = turn.message
            await self.tell(holding.close_message, step, message, turn.content(), usage_json(Usage()))
            turn.message = None
        self.log.settle()
        self.note_first(turn)
        turn.calls_step, told = await self.database.run(holding.open_calls, self.held, self.log.position, turn.number)
        self.tell_all(told)

    def note_first(self, turn: Turn) -> None:
        """The run's readers are about to be shown its first token or call."""
        if turn.number == 1 and turn.message is None:
            counted.FIRST_TOKEN_SECONDS.observe((timezone.now() - self.held.created_at).total_seconds())

    # --- Means ------------------------------------------------------------------------------------------------------

    @property
    def held(self) -> Run:
        assert self.run is not None
        return self.run

    async def tell(self, write: Callable[..., Telling], *args: Any, **options: Any) -> None:
        """One fenced write of `holding`, then the events that tell of it."""
        self.log.settle()
        self.tell_all(await self.database.run(write, self.held, self.log.position, *args, **options))

    def tell_all(self, told: Telling) -> None:
        for name, data in told:
            self.log.tell(name, data)

    async def whole(self, work: Coroutine[Any, Any, T]) -> T:
        """Awaits work that must not be cut in two: a cancellation waits until it is done."""
        task = asyncio.ensure_future(work)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            await asyncio.wait([task])
            if not task.cancelled() and (error := task.exception()) is not None:
                logger.debug("%s: %s while it was stopped.", self.run_id, type(error).__qualname__)
            raise
