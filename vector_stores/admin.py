"""Vector stores and their files in the admin: to look at, and to have ingested or embedded again."""

from typing import Any

from django.contrib import admin, messages
from django.contrib.admin import display
from django.contrib.admin.views.main import ChangeList
from django.db.models import QuerySet
from django.http import HttpRequest

from assistant_site.staff import filters, shown
from assistant_site.staff.pages import Kept
from audit.admin_log import Audited
from vector_stores import actions as store_actions
from vector_stores import counts, embedding_jobs
from vector_stores.admin_r2r import RetrievalServerAdmin
from vector_stores.models import RetrievalServer, StoreFile, StoreFileStatus, VectorStore
from vector_stores.searching import ranking_of

admin.site.register(RetrievalServer, RetrievalServerAdmin)


@admin.register(VectorStore)
class VectorStoreAdmin(Audited, Kept):
    list_display = ["id_", "name", "of_tenant", "files", "status", "ranking", "engine", "active"]
    list_filter = [filters.OfTenant, filters.by("engine"), filters.Since]
    list_select_related = ["tenant"]
    search_fields = ["name"]
    search_help_text = "Id or its beginning, or a tenant's name; the store's name within one tenant."
    is_large = True
    content = ["description", "metadata"]
    actions = ["re_embed", "retry_failed"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[VectorStore]:
        found: QuerySet[VectorStore] = counts.stores(VectorStore.objects.across_tenants()).order_by("-pk")
        return found

    def get_changelist_instance(self, request: HttpRequest) -> ChangeList:
        """The page's stores are counted in one query."""
        page = super().get_changelist_instance(request)
        page.result_list = list(page.result_list)
        for each in counts.counted(page.result_list):
            each.store.counted = each  # type: ignore[attr-defined]
        return page

    @display(description="id")
    def id_(self, store: VectorStore) -> str:
        return shown.code(store.pk)

    @display(description="last active")
    def active(self, store: VectorStore) -> str:
        return shown.ago(store.last_active_at)

    @display(description="files")
    def files(self, store: VectorStore) -> str:
        told = _counted(store).counts.wire
        texts = [f"{number} {state.replace('_', ' ')}" for state, number in told.items() if number and state != "total"]
        return shown.list_link("vector_stores.storefile", ", ".join(texts) or "none", vector_store__id__exact=store.pk)

    @display(description="status")
    def status(self, store: VectorStore) -> str:
        return shown.status(_counted(store).status)

    @display(description="ranking")
    def ranking(self, store: VectorStore) -> str:
        """How its passages are found, and what stands in the way of better."""
        told = f"{ranking_of(store)} ({store.embedding_model})" if store.embedding_model else ranking_of(store)
        if store.embedding_next_model:
            told += f"; being embedded by {store.embedding_next_model}"
        return f"{told}; {store.embedding_problem}" if store.embedding_problem else told

    @admin.action(description="Make missing or outdated vectors", permissions=["operate"])
    def re_embed(self, request: HttpRequest, stores: QuerySet[VectorStore]) -> None:
        count = embedding_jobs.ask_for(store.pk for store in stores)
        messages.info(request, f"{count} vector stores will be looked through by the ingestion workers.")

    @admin.action(description="Ingest failed files again", permissions=["operate"])
    def retry_failed(self, request: HttpRequest, stores: QuerySet[VectorStore]) -> None:
        failed = StoreFile.objects.across_tenants().filter(vector_store__in=stores, status=StoreFileStatus.FAILED)
        messages.info(request, f"{store_actions.retry(failed)} files will be ingested again.")


def _counted(store: VectorStore) -> counts.CountedStore:
    """Of a list counted with the others; alone, as on a page of its own, by itself."""
    known = getattr(store, "counted", None)
    return known if isinstance(known, counts.CountedStore) else counts.counted([store])[0]


@admin.register(StoreFile)
class StoreFileAdmin(Audited, Kept):
    list_display = ["id_", "of_file", "of_store", "of_tenant", "state", "reason", "chunk_count", "made"]
    list_select_related = ["tenant"]
    list_filter = [filters.OfTenant, filters.by("status"), filters.Since]
    search_help_text = "Id of a file, a vector store or a row, or a tenant's name."
    ids = {"file-": "file_id", "vs_": "vector_store_id"}
    is_large = True
    content = ["attributes"]
    actions = ["ingest_again"]
    # Named, because the choices of a form would be other tenants' rows.
    fields = readonly_fields = (
        "of_file",
        "of_store",
        "tenant",
        "state",
        "reason",
        "attributes",
        "usage_bytes",
        "chunk_count",
        "max_chunk_size_tokens",
        "chunk_overlap_tokens",
        "created_at",
        "queued_at",
        "lease_until",
        "attempt",
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[StoreFile]:
        return StoreFile.objects.across_tenants().order_by("-pk")

    def audit_name(self, row: Any) -> str:
        return f"{row.file_id} in {row.vector_store_id}"

    @display(description="id")
    def id_(self, row: StoreFile) -> str:
        return shown.code(row.pk)

    @display(description="file")
    def of_file(self, row: StoreFile) -> str:
        return shown.id_link("files.file", row.file_id)

    @display(description="vector store")
    def of_store(self, row: StoreFile) -> str:
        return shown.id_link("vector_stores.vectorstore", row.vector_store_id)

    @display(description="state")
    def state(self, row: StoreFile) -> str:
        return shown.status(row.status)

    @display(description="reason")
    def reason(self, row: StoreFile) -> str:
        return row.last_error["message"] if row.last_error else ""

    @admin.action(description="Ingest failed or cancelled files again", permissions=["operate"])
    def ingest_again(self, request: HttpRequest, rows: QuerySet[StoreFile]) -> None:
        messages.info(request, f"{store_actions.retry(rows)} files will be ingested again.")
