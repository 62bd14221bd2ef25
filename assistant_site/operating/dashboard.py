"""The admin's first page: what goes on now, what is used, and what needs a hand. Each figure is one indexed query."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, F, Min, Q
from django.http import HttpRequest
from django.utils import timezone

from assistant_site import code, valkey
from assistant_site.operating import charts, kept
from assistant_site.wire.ids import moment_id
from metering import usage
from metering.admin import NEARLY, spent_of, whose
from metering.budgets import began_on
from metering.models import Balance, Budget, Period
from runs.machine import ACTIVE, TERMINAL, Status
from runs.models import Run
from runs.workers import ALIVE_KEY
from tenants.models import Provider, Tenant
from vector_stores.models import StoreFile, StoreFileStatus
from vector_stores.tasks import ALIVE_KEY as INGESTION_ALIVE_KEY

NOW_SECONDS = 3.0  # for which what goes on now is kept
USAGE_SECONDS = 30.0
DAYS = 30
MOST_LISTED = 10
MOST_BUDGETS = 6
MOST_KEYS = 200_000  # of Valkey that are looked through for workers
OLD_QUEUE_SECONDS = 30.0


@dataclass(frozen=True)
class Worker:
    name: str
    at_work: int


@dataclass(frozen=True)
class Now:
    """Runs and files under way; `None` for what Valkey would know, while it does not answer."""

    runs: dict[str, int]
    oldest_queued: datetime | None
    ingesting: int
    oldest_file: datetime | None
    workers: list[Worker] | None
    ingestion_workers: list[Worker] | None

    @property
    def ended(self) -> dict[str, int]:
        """In the last hour, by status."""
        return ended_lately()

    @property
    def is_late(self) -> bool:
        oldest = self.oldest_queued
        return oldest is not None and (timezone.now() - oldest).total_seconds() > OLD_QUEUE_SECONDS


@kept.for_seconds(NOW_SECONDS)
def now() -> Now:
    active = (
        Run.objects.across_tenants()
        .filter(status__in=ACTIVE)
        .order_by()
        .values_list("status")
        .annotate(count=Count("pk"), oldest=Min("queued_at"))
    )
    found = {status: (count, oldest) for status, count, oldest in active}
    files = StoreFile.objects.across_tenants().filter(status=StoreFileStatus.IN_PROGRESS)
    backlog = files.aggregate(count=Count("pk"), oldest=Min("queued_at"))
    keys = alive()
    return Now(
        runs={status: found[status][0] if status in found else 0 for status in Status.values if status in ACTIVE},
        oldest_queued=found[Status.QUEUED][1] if Status.QUEUED in found else None,
        ingesting=backlog["count"],
        oldest_file=backlog["oldest"],
        workers=None if keys is None else keys[ALIVE_KEY],
        ingestion_workers=None if keys is None else keys[INGESTION_ALIVE_KEY],
    )


@kept.for_seconds(NOW_SECONDS)
def ended_lately() -> dict[str, int]:
    hour = moment_id("run_", timezone.now() - timedelta(hours=1))
    ended = Run.objects.across_tenants().filter(pk__gte=hour, status__in=TERMINAL).order_by().values_list("status")
    return dict(ended.annotate(count=Count("pk")))


def alive() -> dict[str, list[Worker]] | None:
    """The workers that have shown themselves in the last seconds; None if Valkey does not answer."""
    found: dict[str, list[Worker]] = {ALIVE_KEY: [], INGESTION_ALIVE_KEY: []}
    client = valkey.blocking()
    try:
        cursor, seen = 0, 0
        while seen < MOST_KEYS:
            answer: Any = client.scan(cursor, match="holdfast:*", count=5_000)
            cursor, keys = answer
            seen += 5_000
            for kind in found:
                names = [key for key in keys if key.decode().startswith(kind)]
                values: Any = client.mget(names) if names else ()
                for name, held in zip(names, values, strict=True):
                    if held is not None:
                        found[kind].append(Worker(name.decode().removeprefix(kind), int(held)))
            if not cursor:
                break
    except (valkey.Failed, OSError):
        return None
    for workers in found.values():
        workers.sort(key=lambda worker: worker.name)
    return found


# --- Usage -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Share:
    """What one tenant has used, and its part of the most that one has used."""

    tenant_id: str
    name: str
    runs: int
    tokens: int
    cost: str
    share: float


@dataclass(frozen=True)
class Used:
    tokens: charts.Chart
    costs: list[tuple[str, charts.Chart]]
    top: list[Share]
    today_tokens: int
    today_runs: int
    today_cost: str


@kept.for_seconds(USAGE_SECONDS)
def used() -> Used:
    last = usage.today()
    first = last - timedelta(days=DAYS - 1)
    totals = usage.totals(start=first, end=last, group_by=("day", "tenant"))
    today = [total for total in totals if total.day == last]
    return Used(
        tokens=charts.tokens_by_day(totals, first, last),
        costs=charts.cost_by_day(totals, first, last),
        top=top(totals),
        today_tokens=sum(total.tokens for total in today),
        today_runs=sum(total.runs for total in today),
        today_cost=cost_of(today),
    )


def cost_of(totals: list[usage.Total]) -> str:
    """The sums by currency, which are never added."""
    sums: dict[str, Any] = {}
    for total in totals:
        sums[total.currency] = sums.get(total.currency, 0) + total.cost
    return ", ".join(f"{cost:,.2f} {currency}" for currency, cost in sorted(sums.items()) if cost) or "0"


def top(totals: list[usage.Total]) -> list[Share]:
    of: dict[str, list[usage.Total]] = {}
    for total in totals:
        of.setdefault(str(total.tenant), []).append(total)
    tokens = {tenant: sum(total.tokens for total in own) for tenant, own in of.items()}
    first = sorted(tokens, key=lambda tenant: -tokens[tenant])[:MOST_LISTED]
    names = dict(Tenant.objects.filter(pk__in=first).values_list("pk", "name"))
    most = max(tokens.values(), default=0) or 1
    return [
        Share(
            tenant_id=tenant,
            name=names.get(tenant, tenant),
            runs=sum(total.runs for total in of[tenant]),
            tokens=tokens[tenant],
            cost=cost_of(of[tenant]),
            share=100 * tokens[tenant] / most,
        )
        for tenant in first
    ]


# --- What needs a hand -----------------------------------------------------------------------------------------------


def failing() -> list[Provider]:
    """The providers whose last answer was a failure."""
    is_failing = Q(succeeded_at=None) | Q(failed_at__gt=F("succeeded_at"))
    return list(
        Provider.objects.filter(is_failing, failed_at__isnull=False, is_enabled=True)
        .select_related("tenant")
        .order_by("-failed_at")[:MOST_LISTED]
    )


@dataclass(frozen=True)
class NearBudget:
    budget: Budget
    share: float
    whose: str
    bar: str


def _nearly_spent() -> Any:
    """What is left of the budgets of which most is spent or reserved in the present period."""
    due = Q()
    for period in Period.values:
        due |= Q(budget__period=period, began_on=began_on(period, timezone.now()))
    return Balance.objects.across_tenants().filter(due, spent__gte=F("budget__amount") * NEARLY - F("reserved"))


@kept.for_seconds(USAGE_SECONDS)
def count_of_near_budgets() -> int:
    found: int = _nearly_spent().values("budget").distinct().count()
    return found


@kept.for_seconds(USAGE_SECONDS)
def near_budgets() -> list[NearBudget]:
    """Of these budgets, the ones that are nearest to their end."""
    rows: Any = (
        _nearly_spent()
        .select_related("budget__tenant", "budget__token")
        .annotate(left=F("budget__amount") - F("spent"))
        .order_by("left")[: 5 * MOST_LISTED]
    )
    found: dict[int, NearBudget] = {}
    for row in rows:
        budget: Any = row.budget
        budget.highest = row
        share = float(row.spent) / float(budget.amount) if budget.amount else 1.0
        if budget.pk not in found or found[budget.pk].share < share:
            found[budget.pk] = NearBudget(budget, share, whose(budget), spent_of(budget))
    return sorted(found.values(), key=lambda near: -near.share)[:MOST_BUDGETS]


# --- The page --------------------------------------------------------------------------------------------------------


def shown_to(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """The page's parts, as far as this user may see what they tell of."""
    may = request.user.has_perm
    if may("runs.view_run"):
        context["now"] = now()
        context["code"] = code.state()
    if may("metering.view_usageday"):
        context["used"] = used()
    if may("tenants.view_provider"):
        context["failing"] = failing()
    if may("metering.view_budget"):
        context["near"] = near_budgets()
    return context | {"days": DAYS, "title": "Overview"}
