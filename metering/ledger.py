"""The ledger: one entry for each model call, reserved before it where a budget applies, settled after it, once.

`reserve` and `settle` belong into the caller's transaction, `settle` as its last act: balances of one tenant are shared
by all its calls, and stay locked until the commit.
"""

import logging
import math
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from decimal import ROUND_FLOOR, Decimal
from typing import Any

import orjson
from django.db import connection, transaction
from django.utils import timezone

from assistant_site.db.prepared import Prepared
from assistant_site.llm.chat import Usage
from metering import budgets, prices
from metering import rates as minutes
from metering.budgets import InsufficientQuota, Spender, applicable, place_of
from metering.models import Budget, EntryKind, EntryState, LedgerEntry, Unit
from metering.prices import Rates

logger = logging.getLogger(__name__)

LEAST_COMPLETION = 16  # tokens; an answer that could have no more than so many is not asked for
PROMPT_MARGIN = 1.25  # times the estimate, and
PROMPT_EXTRA = 50  # tokens more, for what a provider puts around a prompt: that is most of a short one
RELEASED_AT_ONCE = 100
ABANDONED_AFTER = timedelta(minutes=15)  # a call of no run, whose process is taken for dead


class InFlight(Exception):
    """There is room, but for what is reserved at the moment: ask again soon."""


@dataclass(frozen=True)
class Call:
    """A model call: what it is of, for whom, and of which model. `key` is unique for ever."""

    key: str
    kind: EntryKind
    spender: Spender
    model: str = ""  # as it was asked for
    provider_id: str = ""
    provider_model: str = ""
    run_id: str = ""
    assistant_id: str = ""
    runs: int = 0  # 1 for a run's first turn

    @property
    def rates(self) -> Rates:
        return prices.rates_of(self.spender.tenant_id, self.provider_model or self.model)


# --- Settling --------------------------------------------------------------------------------------------------------

_GIVEN = [
    *("tenant_id", "key", "kind", "state", "token_id", "end_user", "run_id", "assistant_id"),
    *("model", "provider_id", "provider_model", "created_at", "settled_at", "reservations"),
    *("prompt_tokens", "cached_tokens", "completion_tokens", "reasoning_tokens", "tool_calls", "runs"),
    *("code_seconds", "cost", "currency", "is_rolled_up"),
]
# What a reservation knew already stays; what it holds is needed to give it back.
_LEARNT = [
    name
    for name in _GIVEN
    if name not in ("tenant_id", "key", "kind", "token_id", "end_user", "run_id", "created_at", "reservations")
]
_SETTLE = f"""
    INSERT INTO metering_ledgerentry ({", ".join(_GIVEN)}) VALUES ({", ".join(["%s"] * len(_GIVEN))})
    ON CONFLICT (key) DO UPDATE SET {", ".join(f"{name} = EXCLUDED.{name}" for name in _LEARNT)}
    WHERE metering_ledgerentry.state <> 'settled'
    RETURNING id, reservations
"""  # noqa: S608 only names of this module
_BUDGETS = "SELECT id, token_id, end_user, unit, period, amount FROM metering_budget WHERE tenant_id = %s"
_SETTLING = Prepared(budgets.SHARE_LOCK, _SETTLE, _BUDGETS)


def settle(call: Call, usage: Usage, *, tool_calls: int = 0, code_seconds: float = 0.0) -> bool:
    """Writes what the call came to; False if that was done before, and nothing is counted.

    One round trip where no budget applies. Call it inside a transaction, as its last act.
    """
    spender, now, rates = call.spender, timezone.now(), call.rates
    cost = rates.cost(usage)
    values = [*_named(call, EntryState.SETTLED), now, now, "[]"]
    values += [usage.prompt_tokens, usage.cached_tokens, usage.completion_tokens, usage.reasoning_tokens]
    values += [tool_calls, call.runs, code_seconds, cost, rates.currency, False]
    # Three statements in one visit. Each sees what was committed before it began: so the budgets are those that there
    # are now that the lock is held and the entry is stored.
    with connection.cursor() as cursor:
        cursor.execute(_SETTLING, [spender.tenant_id, *values, spender.tenant_id])
        cursor.nextset()
        stored = cursor.fetchone()
        cursor.nextset()
        found = [
            Budget(
                pk=row[0],
                tenant_id=spender.tenant_id,
                token_id=row[1],
                end_user=row[2],
                unit=row[3],
                period=row[4],
                amount=row[5],
            )
            for row in cursor.fetchall()
        ]
    budgets.note(spender.tenant_id, bool(found))
    if stored is None:
        logger.error("%s was settled before.", call.key)
        return False
    entry_id, reserved = stored
    held = orjson.loads(reserved) if isinstance(reserved, str) else reserved
    spent = {
        place_of(budget, spender.end_user, now): _in_units(budget, usage, cost) for budget in applicable(found, spender)
    }
    if held or spent:
        _book(entry_id, held, spent)
    # A minute's tokens are no ledger: they count although this transaction may still come to nothing.
    tokens = usage.prompt_tokens + usage.completion_tokens
    minutes.count_tokens(spender.tenant_id, spender.token_id, spender.end_user, tokens)
    return True


def is_settled(key: str) -> bool:
    """Whether the call was settled."""
    return LedgerEntry.objects.across_tenants().filter(key=key, state=EntryState.SETTLED).exists()


def _named(call: Call, state: EntryState) -> list[Any]:
    """The first of `_GIVEN`, up to the model."""
    spender = call.spender
    who = [spender.tenant_id, call.key, call.kind.value, state.value, spender.token_id, spender.end_user]
    return [*who, call.run_id, call.assistant_id, call.model, call.provider_id, call.provider_model]


def _in_units(budget: Budget, usage: Usage, cost: Decimal) -> Decimal:
    return Decimal(usage.prompt_tokens + usage.completion_tokens) if budget.unit == Unit.TOKENS else cost


_LOCK_BALANCES = """
    SELECT id FROM metering_balance
    WHERE id = ANY(%s::bigint[]) OR (budget_id, began_on, end_user) IN
        (SELECT * FROM unnest(%s::bigint[], %s::date[], %s::text[]))
    ORDER BY id FOR NO KEY UPDATE
"""
_GIVE_BACK = """
    UPDATE metering_balance SET reserved = reserved - held.amount
    FROM unnest(%s::bigint[], %s::numeric[]) AS held (id, amount) WHERE metering_balance.id = held.id
"""
_ADD_SPENT = """
    UPDATE metering_balance SET spent = spent + added.amount
    FROM unnest(%s::bigint[], %s::date[], %s::text[], %s::numeric[]) AS added (budget_id, began_on, end_user, amount)
    WHERE (metering_balance.budget_id, metering_balance.began_on, metering_balance.end_user)
        = (added.budget_id, added.began_on, added.end_user)
"""
_HOLD_NOTHING = "UPDATE metering_ledgerentry SET reservations = '[]' WHERE id = %s"


def _book(entry_id: int, held: Iterable[tuple[int, str]], spent: Mapping[budgets.Place, Decimal]) -> None:
    """Gives back what the entry holds, and adds what was spent. Balances made later add up the ledger themselves.

    One visit to the database; the balances are locked by their ids first, as everybody does.
    """
    freed = {balance_id: Decimal(amount) for balance_id, amount in held}
    ids, amounts = list(freed), list(freed.values())
    places = [[place[at] for place in spent] for at in range(3)]
    with connection.cursor() as cursor:
        cursor.execute(
            f"{_LOCK_BALANCES}; {_GIVE_BACK}; {_ADD_SPENT}; {_HOLD_NOTHING}",
            [ids, *places, ids, amounts, *places, list(spent.values()), entry_id],
        )


# --- Reserving -------------------------------------------------------------------------------------------------------


def most_of_prompt(estimated: int) -> int:
    """What is reserved for a prompt of so many tokens by our estimate, which is no upper bound."""
    return math.ceil(estimated * PROMPT_MARGIN) + PROMPT_EXTRA


def reserve(call: Call, *, prompt: int, completion: int, patient: bool = True) -> int:
    """Reserves so many tokens of every budget that applies; returns how many of them the answer may have.

    That is fewer than `completion` where only fewer are left. Raises `InFlight` while more would be there but for the
    reservations of others (not so if not `patient`), and `InsufficientQuota` when there is nothing to be had. An
    earlier reservation for the same call is given back. Call it inside a transaction.
    """
    now = timezone.now()
    spender = call.spender
    entry = LedgerEntry.objects.across_tenants().filter(key=call.key).select_for_update().first()
    if entry is not None and entry.state == EntryState.SETTLED:
        raise AssertionError(f"{call.key} was settled before it is asked for")
    by_balance = budgets.with_balances(spender, now)
    if entry is not None and entry.reservations:
        budgets.locked({*by_balance, *(balance_id for balance_id, _ in entry.reservations)})  # all, in their order
        _give_back(entry)
    if not by_balance:
        return completion
    rates = call.rates
    rooms = [
        (balance_id, _Room.of(by_balance[balance_id], spent, reserved, rates, prompt))
        for balance_id, spent, reserved in budgets.locked(by_balance)
    ]
    allowed = min([completion, *(room.now for _, room in rooms if room.now is not None)])
    if allowed < completion:
        without_others = min([completion, *(room.then for _, room in rooms if room.then is not None)])
        if patient and without_others > allowed and without_others >= LEAST_COMPLETION:
            raise InFlight
        if allowed < min(completion, LEAST_COMPLETION):
            raise InsufficientQuota
    held = {balance_id: room.amount(prompt, allowed) for balance_id, room in rooms}
    _hold(call, held, rates.currency)
    return allowed


@dataclass(frozen=True)
class _Room:
    """How long an answer one balance has room for, in tokens: `now`, and `then`, when nothing else is in flight.

    None: for any, because it costs nothing. Negative: not even for the prompt.
    """

    now: int | None
    then: int | None
    per_prompt: Decimal  # units for a token
    per_completion: Decimal

    @classmethod
    def of(cls, budget: Budget, spent: Decimal, reserved: Decimal, rates: Rates, prompt: int) -> "_Room":
        million = Decimal(1_000_000)
        each = (Decimal(1), Decimal(1))
        if budget.unit == Unit.COST:
            each = (max(rates.prompt, rates.cached_prompt) / million, rates.completion / million)

        def answer(left: Decimal) -> int | None:
            left -= prompt * each[0]
            if left < 0 or (left == 0 and each[1]):
                return -1
            return int((left / each[1]).to_integral_value(ROUND_FLOOR)) if each[1] else None

        left = budget.amount - spent
        if left <= 0:  # also for what costs nothing: a budget that is used up stops everything
            return cls(-1, -1, *each)
        return cls(answer(left - reserved), answer(left), *each)

    def amount(self, prompt: int, completion: int) -> Decimal:
        return prompt * self.per_prompt + completion * self.per_completion


_RESERVE = f"""
    INSERT INTO metering_ledgerentry ({", ".join(_GIVEN)}) VALUES ({", ".join(["%s"] * len(_GIVEN))})
    ON CONFLICT (key) DO UPDATE SET state = EXCLUDED.state, reservations = EXCLUDED.reservations,
        created_at = EXCLUDED.created_at, is_rolled_up = false
"""  # noqa: S608 only names of this module
_TAKE = """
    UPDATE metering_balance SET reserved = reserved + taken.amount
    FROM unnest(%s::bigint[], %s::numeric[]) AS taken (id, amount) WHERE metering_balance.id = taken.id
"""


def _hold(call: Call, held: Mapping[int, Decimal], currency: str) -> None:
    """Takes the amounts from the balances, which are locked, and stores that it is this call that holds them."""
    noted = orjson.dumps([[balance_id, f"{amount:f}"] for balance_id, amount in held.items()]).decode()
    values = [*_named(call, EntryState.RESERVED), timezone.now(), None, noted]
    values += [0, 0, 0, 0, 0, 0, 0.0, Decimal(0), currency, False]
    with connection.cursor() as cursor:
        cursor.execute(f"{_TAKE}; {_RESERVE}", [list(held), list(held.values()), *values])


# --- Releasing -------------------------------------------------------------------------------------------------------


def _give_back(entry: LedgerEntry) -> None:
    if entry.reservations:
        _book(entry.pk, entry.reservations, {})
    entry.reservations = []


def _release(rows: Any) -> int:
    """Gives back what these reserved entries, which are locked here, hold; returns how many there were."""
    entries = list(rows.filter(state=EntryState.RESERVED).order_by("pk"))
    for entry in entries:
        _give_back(entry)
        entry.state, entry.is_rolled_up = EntryState.RELEASED, True  # there is nothing to add up
    LedgerEntry.objects.across_tenants().bulk_update(entries, ["state", "reservations", "is_rolled_up"])
    return len(entries)


def release_of_run(run_id: str) -> int:
    """Gives back what is reserved for turns of the run: nobody takes them any more. Call it inside a transaction."""
    return _release(LedgerEntry.objects.across_tenants().filter(run_id=run_id).select_for_update())


def release(key: str) -> int:
    """Gives back what is reserved for the call: it came to nothing."""
    with transaction.atomic():
        return _release(LedgerEntry.objects.across_tenants().filter(key=key).select_for_update())


def release_abandoned(is_over: Callable[[Collection[str]], Collection[str]]) -> int:
    """Gives back what is reserved for runs of which `is_over` says so (of their ids), and by processes that have died.

    For the ticker: what nobody else has given back. Executions of code are settled by who carries them (`quotas`).
    """
    reserved = LedgerEntry.objects.across_tenants().filter(state=EntryState.RESERVED).exclude(kind=EntryKind.CODE)
    with transaction.atomic():
        entries = list(reserved.order_by("pk").select_for_update(skip_locked=True)[:RELEASED_AT_ONCE])
        # The runs are looked at when their entries are locked: whoever claims one now reserves behind this.
        over = is_over({entry.run_id for entry in entries if entry.run_id})
        long_ago = timezone.now() - ABANDONED_AFTER
        chosen = [
            each.pk for each in entries if each.run_id in over or (not each.run_id and each.created_at < long_ago)
        ]
        return _release(reserved.filter(pk__in=chosen)) if chosen else 0
