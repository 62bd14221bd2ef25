"""The calls that this server carries out itself, with the tools of the registry, and what they give to cite."""

import asyncio

from assistant_site.llm.arguments import as_object
from runs.models import Run, RunStep, StepStatus
from runs.turn import Call, Turn
from runs.windows import window_of
from tools.citations import Place, Source
from tools.registry import Offered
from tools.tool import ToolContext

# As the hosted API documents them: fewer and shorter results for its oldest models.
RESULT_TOKENS, RESULTS = 16_000, 20
SMALL_RESULT_TOKENS, SMALL_RESULTS = 4_000, 5
SMALL_MODELS = "gpt-3.5"

NUMBERS_PER_CALL = 100  # what the turn's calls give to cite is numbered apart; no search returns so many results


async def serve(run: Run, turn: Turn) -> None:
    """Answers every call of the turn that is the server's to carry out, all of them at once."""
    waiting = [
        serve_call(run, turn, call, NUMBERS_PER_CALL * index)
        for index, call in enumerate(turn.calls)
        if call.served is not None and call.output is None
    ]
    await asyncio.gather(*waiting)


async def serve_call(run: Run, turn: Turn, call: Call, number: int) -> None:
    assert call.served is not None
    assert call.served.server_tool is not None
    context = context_of(run, turn.number, call.served)
    call.take(await call.served.server_tool.run(context, as_object(call.arguments), number))


def context_of(run: Run, turn: int, offered: Offered) -> ToolContext:
    small = run.model.startswith(SMALL_MODELS)
    return ToolContext(
        tenant_id=run.tenant_id,
        turn=turn,
        options=offered.tool,
        vector_stores=tuple(dict.fromkeys([*run.assistant_stores, *run.thread_stores])),
        waits_for=tuple(run.thread_stores),
        most_results=SMALL_RESULTS if small else RESULTS,
        # What is found is part of the next prompt, in which there must be room for the thread.
        result_tokens=min(SMALL_RESULT_TOKENS if small else RESULT_TOKENS, window_of(run.model) // 4),
    )


def gives_sources(offered: list[Offered]) -> bool:
    """Whether the model may get something to cite."""
    return any(each.server_tool is not None for each in offered)


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
