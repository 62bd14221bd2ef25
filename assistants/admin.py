"""Assistants in the admin: to look at and to delete; the API is where they are made and checked."""

from django.contrib import admin
from django.contrib.admin import display

from assistant_site.staff import filters, shown
from assistant_site.staff.pages import LookOnly
from assistant_site.wire.tool_types import Tools
from assistants.models import Assistant
from audit.admin_log import Audited


@admin.register(Assistant)
class AssistantAdmin(Audited, LookOnly):
    list_display = ["id_", "name", "model", "of_tenant", "kinds", "made"]
    list_filter = [filters.OfTenant, filters.Since]
    list_select_related = ["tenant"]
    search_fields = ["name"]
    search_help_text = "Id or its beginning, or a tenant's name; the assistant's name within one tenant."
    is_large = True
    content = [
        *("description", "instructions", "tools", "tool_resources", "metadata", "extra_body", "response_format"),
        "shown_tools",
    ]
    fields = [
        *("id", "tenant", ("name", "model"), "runs", "description", "instructions", "shown_tools", "tool_resources"),
        *("metadata", ("temperature", "top_p", "reasoning_effort"), "response_format", "extra_body", "created_at"),
    ]
    readonly_fields = ["id", "tenant", "runs", "shown_tools", "created_at"]

    @display(description="id")
    def id_(self, assistant: Assistant) -> str:
        return shown.code(assistant.pk)

    @display(description="tools")
    def kinds(self, assistant: Assistant) -> str:
        if not isinstance(assistant.tools, list):
            return shown.NOTHING
        return ", ".join(sorted({tool["type"] for tool in assistant.tools})) or shown.NOTHING

    @display(description="runs")
    def runs(self, assistant: Assistant) -> str:
        return shown.list_link("runs.run", "its tenant's runs", tenant__id__exact=assistant.tenant_id)

    @display(description="tools")
    def shown_tools(self, assistant: Assistant) -> str:
        return shown.as_json(Tools().to_representation(assistant.tools))
