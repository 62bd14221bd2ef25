from django.contrib import admin, messages
from django.contrib.admin.views.main import ChangeList
from django.db.models import QuerySet
from django.http import HttpRequest

from vector_stores import actions as store_actions
from vector_stores import counts, embedding_jobs
from vector_stores.admin_r2r import RetrievalServerAdmin
from vector_stores.models import RetrievalServer, StoreFile, StoreFileStatus, VectorStore
from vector_stores.searching import ranking_of

admin.site.register(RetrievalServer, RetrievalServerAdmin)


class LookedAt(admin.ModelAdmin):  # type: ignore[type-arg]
    """To look at and to act on; the API is where these are made and checked."""

    show_full_result_count = False

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False


@admin.register(VectorStore)
class VectorStoreAdmin(LookedAt):
    list_display = ["id", "name", "tenant", "files", "status", "ranking", "engine", "last_active_at"]
    list_select_related = ["tenant"]
    list_filter = ["engine"]
    search_fields = ["id", "name", "tenant__name"]
    actions = ["re_embed", "retry_failed"]
    list_per_page = 50

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

    @admin.display(description="Files")
    def files(self, store: VectorStore) -> str:
        told = _counted(store).counts.wire
        return ", ".join(f"{number} {state.replace('_', ' ')}" for state, number in told.items() if number) or "none"

    @admin.display(description="Status")
    def status(self, store: VectorStore) -> str:
        return _counted(store).status

    @admin.display(description="Ranking")
    def ranking(self, store: VectorStore) -> str:
        """How its passages are found, and what stands in the way of better."""
        told = f"{ranking_of(store)} ({store.embedding_model})" if store.embedding_model else ranking_of(store)
        if store.embedding_next_model:
            told += f"; being embedded by {store.embedding_next_model}"
        return f"{told}; {store.embedding_problem}" if store.embedding_problem else told

    @admin.action(description="Make missing or outdated vectors")
    def re_embed(self, request: HttpRequest, stores: QuerySet[VectorStore]) -> None:
        count = embedding_jobs.ask_for(store.pk for store in stores)
        messages.info(request, f"{count} vector stores will be looked through by the ingestion workers.")

    @admin.action(description="Ingest failed files again")
    def retry_failed(self, request: HttpRequest, stores: QuerySet[VectorStore]) -> None:
        failed = StoreFile.objects.across_tenants().filter(vector_store__in=stores, status=StoreFileStatus.FAILED)
        messages.info(request, f"{store_actions.retry(failed)} files will be ingested again.")


def _counted(store: VectorStore) -> counts.CountedStore:
    """Of a list counted with the others; alone, as on a page of its own, by itself."""
    known = getattr(store, "counted", None)
    return known if isinstance(known, counts.CountedStore) else counts.counted([store])[0]


@admin.register(StoreFile)
class StoreFileAdmin(LookedAt):
    list_display = ["id", "file", "vector_store", "tenant", "status", "reason", "chunk_count", "created_at"]
    list_select_related = ["file", "vector_store", "tenant"]
    list_filter = ["status"]
    search_fields = ["id", "file__id", "file__filename", "vector_store__id", "tenant__name"]
    actions = ["ingest_again"]
    # Named, because the choices of a form would be other tenants' rows.
    fields = readonly_fields = (
        "file",
        "vector_store",
        "tenant",
        "status",
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
    list_per_page = 50

    def get_queryset(self, request: HttpRequest) -> QuerySet[StoreFile]:
        return StoreFile.objects.across_tenants().order_by("-pk")

    @admin.display(description="Reason")
    def reason(self, row: StoreFile) -> str:
        return row.last_error["message"] if row.last_error else ""

    @admin.action(description="Ingest failed or cancelled files again")
    def ingest_again(self, request: HttpRequest, rows: QuerySet[StoreFile]) -> None:
        messages.info(request, f"{store_actions.retry(rows)} files will be ingested again.")
