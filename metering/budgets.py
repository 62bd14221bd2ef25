"""Which budgets apply to a call, and their balances.

What keeps a balance exact, though it begins in the middle of a period and others settle meanwhile: each settlement
first holds the tenant's lock (shared), then stores its entry and looks for budgets. Who makes a balance holds the same
lock alone, and then adds up the ledger. So an entry is either committed before that sum, and in it, or its settlement
finds the balance, and adds to it: never both, never neither.

Locks are taken in one order everywhere: the run's row, the tenant's lock, the ledger's entry, balances by their id.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import cache
from typing import Any

from django.db import connection, transaction
from django.db.models import Q
from django.db.models.expressions import RawSQL
from django.utils import timezone

from assistant_site.llm.errors import QUOTA
from assistant_site.recent import Recent
from assistant_site.wire.errors import WireError
from metering import usage
from metering.models import Balance, Budget, Period, Unit
from tenants.models import Tenant, TenantManager, TenantModel, TenantQuerySet

EACH = "*"  # as a budget's end user: for each one by itself
FOR_GOOD = date(1970, 1, 1)  # when the period of a budget for good began

_LOCKS = 0x4255_4447  # the class of the advisory locks that are named by a tenant


class InsufficientQuota(WireError):
    """A budget is used up."""

    status = 429
    type = "insufficient_quota"

    def __init__(self) -> None:
        super().__init__(QUOTA, code="insufficient_quota")


@dataclass(frozen=True)
class Spender:
    """For whom a call is made."""

    tenant_id: str
    token_id: str = ""
    end_user: str = ""


# --- Whether there are any -------------------------------------------------------------------------------------------

_known: Recent[str, bool] = Recent(0.5)  # by the tenant


def forget() -> None:
    """Makes this process look for budgets anew."""
    _known.clear()


def note(tenant_id: str, has_budgets: bool) -> None:
    """What a query that was made anyway has told of the tenant; good for half a second."""
    _known.put(tenant_id, has_budgets)


@cache
def flagged(model: type[TenantModel]) -> TenantQuerySet[Any]:
    """All rows, each with `has_budgets` of its tenant, for `note`: to be filtered; no query of its own.

    Made once a model: a subquery that Django puts together anew for each claim takes longer than its answer.
    """
    column = f'"{model._meta.db_table}"."tenant_id"'
    budgets = RawSQL(f"EXISTS (SELECT 1 FROM metering_budget WHERE tenant_id = {column})", ())  # noqa: S608, S611
    manager: TenantManager[Any] = model.objects
    return manager.across_tenants().annotate(has_budgets=budgets)


def has_budgets(tenant_id: str) -> bool:
    """Whether the tenant has any budget; half a second old at most."""
    known = _known.get(tenant_id)
    if known is None:
        known = Budget.objects.across_tenants().filter(tenant_id=tenant_id).exists()
        note(tenant_id, known)
    return known


# --- Which apply -----------------------------------------------------------------------------------------------------


def of_tenant(tenant_id: str) -> list[Budget]:
    return list(Budget.objects.across_tenants().filter(tenant_id=tenant_id).order_by("pk"))


def applicable(found: Iterable[Budget], spender: Spender) -> list[Budget]:
    """Those that count what this spender spends; all of them must have room."""
    return [
        budget
        for budget in found
        if budget.token_id in (None, spender.token_id)
        and (budget.end_user in ("", spender.end_user) or (budget.end_user == EACH and spender.end_user))
    ]


def began_on(period: str, moment: datetime) -> date:
    """The first day of the period (UTC) that this moment is in."""
    day = moment.astimezone(UTC).date()
    if period == Period.DAY:
        return day
    return day.replace(day=1) if period == Period.MONTH else FOR_GOOD


def resets_at(period: str, moment: datetime) -> datetime | None:
    """When the next period begins; None: never."""
    if period == Period.TOTAL:
        return None
    first = began_on(period, moment)
    ordinal = first.toordinal() + (1 if period == Period.DAY else 32)
    following = date.fromordinal(ordinal)
    if period == Period.MONTH:
        following = following.replace(day=1)
    return datetime(following.year, following.month, following.day, tzinfo=UTC)


Place = tuple[int, date, str]  # a balance by its budget, period and end user


def place_of(budget: Budget, end_user: str, moment: datetime) -> Place:
    return budget.pk, began_on(budget.period, moment), end_user if budget.end_user == EACH else ""


def at_places(places: Iterable[Place]) -> Q:
    """The balances there; none for no places."""
    found = Q(pk__in=[])
    for budget_id, began, end_user in places:
        found |= Q(budget_id=budget_id, began_on=began, end_user=end_user)
    return found


def used(budget: Budget, end_user: str, moment: datetime) -> Decimal:
    """What the ledger says was spent of the budget in the period of this moment."""
    named = end_user if budget.end_user == EACH else budget.end_user or None
    sums = usage.totals(
        start=began_on(budget.period, moment),
        tenant_id=budget.tenant_id,
        token_id=budget.token_id,
        end_user=named,
    )
    if budget.unit == Unit.TOKENS:
        return Decimal(sum(each.tokens for each in sums))
    currency = Tenant.objects.filter(pk=budget.tenant_id).values_list("currency", flat=True).first()
    return sum((each.cost for each in sums if each.currency == currency), Decimal(0))


# --- Balances --------------------------------------------------------------------------------------------------------


SHARE_LOCK = f"SELECT pg_advisory_xact_lock_shared({_LOCKS}, hashtext(%s))"
"""The statement that holds a tenant's lock, with other settlements, until the transaction ends."""


def hold_alone(tenant_id: str) -> None:
    """Holds the tenant's lock against all settlements until the transaction ends."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s, hashtext(%s))", [_LOCKS, tenant_id])


def open_balances(tenant_id: str, wanted: Sequence[tuple[Budget, str]], moment: datetime) -> None:
    """Makes the balances of these budgets (each for an end user) that are missing, with what the ledger says.

    Waits for the tenant's settlements under way, and they for it.
    """
    with transaction.atomic():
        hold_alone(tenant_id)
        there = Budget.objects.across_tenants().filter(pk__in=[budget.pk for budget, _ in wanted])
        alive = {budget.pk: budget for budget in there.order_by("pk").select_for_update(no_key=True)}
        for stale, end_user in wanted:
            budget = alive.get(stale.pk)
            if budget is None:
                continue
            budget_id, began, name = place_of(budget, end_user, moment)
            if not Balance.objects.across_tenants().filter(at_places([(budget_id, began, name)])).exists():
                Balance.objects.create(
                    tenant_id=tenant_id,
                    budget_id=budget_id,
                    began_on=began,
                    end_user=name,
                    spent=used(budget, end_user, moment),
                )


_WITH_BALANCES = """
    SELECT budget.id, budget.token_id, budget.end_user, budget.unit, budget.period, budget.amount, balance.id
    FROM metering_budget AS budget
    LEFT JOIN metering_balance AS balance ON balance.budget_id = budget.id
        AND balance.began_on = CASE budget.period WHEN 'day' THEN %s WHEN 'month' THEN %s ELSE %s END
        AND balance.end_user = CASE budget.end_user WHEN '*' THEN %s ELSE '' END
    WHERE budget.tenant_id = %s
"""


def with_balances(spender: Spender, moment: datetime) -> dict[int, Budget]:
    """The budgets that apply, by the ids of their balances in this period. Missing ones are made: lock none before."""
    days = [began_on(period, moment) for period in (Period.DAY, Period.MONTH, Period.TOTAL)]
    for _ in range(2):
        with connection.cursor() as cursor:
            cursor.execute(_WITH_BALANCES, [*days, spender.end_user, spender.tenant_id])
            rows = cursor.fetchall()
        names = ("pk", "token_id", "end_user", "unit", "period", "amount")
        balances = {row[0]: row[6] for row in rows}
        found = [Budget(tenant_id=spender.tenant_id, **dict(zip(names, row[:6], strict=True))) for row in rows]
        found = applicable(found, spender)
        missing = [budget for budget in found if balances[budget.pk] is None]
        if not missing:
            break
        open_balances(spender.tenant_id, [(budget, spender.end_user) for budget in missing], moment)
    return {balances[budget.pk]: budget for budget in found if balances[budget.pk] is not None}


def locked(balance_ids: Iterable[int]) -> list[tuple[int, Decimal, Decimal]]:
    """Id, spent and reserved of these balances, locked in the order that all keep to; some may be gone."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id, spent, reserved FROM metering_balance WHERE id = ANY(%s) ORDER BY id FOR NO KEY UPDATE",
            [list(balance_ids)],
        )
        return [(row[0], row[1], row[2]) for row in cursor.fetchall()]


def refuse_if_exhausted(spender: Spender) -> None:
    """`InsufficientQuota` if a budget that applies has nothing left. No query for a tenant known to have none."""
    if not has_budgets(spender.tenant_id):
        return
    now = timezone.now()
    found = applicable(of_tenant(spender.tenant_id), spender)
    places = {place_of(budget, spender.end_user, now): budget for budget in found}
    spent = {
        (balance.budget_id, balance.began_on, balance.end_user): balance.spent
        for balance in Balance.objects.across_tenants().filter(at_places(places))
    }
    if any(spent.get(place, Decimal(0)) >= budget.amount for place, budget in places.items()):
        raise InsufficientQuota
