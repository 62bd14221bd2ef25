"""All of a tenant on one page: what it has, what it uses, and the way to each list of it."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db.models import QuerySet

from assistant_site.operating import charts
from assistant_site.operating.dashboard import DAYS, cost_of
from assistant_site.staff import shown
from assistant_site.staff.counting import about
from assistants.models import Assistant
from audit.models import AuditEntry
from files.models import File
from metering import usage
from metering.admin import spent_of, whose, with_balances
from metering.models import Budget
from runs.machine import ACTIVE, Status
from runs.models import Run
from tenants.models import ApiToken, EndUser, ModelAlias, Provider, Tenant
from threads.models import Thread
from vector_stores.models import VectorStore

MOST_LISTED = 8


@dataclass(frozen=True)
class Counted:
    """A list of the tenant's rows: how many, and the way there."""

    name: str
    count: str
    address: str
    icon: str


@dataclass(frozen=True)
class Overview:
    tenant: Tenant
    counted: list[Counted]
    running: int
    queued: int
    chart: charts.Chart
    tokens: int
    runs: int
    cost: str
    api_tokens: list[ApiToken]
    more_tokens: bool
    providers: list[Provider]
    aliases: list[ModelAlias]
    budgets: list[tuple[Budget, str, str]]
    recent: list[Run]
    log: list[AuditEntry]


def of(tenant: Tenant, user: Any) -> Overview:
    """What this user of the staff may see of it."""
    may = user.has_perm
    last = usage.today()
    first = last - timedelta(days=DAYS - 1)
    totals = usage.totals(start=first, end=last, group_by=("day",), tenant_id=tenant.pk)
    runs = Run.objects.of(tenant)
    active = list(runs.filter(status__in=ACTIVE).values_list("status", flat=True)[:10_000])
    tokens = _some(ApiToken.objects.filter(tenant=tenant).order_by("revoked_at", "-pk"), may("tenants.view_apitoken"))
    budgets = _some(
        Budget.objects.of(tenant).select_related("tenant", "token").order_by("pk"), may("metering.view_budget")
    )
    return Overview(
        tenant=tenant,
        counted=_counted(tenant, may),
        running=sum(status == Status.IN_PROGRESS for status in active),
        queued=sum(status == Status.QUEUED for status in active),
        chart=charts.tokens_by_day(totals, first, last),
        tokens=sum(total.tokens for total in totals),
        runs=sum(total.runs for total in totals),
        cost=cost_of(totals),
        api_tokens=tokens[:MOST_LISTED],
        more_tokens=len(tokens) > MOST_LISTED,
        providers=_some(Provider.objects.filter(tenant=tenant), may("tenants.view_provider")),
        aliases=_some(ModelAlias.objects.filter(tenant=tenant).order_by("alias"), may("tenants.view_modelalias")),
        budgets=[(budget, f"for {whose(budget)}", spent_of(budget)) for budget in with_balances(budgets)],
        recent=_some(runs.order_by("-pk"), may("runs.view_run"))[:MOST_LISTED],
        log=_some(AuditEntry.objects.filter(tenant_id=tenant.pk).order_by("-pk"), may("audit.view_auditentry"))[
            :MOST_LISTED
        ],
    )


def _some(rows: QuerySet[Any], is_shown: bool) -> list[Any]:
    """One more than is listed, so that it is known whether there are more."""
    return list(rows[: MOST_LISTED + 1]) if is_shown else []


def _counted(tenant: Tenant, may: Any) -> list[Counted]:
    lists: list[tuple[str, str, QuerySet[Any], str]] = [
        ("Runs", "runs.run", Run.objects.of(tenant), "play_circle"),
        ("Threads", "threads.thread", Thread.objects.of(tenant), "forum"),
        ("Assistants", "assistants.assistant", Assistant.objects.of(tenant), "smart_toy"),
        ("End users", "tenants.enduser", EndUser.objects.of(tenant), "groups"),
        ("Files", "files.file", File.objects.of(tenant), "description"),
        ("Vector stores", "vector_stores.vectorstore", VectorStore.objects.of(tenant), "database"),
    ]
    found = []
    for name, model, rows, icon in lists:
        app, low = model.split(".")
        if may(f"{app}.view_{low}"):
            count, is_exact = about(rows)
            told = shown.short(count) if is_exact else f"≈ {shown.short(count)}"
            found.append(Counted(name, told, shown.list_of(model, tenant__id__exact=tenant.pk), icon))
    return found
