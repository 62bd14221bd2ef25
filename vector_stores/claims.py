"""Who ingests which file: picking, claiming, keeping and giving back, all in database time.

A claim is a random number in the file's row. Whoever ingests the file proves it with every write, so a worker that was
taken for dead, or whose file was cancelled, writes nothing more.
"""

import threading
import uuid
from collections import Counter
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Count, F, Min, Q
from django.db.models.functions import Now

from assistant_site.metrics import counted
from tenants.models import TenantQuerySet
from vector_stores.models import StoreFile, StoreFileStatus

ATTEMPTS = 3
BEATS_PER_LEASE = 3


class LostClaim(Exception):
    """The file is somebody else's by now, cancelled, or gone: stop, write nothing more."""


class Held:
    """A claimed file. `row` has its file and store with it."""

    def __init__(self, row: StoreFile) -> None:
        self.row = row
        self._lost = threading.Event()

    def lose(self) -> None:
        self._lost.set()

    def check(self) -> None:
        """Between two steps: `LostClaim` if a heartbeat has found that going on is for nothing."""
        if self._lost.is_set():
            raise LostClaim(self.row.pk)

    def mine(self) -> "TenantQuerySet[StoreFile]":
        """The row, as long as it is this claim's: what every write goes through."""
        found: TenantQuerySet[StoreFile] = StoreFile.objects.across_tenants().filter(
            pk=self.row.pk, claim=self.row.claim, status=StoreFileStatus.IN_PROGRESS
        )
        return found

    def write(self, **changes: Any) -> None:
        """Ends the claim with these changes, and keeps the row locked until the transaction ends."""
        if not self.mine().update(claim=None, lease_until=None, **changes):
            raise LostClaim(self.row.pk)
        if "status" in changes:
            counted.INGESTED.labels(str(changes["status"])).inc()


def lease_end() -> Any:
    return Now() + timedelta(seconds=settings.INGESTION_LEASE_SECONDS)


def _unfinished() -> "TenantQuerySet[StoreFile]":
    found: TenantQuerySet[StoreFile] = StoreFile.objects.across_tenants().filter(status=StoreFileStatus.IN_PROGRESS)
    return found


def _free() -> Q:
    """Due, and nobody works on it, or whoever did is dead."""
    return Q(queued_at__lte=Now()) & (Q(lease_until=None) | Q(lease_until__lt=Now()))


def _waiting_stores() -> list[tuple[str, str]]:
    """Tenants and their stores with files to be ingested, in the order of their turns.

    Of tenants, and of a tenant's stores, who has the fewest files under way comes first, then who waits longest: so a
    file that a message brings along does not wait for a large batch in another store.
    """
    rows = (
        _unfinished()
        .order_by()
        .values_list("tenant_id", "vector_store_id")
        .annotate(
            under_way=Count("pk", filter=Q(lease_until__gte=Now())),
            waiting_since=Min("queued_at", filter=_free()),
        )
    )
    found = list(rows)
    busy: Counter[str] = Counter()
    since: dict[str, datetime] = {}
    for tenant_id, _, under_way, waiting_since in found:
        busy[tenant_id] += under_way
        if waiting_since is not None:
            since[tenant_id] = min(waiting_since, since.get(tenant_id, waiting_since))
    waiting = [row for row in found if row[3] is not None]
    waiting.sort(key=lambda row: (busy[row[0]], since[row[0]], row[0], row[2], row[3]))
    return [(tenant_id, store_id) for tenant_id, store_id, _, _ in waiting]


def claim_next() -> Held | None:
    """Takes the file whose turn it is; None if there is none. Safe from every worker at once."""
    for tenant_id, store_id in _waiting_stores():
        waiting = _unfinished().filter(_free(), tenant_id=tenant_id, vector_store_id=store_id)
        while True:
            with transaction.atomic():
                rows = waiting.order_by("queued_at", "pk").select_for_update(skip_locked=True, of=("self",))
                row = rows.select_related("file", "vector_store").first()
                if row is None:
                    break
                if row.attempt < ATTEMPTS:
                    return Held(_taken(row))
                fail_exhausted(row)
    return None


def _taken(row: StoreFile) -> StoreFile:
    row.claim = uuid.uuid4()
    row.attempt += 1
    StoreFile.objects.across_tenants().filter(pk=row.pk).update(
        claim=row.claim, lease_until=lease_end(), attempt=row.attempt
    )
    return row


def fail_exhausted(row: StoreFile) -> None:
    row.change(
        status=StoreFileStatus.FAILED,
        claim=None,
        lease_until=None,
        last_error={
            "code": "server_error",
            "message": f"The processing of the file was interrupted {row.attempt} times and is not tried again.",
        },
    )


def renew(held: Iterable[Held]) -> None:
    """Prolongs the leases of these claims, and marks those that are lost.

    A row that is locked at the moment, by its own holder's last transaction or by a cancel, is left to the next beat.
    """
    by_claim = {str(each.row.claim): each for each in held}
    rows = _unfinished().filter(claim__in=list(by_claim))
    alive = {str(claim) for claim in rows.values_list("claim", flat=True)}
    for claim, each in by_claim.items():
        if claim not in alive:
            each.lose()
    with transaction.atomic():
        mine = list(rows.select_for_update(skip_locked=True).order_by("pk").values_list("pk", flat=True))
        _unfinished().filter(pk__in=mine).update(lease_until=lease_end())


def hand_back(held: Iterable[Held]) -> None:
    """Gives files up that are not finished, for another worker; this was no attempt."""
    for each in held:
        each.mine().update(claim=None, lease_until=None, attempt=F("attempt") - 1)


def give_up(rows: "TenantQuerySet[StoreFile]") -> int:
    """Part of a transaction: cancels those of the files that are not ingested yet; returns how many."""
    unfinished = rows.filter(status=StoreFileStatus.IN_PROGRESS).select_for_update(of=("self",)).order_by("pk")
    ids = list(unfinished.values_list("pk", flat=True))
    given_up = StoreFile.objects.across_tenants().filter(pk__in=ids)
    return given_up.update(status=StoreFileStatus.CANCELLED, claim=None, lease_until=None)


def put_off(held: Held, seconds: float, *, counts: bool) -> None:
    """Leaves the file to a later attempt. `counts`: it is one of the few that a file has."""
    attempt = F("attempt") if counts else F("attempt") - 1
    held.write(queued_at=Now() + timedelta(seconds=seconds), attempt=attempt)
