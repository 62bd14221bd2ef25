"""The calls of one turn, carried out without a worker."""

import asyncio
from datetime import timedelta
from typing import Any

from django.utils import timezone

from runs.models import Run, RunStep
from runs.serving import Serving
from runs.turn import Call, Turn
from tools.registry import Offered
from tools.served import ServedTool
from tools.tool import ToolContext, ToolResult


class Effect(ServedTool):
    type = "effect"
    has_effects = True

    def __init__(self) -> None:
        self.kept: set[int] = set()  # calls that are stored as begun
        self.not_kept: list[int] = []

    async def run(self, context: ToolContext, arguments: dict[str, Any]) -> ToolResult:
        number = int(context.call_id.rpartition(":")[2])
        if number not in self.kept:
            self.not_kept.append(number)
        await asyncio.sleep(number % 7 / 1_000)
        return ToolResult("done")


def test_many_calls_are_each_stored_before_they_begin_in_a_few_writings() -> None:
    tool = Effect()
    turn = Turn(1, [])
    turn.calls_step = RunStep()
    offered = Offered("effect", {}, {"type": "effect"}, tool)
    turn.calls = [Call.new(f"call_{number}", "effect", offered) for number in range(100)]
    writings = 0

    async def keep() -> None:
        nonlocal writings
        writings += 1
        stored = {number for number, call in enumerate(turn.calls) if call.begun is not None}
        await asyncio.sleep(0.005)
        tool.kept |= stored

    async def serve() -> None:
        run = Run(model="m", tenant_id="tenant_1", expires_at=timezone.now() + timedelta(minutes=1))
        await Serving(run, turn, tell=lambda index, growth: None, keep=keep).serve()

    asyncio.run(serve())
    assert [call.output for call in turn.calls] == ["done"] * 100
    assert tool.not_kept == []
    assert writings < 20
