"""How many files of a store or batch are in which state, and how many bytes they take.

Nothing is counted along: the numbers are sums over the rows, so they are right however adding, ingesting, cancelling
and deleting meet.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db.models import BooleanField, Count, ExpressionWrapper, F, Q, Sum
from django.db.models.functions import Now

from tenants.models import TenantQuerySet
from vector_stores.models import FileBatch, StoreFile, StoreFileStatus, VectorStore


@dataclass
class Counts:
    files: dict[str, int] = field(default_factory=dict)
    usage_bytes: int = 0

    def add(self, status: str, files: int, usage_bytes: int) -> None:
        self.files[status] = files
        self.usage_bytes += usage_bytes

    @property
    def wire(self) -> dict[str, int]:
        counted = {status: self.files.get(status, 0) for status in StoreFileStatus.values}
        return counted | {"total": sum(counted.values())}

    @property
    def in_progress(self) -> int:
        return self.files.get(StoreFileStatus.IN_PROGRESS, 0)


def of_stores(store_ids: Iterable[str]) -> dict[str, Counts]:
    """By the stores' ids, in one query; a store without files is left out."""
    found: dict[str, Counts] = {}
    rows = (
        StoreFile.objects.across_tenants()
        .filter(vector_store_id__in=list(store_ids))
        .order_by()
        .values_list("vector_store_id", "status")
        .annotate(files=Count("pk"), bytes=Sum("usage_bytes"))
    )
    for store_id, status, files, usage_bytes in rows:
        found.setdefault(store_id, Counts()).add(status, files, usage_bytes)
    return found


def bytes_of_tenant(tenant_id: str) -> int:
    """What all of a tenant's stores take."""
    rows = StoreFile.objects.across_tenants().filter(tenant_id=tenant_id)
    return rows.aggregate(bytes=Sum("usage_bytes"))["bytes"] or 0


def of_batch(batch: FileBatch) -> Counts:
    counts = Counts()
    rows = (
        StoreFile.objects.across_tenants()
        .filter(batches=batch)
        .order_by()
        .values_list("status")
        .annotate(files=Count("pk"), bytes=Sum("usage_bytes"))
    )
    for status, files, usage_bytes in rows:
        counts.add(status, files, usage_bytes)
    return counts


# --- Expiry ----------------------------------------------------------------------------------------------------------

DAY = timedelta(days=1)


def has_expired() -> Q:
    """Stores whose last activity lies too far back, by the database's clock."""
    return Q(expires_after_days__isnull=False, last_active_at__lte=Now() - F("expires_after_days") * DAY)


def stores(of: TenantQuerySet[VectorStore]) -> TenantQuerySet[VectorStore]:
    """The stores, each told whether it `is_expired`."""
    told: Any = of.annotate(is_expired=ExpressionWrapper(has_expired(), output_field=BooleanField()))
    found: TenantQuerySet[VectorStore] = told
    return found


def is_expired(store: VectorStore) -> bool:
    """Of a store that was read through `stores`; one that was just made is not."""
    return bool(getattr(store, "is_expired", False))


@dataclass(frozen=True)
class CountedStore:
    """A store as it is answered."""

    store: VectorStore
    counts: Counts
    is_expired: bool

    @property
    def status(self) -> str:
        if self.is_expired:
            return "expired"
        return "in_progress" if self.counts.in_progress else "completed"

    @property
    def expires_at(self) -> datetime | None:
        days = self.store.expires_after_days
        return None if days is None else self.store.last_active_at + days * DAY

    @property
    def expires_after(self) -> dict[str, Any] | None:
        days = self.store.expires_after_days
        return None if days is None else {"anchor": "last_active_at", "days": days}

    @property
    def ranking(self) -> str:
        from vector_stores.searching import ranking_of  # knows the engines

        return ranking_of(self.store)


def counted(rows: Iterable[VectorStore]) -> list[CountedStore]:
    """Rows of `stores`, with their counts; one query for all."""
    found = list(rows)
    counts = of_stores(store.pk for store in found)
    return [CountedStore(store, counts.get(store.pk, Counts()), is_expired(store)) for store in found]


@dataclass(frozen=True)
class CountedBatch:
    """A batch as it is answered."""

    batch: FileBatch
    counts: Counts

    @property
    def status(self) -> str:
        if self.counts.in_progress:
            return "in_progress"
        if self.batch.cancelled_at is not None:
            return "cancelled"
        return "completed"
