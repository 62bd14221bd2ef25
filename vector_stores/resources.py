"""What assistants and threads name for their tools: files and vector stores that are there, or are made with them."""

from typing import Any

from assistant_site.wire.errors import NotFound
from files.actions import check_files
from tenants.models import Tenant
from vector_stores.actions import create_store
from vector_stores.models import VectorStore

THREAD_STORE_DAYS = 7  # after the last use of a store that was made for a thread

Resources = dict[str, Any]


def settled(
    tenant: Tenant, wanted: Resources, *, known: Resources | None = None, expires_after_days: int | None = None
) -> Resources:
    """The resources as they are stored; the documented 404 for what is not there. Call it inside a transaction.

    Ids that are `known` already are not looked up: clients send back what they were given, and an edit of something
    else must not fail because a file has been deleted since.
    """
    search = wanted.get("file_search", {})
    drafts = search.get("vector_stores", [])
    files = set(code_files_of(wanted)) - set(code_files_of(known or {}))
    check_files(
        tenant, [id for id in code_files_of(wanted) if id in files] + [id for d in drafts for id in d["file_ids"]]
    )
    check_stores(tenant, [id for id in store_ids_of(wanted) if id not in store_ids_of(known or {})])
    if not drafts:
        return wanted
    made = [
        create_store(
            tenant=tenant,
            file_ids=draft["file_ids"],
            chunking=draft["chunking_strategy"],
            metadata=draft["metadata"],
            expires_after_days=expires_after_days,
        ).pk
        for draft in drafts
    ]
    return wanted | {"file_search": {"vector_store_ids": made}}


def code_files_of(resources: Resources) -> list[str]:
    return list(resources.get("code_interpreter", {}).get("file_ids", []))


def store_ids_of(resources: Resources) -> list[str]:
    return list(resources.get("file_search", {}).get("vector_store_ids", []))


def check_stores(tenant: Tenant, store_ids: list[str]) -> None:
    if not store_ids:
        return
    found = set(VectorStore.objects.of(tenant).filter(pk__in=store_ids).values_list("pk", flat=True))
    for store_id in store_ids:
        if store_id not in found:
            raise NotFound.of(VectorStore.wire_noun, store_id)
