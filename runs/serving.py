"""The tools that this server carries out itself, as a run offers them, and their calls."""

import asyncio
import contextlib
import copy
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from django.utils import timezone

from assistant_site.metrics import counted
from assistant_site.tracing import spans
from runs import credentials
from runs.models import Run
from runs.turn import Call, Turn, storable
from runs.windows import window_of
from tools.registry import Offered, Offering, offering, refreshing
from tools.served import tools_share
from tools.tool import Briefed, ToolContext, ToolResult

logger = logging.getLogger(__name__)

# As the hosted API documents them: fewer and shorter results for its oldest models.
RESULT_TOKENS, RESULTS = 16_000, 20
SMALL_RESULT_TOKENS, SMALL_RESULTS = 4_000, 5
SMALL_MODELS = "gpt-3.5"

ABANDON_SECONDS = 5.0
END_SECONDS = 1.0  # for which a call that was stopped may keep its run from ending
FAULT = "The call failed because of a fault of the server. Say so if it matters."

NUMBERS_PER_CALL = 100  # what the turn's calls give to cite is numbered apart; no search returns so many results


class Serving:
    """The calls of one turn while this server carries them out.

    `tell` tells readers of the growth of a call (by its index). `keep` stores the turn as it stands, before anything
    with effects is done: another worker then goes on with the turn's calls.
    """

    def __init__(
        self,
        run: Run,
        turn: Turn,
        *,
        tell: Callable[[int, dict[str, Any]], None],
        keep: Callable[[], Awaitable[None]],
    ) -> None:
        self.run = run
        self.turn = turn
        self._tell = tell
        self._keep = keep
        self._keeping = asyncio.Lock()
        self._changes = self._kept_changes = 0
        self._under_way: set[int] = set()
        self._is_kept = any(call.begun is not None for call in turn.calls)
        self._secrets = credentials.of(run)
        self._is_over = False

    async def serve(self) -> None:
        """Answers every call that is the server's to carry out: all at once, but in their order those that want it."""
        waiting = [(index, call) for index, call in enumerate(self.turn.calls) if call.waits]
        in_order = [index for index, call in waiting if call.tool is not None and call.tool.in_order]
        tasks = [asyncio.ensure_future(self._call(index)) for index, _ in waiting if index not in in_order]
        if in_order:
            tasks.append(asyncio.ensure_future(self._one_after_another(in_order)))
        try:
            await asyncio.gather(*tasks)
        finally:  # if one fails, or all are stopped, nothing more is told of the others: their step ends
            self._is_over = True
            await ended(tasks)

    async def _one_after_another(self, indexes: list[int]) -> None:
        for index in indexes:
            await self._call(index)

    async def _call(self, index: int) -> None:
        async with tools_share.of(self.run.tenant_id):
            await self._served(index)

    async def _served(self, index: int) -> None:
        call = self.turn.calls[index]
        assert call.tool is not None
        is_resumed = call.begun is not None
        self._under_way.add(index)
        call.began_at = call.began_at or time.time()  # of one that is taken up again, the first time
        if not is_resumed:
            call.begun = await call.tool.begin(self._context(index))
            if call.begun is not None:
                await self._keep_all()  # with what the calls before it came to: they are not run again either
        result = storable_result(await carried_out(call, self._context(index, is_resumed=is_resumed)))
        # Whoever approved a call reads a stream that knows only the end of its step.
        if call.is_function and not call.is_approved:
            self._grow(index, {"output": result.output})
        call.take(result)
        call.ended_at = time.time()
        self._under_way.remove(index)
        if self._is_kept and self._under_way:  # else the step is about to be completed
            await self._keep_all()

    async def _keep_all(self) -> None:
        """Returns when the turn is stored as it now stands; what changes meanwhile is stored together."""
        self._is_kept = True
        self._changes += 1
        wanted = self._changes
        async with self._keeping:
            if self._kept_changes < wanted:
                changes = self._changes
                await self._keep()
                self._kept_changes = changes

    def _context(self, index: int, *, is_resumed: bool = False) -> ToolContext:
        grow = partial(self._grow, index)
        return context_of(self.run, self.turn, index, self._secrets, grow=grow, is_resumed=is_resumed)

    def _grow(self, index: int, growth: dict[str, Any]) -> None:
        if not self._is_over and index in self._under_way:
            self._tell(index, growth)

    async def abandon(self) -> None:
        """Ends what the calls have started, for their run has ended. Takes `ABANDON_SECONDS` at most."""
        tools = [(self.turn.calls[index].tool, self._context(index)) for index in sorted(self._under_way)]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ABANDON_SECONDS):
                await asyncio.gather(*(tool.abandon(context) for tool, context in tools if tool is not None))


async def carried_out(call: Call, context: ToolContext) -> ToolResult:
    """What the call comes to. A tool that takes too long, breaks or cannot be stopped ends its call only."""
    with spans.span(
        f"execute_tool {call.name}",
        gen_ai__operation__name="execute_tool",
        gen_ai__tool__name=call.name,
        gen_ai__tool__call__id=str(call.entry["id"]),
        gen_ai__tool__type="datastore" if context.options.get("type") == "file_search" else "extension",
    ) as span:
        return await _carried_out(call, context, span)


async def _carried_out(call: Call, context: ToolContext, span: spans.Span) -> ToolResult:
    assert call.tool is not None
    work = asyncio.ensure_future(call.tool.call(context, call.arguments))
    began, end = time.perf_counter(), "broken"
    try:
        await asyncio.wait([work], timeout=call.tool.seconds)
        if work.cancelled():
            span.fail("CancelledError")
            logger.error("Call %s of '%s' cancelled itself.", context.call_id, call.name)
            return ToolResult(FAULT)
        if work.done():
            result = work.result()
            end = "done"
            return result
        end = "timed_out"
        span.fail("TimeoutError")
        logger.warning("Call %s of '%s' took longer than its time.", context.call_id, call.name)
        return ToolResult(f"'{call.name}' took longer than {call.tool.seconds:g} seconds, and was given up.")
    except Exception as error:
        span.fail(type(error).__qualname__)
        logger.exception("Call %s of '%s' failed.", context.call_id, call.name)
        return ToolResult(FAULT)
    finally:
        counted.tool_called(str(context.options.get("type", call.name)), end, time.perf_counter() - began)
        await ended([work])


def storable_result(result: ToolResult) -> ToolResult:
    """Without what PostgreSQL or UTF-8 cannot hold: tools pass on texts of strangers."""
    output = storable(result.output).encode("utf-8", "replace").decode()
    return result if output == result.output else replace(result, output=output)


async def ended(tasks: Sequence[asyncio.Future[Any]]) -> None:
    """Cancels what is not done, and gives it a moment to end."""
    left = [task for task in tasks if not task.done()]
    for task in left:
        task.cancel()
    if left:
        await asyncio.wait(left, timeout=END_SECONDS)
        for task in left:
            task.add_done_callback(note_end)


def note_end(task: asyncio.Future[Any]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        logger.debug("A call that was stopped ended with %s.", type(error).__qualname__)


def context_of(
    run: Run,
    turn: Turn,
    index: int,
    secrets: dict[str, Any],
    *,
    grow: Callable[[dict[str, Any]], None],
    is_resumed: bool,
) -> ToolContext:
    call = turn.calls[index]
    assert call.served is not None
    assert turn.calls_step is not None
    small = run.model.startswith(SMALL_MODELS)
    return ToolContext(
        tenant_id=run.tenant_id,
        turn=turn.number,
        options=call.served.tool,
        thread_id=run.thread_id,
        name=call.name,
        of=call.served.of,
        call_id=f"{turn.calls_step.pk}:{index}",
        number=NUMBERS_PER_CALL * index,
        told=copy.deepcopy(call.entry[call.entry["type"]]),
        begun=call.begun,
        is_resumed=is_resumed,
        grow=grow,
        secrets=secrets,
        depth=secrets.get("depth", 0),
        code_files=tuple(run.code_files),
        seconds_left=max(0.0, (run.expires_at - timezone.now()).total_seconds()),
        vector_stores=tuple(dict.fromkeys([*run.assistant_stores, *run.thread_stores])),
        waits_for=tuple(run.thread_stores),
        most_results=SMALL_RESULTS if small else RESULTS,
        # What is found is part of the next prompt, in which there must be room for the thread.
        result_tokens=min(SMALL_RESULT_TOKENS if small else RESULT_TOKENS, (turn.window or window_of(run.model)) // 4),
    )


async def hindrance(offered: list[Offered]) -> str:
    """Why these tools cannot be offered now, in the words of the first that cannot; else empty."""
    for each in offered:
        if each.server_tool is not None and (sentence := await each.server_tool.hindrance()):
            return sentence
    return ""


def gives_sources(offered: Iterable[Offered]) -> bool:
    """Whether the model may get something to cite."""
    return any(each.server_tool is not None and each.server_tool.gives_sources for each in offered)


def links_to_code(offered: Iterable[Offered]) -> bool:
    """Whether the answer may link to files that code has left."""
    return any(each.server_tool is not None and each.server_tool.links_to_code for each in offered)


def offering_of(run: Run, *, even_if_off: bool = False) -> Offering:
    """What the run offers to the model. Reads the database."""
    briefed = Briefed(run.tenant_id, run.thread_id, run.code_files, run.tools)
    return offering(run.tools, lambda server_tool, tool: server_tool.brief(tool, briefed), even_if_off=even_if_off)


async def refresh(run: Run) -> None:
    """Lets tools fetch what they must know before they are offered."""
    waiting = [server_tool.refresh(run.tenant_id, tool) for server_tool, tool in refreshing(run.tools)]
    for failure in await asyncio.gather(*waiting, return_exceptions=True):
        if isinstance(failure, Exception):
            logger.error("A tool of %s could not be refreshed.", run.pk, exc_info=failure)
