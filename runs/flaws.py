"""Calls whose arguments are no JSON object: the model is told what is wrong, once in a run.

Whether it was told before is in the rows, so another worker that goes on with the run knows it too.
"""

from collections.abc import Mapping
from typing import Any

from assistant_site.llm.arguments import flaw_in
from runs.models import Run, RunStep, StepStatus
from tools.registry import Offered

_QUOTED_CHARACTERS = 1_000


def told_to_the_model(name: str, text: str, flaw: str) -> str:
    """The output of a call that nobody carries out. It quotes the arguments, which are not sent back themselves."""
    quoted = text if len(text) <= _QUOTED_CHARACTERS else text[:_QUOTED_CHARACTERS] + "…"
    return (
        f"The arguments of this call of '{name}' are not a valid JSON object: {flaw}. Nothing was done. "
        f"Call it again with valid arguments. These were: {quoted}"
    )


def in_call(tool: Offered, arguments: str) -> str | None:
    """What is wrong with the arguments of a call of this tool; None if it can be carried out."""
    if tool.server_tool is not None:
        return tool.server_tool.flaw(arguments) or None
    return flaw_in(arguments)


def had_one(run: Run, known: Mapping[str, Offered]) -> bool:
    """Whether an earlier turn of this run called one of these tools with arguments that cannot be read."""
    # What a worker left half told says nothing of the model.
    whole = RunStep.objects.across_tenants().filter(run=run, type="tool_calls", status=StepStatus.COMPLETED)
    calls: list[dict[str, Any]] = []
    for details, carry in whole.values_list("step_details", "carry"):
        calls += [call["function"] for call in details["tool_calls"] if call["type"] == "function"]
        calls += carry.get("served", {}).values()
    return any(call["name"] in known and in_call(known[call["name"]], call["arguments"] or "{}") for call in calls)
