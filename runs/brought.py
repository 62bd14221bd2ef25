"""What the finished calls of a run have brought for its answer: passages to cite, images to show, files to link to."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from runs.models import Run, RunStep, StepStatus
from runs.turn import result_from
from tools.citations import Place, Source
from tools.tool import ToolResult


@dataclass
class Brought:
    """`images` are those since the run's last message, by their files' ids; `files` are ids by the names in links."""

    sources: dict[Place, Source] = field(default_factory=dict)
    images: tuple[str, ...] = ()
    files: dict[str, str] = field(default_factory=dict)


def by(run: Run) -> Brought:
    """All of it, whichever worker it was brought by. Costs a run's first turn nothing."""
    brought = Brought()
    if not run.turns:
        return brought
    finished = RunStep.objects.across_tenants().filter(run=run, status=StepStatus.COMPLETED, turn__lte=run.turns)
    for kind, carry in finished.order_by("pk").values_list("type", "carry"):
        if kind == "message_creation":
            brought.images = ()
            continue
        for result in results_in(carry):
            brought.sources |= {source.place: source for source in result.sources}
            brought.images += result.images
            brought.files |= {file.name: file.file_id for file in result.files}
    return brought


def results_in(carry: dict[str, Any]) -> Iterator[ToolResult]:
    """Of a step's calls, in their order."""
    served = carry.get("served", {})
    for index in sorted(served, key=int):
        yield result_from(served[index])
