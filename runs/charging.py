"""The ledger's part in a run: a reservation before a model turn where a budget applies, an entry when it has ended.

Each turn is charged in the transaction that adds its tokens to `Run.spent`, under the key `<run>/<turn>`: so the ledger
of a run comes to what the run has spent, whoever carried it and however often.
"""

from collections.abc import Collection
from dataclasses import replace
from typing import Any

from django.conf import settings
from django.db import transaction

from assistant_site.llm.chat import ChatRequest, Usage
from assistant_site.llm.tokens import estimate_request
from metering import ledger
from metering.budgets import Spender
from metering.calls import ANSWER_LIMITS
from metering.ledger import Call
from metering.models import EntryKind
from runs.machine import HELD, Status
from runs.models import Run
from tenants.routes import Profile


def spender_of(run: Run) -> Spender:
    return Spender(run.tenant_id, run.token_id, run.end_user)


def call_of(run: Run, turn: int) -> Call:
    """The run's model turn of this number, as the ledger knows it."""
    route = run.route
    return Call(
        key=f"{run.pk}/{turn}",
        kind=EntryKind.RUN,
        spender=spender_of(run),
        model=run.model,
        provider_id=route.provider_id if route else "",
        provider_model=route.model if route else "",
        run_id=run.pk,
        assistant_id=run.assistant_id,
        runs=int(turn == 1),
    )


def charge(run: Run, turn: int, spent: dict[str, Any] | None, tool_calls: int = 0) -> None:
    """Settles the turn; one that came to nothing only gives back what was reserved for it.

    The last act of the transaction that adds `spent` to the run.
    """
    if spent and spent["total_tokens"]:
        ledger.settle(call_of(run, turn), usage_of(spent), tool_calls=tool_calls)
        run.has_reserved = False
    else:
        release(run)


def cut_off(run: Run, turn: int, spent: dict[str, Any] | None) -> dict[str, Any] | None:
    """What is still to be counted of a turn that ends before its time: `spent`, or None if the turn was counted.

    For the transaction that ends the run; the row of the run is locked, so nobody settles the turn meanwhile.
    """
    return None if spent is None or ledger.is_settled(call_of(run, turn).key) else spent


def usage_of(spent: dict[str, Any]) -> Usage:
    return Usage(
        prompt_tokens=spent["prompt_tokens"],
        completion_tokens=spent["completion_tokens"],
        cached_tokens=spent["prompt_token_details"]["cached_tokens"],
        reasoning_tokens=spent["completion_tokens_details"]["reasoning_tokens"],
    )


def release(run: Run) -> None:
    """Gives back what this holder has reserved, inside a transaction; no query if that is nothing."""
    if run.has_reserved:
        ledger.release_of_run(run.pk)
        run.has_reserved = False


def over(run_ids: Collection[str]) -> set[str]:
    """Those of the runs that nobody holds, or that are gone."""
    held = Run.objects.across_tenants().filter(pk__in=run_ids, status__in=HELD)
    return set(run_ids) - set(held.values_list("pk", flat=True))


def reserve(run: Run, turn: int, request: ChatRequest, profile: Profile, *, patient: bool) -> ChatRequest | None:
    """Reserves for the turn; the request with the longest answer that it may have, or None: the claim is lost.

    Raises `ledger.InFlight` and `InsufficientQuota`, see `ledger.reserve`.
    """
    prompt = ledger.most_of_prompt(estimate_request(request.messages, request.tools))
    name, completion = allowance(request, profile)
    with transaction.atomic():
        rows = Run.objects.across_tenants().filter(pk=run.pk, claim=run.claim, status=Status.IN_PROGRESS)
        if not rows.select_for_update(no_key=True).values_list("pk"):
            return None
        allowed = ledger.reserve(call_of(run, turn), prompt=prompt, completion=completion, patient=patient)
    others = {each: value for each, value in request.options.items() if each not in ANSWER_LIMITS}
    return replace(request, options={**others, name: allowed})  # of two limits, a provider may go by the other


def allowance(request: ChatRequest, profile: Profile) -> tuple[str, int]:
    """The parameter that limits the answer, and to how many tokens: as asked for, else the model's most."""
    for name in ANSWER_LIMITS:
        if isinstance(asked := request.options.get(name), int):
            return name, max(1, asked)
    return ANSWER_LIMITS[0], profile.max_completion_tokens or settings.BUDGET_COMPLETION_TOKENS
