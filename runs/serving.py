"""The calls that this server carries out itself, with the tools of the registry, and what they give to cite."""

import asyncio
import contextlib
import copy
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from django.utils import timezone

from runs.models import Run, RunStep, StepStatus
from runs.turn import Turn
from runs.windows import window_of
from tools.citations import Place, Source
from tools.registry import Offered
from tools.tool import ToolContext

# As the hosted API documents them: fewer and shorter results for its oldest models.
RESULT_TOKENS, RESULTS = 16_000, 20
SMALL_RESULT_TOKENS, SMALL_RESULTS = 4_000, 5
SMALL_MODELS = "gpt-3.5"

ABANDON_SECONDS = 5.0

NUMBERS_PER_CALL = 100  # what the turn's calls give to cite is numbered apart; no search returns so many results


class Serving:
    """The calls of one turn while this server carries them out.

    `tell` tells readers of the growth of a call (by its index); `keep` stores the turn as it stands.
    """

    def __init__(
        self,
        run: Run,
        turn: Turn,
        *,
        tell: Callable[[int, dict[str, Any]], None],
        keep: Callable[[], Awaitable[None]],
        is_resumed: bool,
    ) -> None:
        self.run = run
        self.turn = turn
        self._tell = tell
        self._keep = keep
        self._is_resumed = is_resumed

    async def begin(self) -> None:
        """Before anything with effects is done, the turn is stored: another worker then goes on with its calls."""
        waiting = [(index, call) for index, call in enumerate(self.turn.calls) if call.waits and call.begun is None]
        for index, call in waiting:
            assert call.tool is not None
            call.begun = await call.tool.begin(self._context(index))
        if any(call.begun is not None for _, call in waiting):
            await self._keep()

    async def serve(self) -> None:
        """Answers every call that is the server's to carry out: all at once, but in their order those that want it."""
        waiting = [(index, call) for index, call in enumerate(self.turn.calls) if call.waits]
        in_order = [index for index, call in waiting if call.tool is not None and call.tool.in_order]
        at_once = [self._call(index) for index, _ in waiting if index not in in_order]
        await asyncio.gather(self._one_after_another(in_order), *at_once)

    async def _one_after_another(self, indexes: list[int]) -> None:
        for place, index in enumerate(indexes):
            await self._call(index)
            if place < len(indexes) - 1:
                await self._keep()  # what is done is not begun again if the next one ends this worker

    async def _call(self, index: int) -> None:
        call = self.turn.calls[index]
        assert call.tool is not None
        call.take(await call.tool.run(self._context(index), call.arguments, NUMBERS_PER_CALL * index))

    def _context(self, index: int) -> ToolContext:
        return context_of(self.run, self.turn, index, grow=partial(self._tell, index), is_resumed=self._is_resumed)

    async def abandon(self) -> None:
        """Ends what the calls have started: the run was cancelled or has expired."""
        waiting = [index for index, call in enumerate(self.turn.calls) if call.waits]
        tools = [(self.turn.calls[index].tool, self._context(index)) for index in waiting]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ABANDON_SECONDS):
                await asyncio.gather(*(tool.abandon(context) for tool, context in tools if tool is not None))


def context_of(
    run: Run, turn: Turn, index: int, *, grow: Callable[[dict[str, Any]], None], is_resumed: bool
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
        call_id=f"{turn.calls_step.pk}:{index}",
        told=copy.deepcopy(call.entry[call.entry["type"]]),
        begun=call.begun,
        is_resumed=is_resumed,
        grow=grow,
        code_files=tuple(run.code_files),
        seconds_left=max(0.0, (run.expires_at - timezone.now()).total_seconds()),
        vector_stores=tuple(dict.fromkeys([*run.assistant_stores, *run.thread_stores])),
        waits_for=tuple(run.thread_stores),
        most_results=SMALL_RESULTS if small else RESULTS,
        # What is found is part of the next prompt, in which there must be room for the thread.
        result_tokens=min(SMALL_RESULT_TOKENS if small else RESULT_TOKENS, window_of(run.model) // 4),
    )


async def hindrance(offered: list[Offered]) -> str:
    """Why these tools cannot be offered now, in the words of the first that cannot; else empty."""
    for each in offered:
        if each.server_tool is not None and (sentence := await each.server_tool.hindrance()):
            return sentence
    return ""


def gives_sources(offered: list[Offered]) -> bool:
    """Whether the model may get something to cite."""
    return any(each.server_tool is not None and each.server_tool.type == "file_search" for each in offered)


def runs_code(offered: list[Offered]) -> bool:
    """Whether the model may write code, whose files and images its answer can show."""
    return any(each.server_tool is not None and each.server_tool.type == "code_interpreter" for each in offered)


def images_of(run: Run) -> tuple[str, ...]:
    """The images that the run's code has shown since its last message, by their files' ids, in their order."""
    images: list[str] = []
    finished = RunStep.objects.across_tenants().filter(run=run, status=StepStatus.COMPLETED, turn__lte=run.turns)
    for kind, carry in finished.order_by("pk").values_list("type", "carry") if run.turns else ():
        if kind == "message_creation":
            images.clear()
            continue
        for index in sorted(carry.get("served", {}), key=int):
            images += carry["served"][index].get("images", [])
    return tuple(images)


def sources_of(run: Run) -> dict[Place, Source]:
    """What the run's finished turns have given to cite; they may have been another worker's."""
    if not run.turns:
        return {}
    finished = RunStep.objects.across_tenants().filter(
        run=run, type="tool_calls", status=StepStatus.COMPLETED, turn__lte=run.turns
    )
    kept = [call for carry in finished.values_list("carry", flat=True) for call in carry.get("served", {}).values()]
    sources = [Source.from_json(stored) for call in kept for stored in call["sources"]]
    return {source.place: source for source in sources}
