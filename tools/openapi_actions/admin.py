"""Actions in the admin: to look at and to delete. What they authenticate with is told without its secrets."""

from django.contrib import admin
from django.contrib.admin import display

from assistant_site.staff import filters, shown
from assistant_site.staff.pages import LookOnly
from audit.admin_log import Audited
from tools.openapi_actions.models import Action


@admin.register(Action)
class ActionAdmin(Audited, LookOnly):
    list_display = ["name", "of_tenant", "call", "authenticated_by", "use_for_everyone", "made"]
    list_filter = [filters.OfTenant, filters.Since]
    list_select_related = ["tenant"]
    search_fields = ["name"]
    search_help_text = "Id or its beginning, or a tenant's name; the action's name within one tenant."
    is_large = True
    content = ["description", "function", "metadata"]
    fields = [
        *("id", "tenant", "name", "description", "method", "url", "authentication", "use_for_everyone"),
        *("function", "metadata", "created_at", "updated_at"),
    ]
    readonly_fields = fields

    @display(description="call")
    def call(self, action: Action) -> str:
        return f"{action.method} {action.url}"

    @display(description="authentication")
    def authenticated_by(self, action: Action) -> str:
        return str(action.shown_authentication["type"])

    @display(description="authentication")
    def authentication(self, action: Action) -> str:
        return shown.as_json(action.shown_authentication)

    @display(description="as the model is told")
    def function(self, action: Action) -> str:
        return shown.as_json(action.function_def)
