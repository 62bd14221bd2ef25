"""`/metrics`: what Prometheus is answered. The counts of all processes, and what PostgreSQL and Valkey know.

One answer tells of the whole installation, whichever web process is asked, so it is scraped at one address only. What
cannot be reached is said (`holdfast_up`), and the rest is told all the same.
"""

import hmac
import os
import time
from collections.abc import Iterable
from datetime import datetime

from django.conf import settings
from django.db import DatabaseError, InterfaceError
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from assistant_site import code, valkey
from assistant_site.db import scope
from assistant_site.metrics import publishing
from assistant_site.operating import dashboard, kept
from assistant_site.wire import rest
from assistant_site.wire.errors import Unauthorized
from metering import usage

MOST_TENANTS = 200
TENANTS_SECONDS = 30.0  # for which what they have used is kept


def metrics(request: HttpRequest) -> HttpResponseBase:
    """For who has METRICS_TOKEN or ADMIN_TOKEN; where neither is set there is no such address."""
    if not publishing.is_wanted():
        return rest.error_response(rest.invalid_url(request))
    if not _may_ask(request):
        return rest.error_response(Unauthorized("Metrics are for who has METRICS_TOKEN, as bearer token."))
    registry = CollectorRegistry()
    state = State()
    try:
        registry.register(publishing.gathered())
    except (valkey.Failed, OSError):
        state.valkey = 0
        registry.register(publishing.own())
    registry.register(state)
    encode, content_type = choose_encoder(request.headers.get("Accept", ""))
    return HttpResponse(encode(registry), content_type=content_type, headers={"Cache-Control": "no-store"})


def _may_ask(request: HttpRequest) -> bool:
    kind, _, given = request.headers.get("Authorization", "").partition(" ")
    tokens = [
        token.encode()
        for token in (settings.METRICS_TOKEN, settings.ADMIN_TOKEN, *settings.ADMIN_TOKEN_FALLBACKS)
        if token
    ]
    matches = [hmac.compare_digest(given.strip().encode(), token) for token in tokens]
    return kind.lower() == "bearer" and any(matches)


class State(Collector):
    """What is known of the installation as a whole, asked for at each scrape (or some seconds before)."""

    def __init__(self) -> None:
        self.valkey = 1

    def collect(self) -> Iterable[Metric]:
        yield InfoMetricFamily("holdfast_build", "The version that answers.", value={"version": settings.VERSION})
        up = GaugeMetricFamily("holdfast_up", "Whether this part answers.", labels=["part"])
        try:
            with scope.everything():
                now, near = dashboard.now(), dashboard.count_of_near_budgets()
                tenants = used_today() if settings.METRICS_PER_TENANT else {}
        except (DatabaseError, InterfaceError):
            up.add_metric(["postgresql"], 0)
        else:
            up.add_metric(["postgresql"], 1)
            yield from _of_now(now)
            budgets = GaugeMetricFamily("holdfast_budgets_nearly_spent", "Budgets of which most is spent or reserved.")
            budgets.add_metric([], near)
            yield budgets
            if settings.METRICS_PER_TENANT:
                yield from _of_tenants(tenants)
        up.add_metric(["valkey"], self.valkey)
        if settings.CODE_INTERPRETER != "off":
            sandbox = code.state()
            up.add_metric(["sandbox"], 1 if sandbox.word == "available" else 0)
            sessions = GaugeMetricFamily("holdfast_sandbox_sessions", "Code sessions that threads have now.")
            sessions.add_metric([], sandbox.sessions)
            yield sessions
        yield up
        yield _disks()


def _of_now(now: dashboard.Now) -> Iterable[Metric]:
    runs = GaugeMetricFamily("holdfast_runs", "Runs that have not ended, by status.", labels=["status"])
    for status, count in now.runs.items():
        runs.add_metric([status], count)
    yield runs
    yield _age("holdfast_queue_age_seconds", "Seconds that the oldest queued run has waited.", now.oldest_queued)
    files = GaugeMetricFamily("holdfast_ingestion_backlog", "Files of vector stores that are not ingested yet.")
    files.add_metric([], now.ingesting)
    yield files
    yield _age("holdfast_ingestion_age_seconds", "Seconds that the oldest of them has waited.", now.oldest_file)
    if now.workers is not None and now.ingestion_workers is not None:
        workers = GaugeMetricFamily("holdfast_workers", "Worker processes that have shown themselves.", labels=["kind"])
        workers.add_metric(["worker"], len(now.workers))
        workers.add_metric(["ingestion"], len(now.ingestion_workers))
        yield workers


def _age(name: str, documentation: str, oldest: datetime | None) -> Metric:
    """The age of the oldest that waits; 0 where none does."""
    family = GaugeMetricFamily(name, documentation)
    family.add_metric([], 0 if oldest is None else max(0.0, time.time() - oldest.timestamp()))
    return family


@kept.for_seconds(TENANTS_SECONDS)
def used_today() -> dict[str, tuple[int, int]]:
    """Runs and tokens of the tenants that have used most tokens today (UTC), by tenant."""
    found: dict[str, tuple[int, int]] = {}
    today = usage.today()
    for total in usage.totals(start=today, end=today, group_by=("tenant",)):  # one for each currency
        runs, tokens = found.get(str(total.tenant), (0, 0))
        found[str(total.tenant)] = (runs + total.runs, tokens + total.tokens)
    most = sorted(found, key=lambda tenant: -found[tenant][1])[:MOST_TENANTS]
    return {tenant: found[tenant] for tenant in most}


def _of_tenants(tenants: dict[str, tuple[int, int]]) -> Iterable[Metric]:
    runs = GaugeMetricFamily("holdfast_tenant_runs_today", "Runs of a tenant today (UTC).", labels=["tenant"])
    tokens = GaugeMetricFamily("holdfast_tenant_tokens_today", "Tokens of a tenant today (UTC).", labels=["tenant"])
    for tenant, (count_of_runs, count_of_tokens) in tenants.items():
        runs.add_metric([tenant], count_of_runs)
        tokens.add_metric([tenant], count_of_tokens)
    yield from (runs, tokens)


def _disks() -> Metric:
    """As the machine has them that answers; a database elsewhere has its own exporters."""
    free = GaugeMetricFamily(
        "holdfast_disk_free_bytes", "Room on the disk of HOLDFAST_VAR, FILES_DIR.", labels=["folder"]
    )
    for name, folder in (("var", settings.VAR_DIR), ("files", settings.FILES_DIR)):
        if name == "files" and (settings.S3_BUCKET_NAME or not folder.exists()):
            continue
        disk = os.statvfs(folder)
        free.add_metric([name], disk.f_bavail * disk.f_frsize)
    return free
