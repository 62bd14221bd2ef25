import json

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from assistant_site.wire.tool_types import Tools
from assistants.models import Assistant


@admin.register(Assistant)
class AssistantAdmin(admin.ModelAdmin[Assistant]):
    """To look at and to delete; the API is where assistants are made and checked."""

    list_display = ["id", "name", "model", "tenant", "created_at"]
    list_select_related = ["tenant"]
    search_fields = ["id", "name", "tenant__name"]
    show_full_result_count = False
    exclude = ["tools"]
    readonly_fields = ["shown_tools"]

    @admin.display(description="tools")
    def shown_tools(self, assistant: Assistant) -> str:
        return json.dumps(Tools().to_representation(assistant.tools), ensure_ascii=False)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Assistant]:
        return Assistant.objects.across_tenants().order_by("-pk")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Assistant | None = None) -> bool:
        return False
