"""Ingestion within a test's own transaction, as a worker does it."""

from vector_stores import claims
from vector_stores.ingestion import ingest
from vector_stores.models import StoreFile


def ingest_all() -> list[str]:
    """Ingests what is to be ingested; the ids of the files in the order in which they were taken."""
    taken = []
    while held := claims.claim_next():
        ingest(held)
        taken.append(held.row.file_id)
    return taken


def row_of(store: str, file: str) -> StoreFile:
    row: StoreFile = StoreFile.objects.across_tenants().get(vector_store_id=store, file_id=file)
    return row
