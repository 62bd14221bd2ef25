"""R2R as the engine of vector stores, over plain HTTP.

Our tables stay the truth: R2R is told what to keep and asked what is near; what it answers is looked up here, so a
passage that is gone here is not found, whatever R2R still has. docs/r2r.md tells it from the operator's side.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from django.conf import settings

from vector_stores.models import Chunk, StoreFile, VectorStore
from vector_stores.r2r.errors import R2RFailed
from vector_stores.r2r.server import INGEST_SECONDS, R2R, Found, nothing
from vector_stores.r2r.servers import configured, required

__all__ = ["R2R", "R2RFailed", "configured", "put", "put_native", "remove_file", "remove_store", "search"]


class Passage(Protocol):
    @property
    def text(self) -> str: ...


def put(
    store_file: StoreFile,
    filename: str,
    passages: Sequence[Passage],
    *,
    seconds: float = INGEST_SECONDS,
    meanwhile: Callable[[], None] = nothing,
) -> None:
    """Brings a file's passages to R2R and returns when they can be found; harmless to repeat after a crash.

    Takes up to `seconds`. `meanwhile` is called now and then: to renew a lease, or to raise and so to end it.
    """
    required(store_file.tenant_id).put(
        store_file.vector_store_id,
        store_file.pk,
        [passage.text for passage in passages],
        metadata={"file_id": store_file.file_id, "filename": filename},
        seconds=seconds,
        meanwhile=meanwhile,
    )


def put_native(
    store_file: StoreFile,
    path: Path,
    filename: str,
    *,
    seconds: float = INGEST_SECONDS,
    meanwhile: Callable[[], None] = nothing,
) -> list[str]:
    """Brings the file itself (`R2R_PARSE=native`) and returns the passages R2R made of it, to be kept as its chunks."""
    return required(store_file.tenant_id).put_native(
        store_file.vector_store_id,
        store_file.pk,
        path,
        filename,
        metadata={"file_id": store_file.file_id, "filename": filename},
        seconds=seconds,
        meanwhile=meanwhile,
    )


def search(
    stores: Sequence[VectorStore],
    store_file_ids: Sequence[str] | None,
    query: str,
    limit: int | None = None,
) -> list[tuple[str, int, float]]:
    """Store file, position and score (0…1) of the best passages in these stores, or in these files of them.

    The stores are of one tenant. No files (an empty list): nothing is asked. R2R is asked for R2R_SEARCH_LIMIT passages
    where fewer are wanted: some that it finds may be gone here.
    """
    if not stores:
        return []
    (tenant_id,) = {store.tenant_id for store in stores}
    store_ids = [store.pk for store in stores]
    asked = max(limit or 0, settings.R2R_SEARCH_LIMIT)
    found = required(tenant_id).search(store_ids, store_file_ids, query, asked)
    return _placed(tenant_id, store_ids, found)[:limit]


def remove_file(store_id: str, store_file_id: str, *, tenant_id: str) -> None:
    """Removes a file of a store from the tenant's R2R; harmless if it is not there."""
    required(tenant_id).remove_file(store_id, store_file_id)


def remove_store(store_id: str, *, tenant_id: str) -> None:
    """Removes a store with all its files from the tenant's R2R; harmless if it is not there."""
    required(tenant_id).remove_store(store_id)


def _placed(tenant_id: str, store_ids: list[str], found: list[Found]) -> list[tuple[str, int, float]]:
    """Our passages with these texts. A text that stands twice in a file is found twice."""
    rows = (
        Chunk.objects.across_tenants()
        .filter(
            tenant=tenant_id,
            vector_store_id__in=store_ids,
            store_file_id__in={each.store_file_id for each in found},
            text__in={each.text for each in found},
        )
        .order_by("position")
        .values_list("store_file_id", "text", "position")
    )
    positions: dict[tuple[str, str], list[int]] = defaultdict(list)
    for store_file_id, text, position in rows:
        positions[store_file_id, text].append(position)
    placed = []
    for each in found:
        if left := positions[each.store_file_id, each.text]:
            placed.append((each.store_file_id, left.pop(0), each.score))
    return placed
