from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from runs.models import Run


@admin.register(Run)
class RunAdmin(admin.ModelAdmin[Run]):
    """Runs are looked at here; only the engine changes them."""

    list_display = ["id", "status", "model", "tenant", "created_at", "attempt"]
    list_filter = ["status"]
    list_select_related = ["tenant"]
    search_fields = ["id", "thread__id", "tenant__name"]
    show_full_result_count = False
    fields = [
        "id",
        "tenant",
        "thread_id",
        "assistant_id",
        "status",
        "model",
        "created_at",
        "started_at",
        "expires_at",
        "completed_at",
        "failed_at",
        "cancelled_at",
        "last_error",
        "incomplete_reason",
        "spent",
        "turns",
        "attempt",
        "claimed_by",
        "lease_until",
        "event_position",
    ]
    readonly_fields = fields  # type: ignore[assignment]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Run]:
        return Run.objects.across_tenants().order_by("-pk")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Run | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Run | None = None) -> bool:
        return False
