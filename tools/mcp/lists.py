"""The lists of tools that are remembered, one for each server and credentials of a tenant, for all workers.

One worker asks a server; the others wait for it, or go on with an older list if there is one. A list is used for as
long as its server cannot be asked for a new one.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

from django.conf import settings
from django.utils import timezone

from tenants.models import Tenant, TenantQuerySet
from tools.mcp.listing import Listing, Told, fitted
from tools.mcp.models import McpToolList
from tools.mcp.servers import Server

ASKING_SECONDS = 30.0  # for which one worker may ask before another does; longer than the asking may take
PAUSE_SECONDS = 30.0  # after a failure, before the server is asked again
MOST_LISTS = 500  # of a tenant; the oldest go first
KEPT_DAYS = 30  # after which a list that nobody has asked for is forgotten


class State(Enum):
    FRESH = "fresh"
    STALE = "stale"  # somebody asks for a new one, or the last try failed; there is an older one
    MISSING = "missing"  # the last try failed, and there is no older one
    AWAITED = "awaited"  # there is none; somebody asks for it
    OURS = "ours"  # it is on us to ask
    RENEWED = "renewed"  # the same, and there is an older one


@dataclass(frozen=True)
class Remembered:
    """What is known of a server's tools. `failure`: why they are not known, or are not known to be these still."""

    listing: Listing | None = None
    failure: str = ""


def claim(server: Server) -> State:
    """How the list stands.

    OURS and RENEWED are told to one caller, who must `keep`, `fail` or `release` before `ASKING_SECONDS` are over; then
    another is told.
    """
    now = timezone.now()
    row, is_new = McpToolList.objects.across_tenants().get_or_create(
        tenant_id=server.tenant_id, digest=server.digest, defaults={"next_at": _in(ASKING_SECONDS, now)}
    )
    if is_new:
        return State.OURS
    if row.next_at <= now:
        due = _rows(server).filter(next_at=row.next_at)
        if due.update(next_at=_in(ASKING_SECONDS, now), failure=""):
            return State.OURS if row.listing is None else State.RENEWED
        row.refresh_from_db()
    if row.listing is None:
        return State.MISSING if row.failure else State.AWAITED
    is_fresh = row.fetched_at is not None and row.fetched_at > now - timedelta(seconds=settings.MCP_LIST_SECONDS)
    return State.FRESH if is_fresh else State.STALE


def keep(server: Server, told: list[Told], version: str) -> None:
    listing, now = fitted(told, version), timezone.now()
    _rows(server).update(
        listing=listing.as_json(), failure="", fetched_at=now, next_at=_in(settings.MCP_LIST_SECONDS, now)
    )
    others = McpToolList.objects.of(Tenant(pk=server.tenant_id))
    others.filter(next_at__lt=now - timedelta(days=KEPT_DAYS)).delete()
    too_many = others.order_by("-next_at").values_list("pk", flat=True)[MOST_LISTS:]
    others.filter(pk__in=list(too_many)).delete()


def fail(server: Server, failure: str) -> None:
    _rows(server).update(failure=failure, next_at=_in(PAUSE_SECONDS, timezone.now()))


def release(server: Server) -> None:
    """The next one may ask at once: whoever was to ask does not, or the list is in doubt."""
    _rows(server).update(next_at=timezone.now())


def remembered(server: Server) -> Remembered:
    row = _rows(server).first()
    if row is None:
        return Remembered()
    return Remembered(Listing.of_json(row.listing) if row.listing is not None else None, row.failure)


def _rows(server: Server) -> TenantQuerySet[McpToolList]:
    return McpToolList.objects.of(Tenant(pk=server.tenant_id)).filter(digest=server.digest)


def _in(seconds: float, now: datetime) -> datetime:
    return now + timedelta(seconds=seconds)
