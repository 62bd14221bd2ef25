"""Actions in the admin: to look at and to delete. What they authenticate with is told without its secrets."""

import json

from django.contrib import admin
from django.utils.html import format_html

from files.admin import LookOnly
from tools.openapi_actions.models import Action


@admin.register(Action)
class ActionAdmin(LookOnly):
    list_display = ["name", "tenant", "call", "authenticated_by", "use_for_everyone", "created_at"]
    search_fields = ["id", "name", "tenant__name"]
    fields = [
        *("id", "tenant", "name", "description", "method", "url", "authentication", "use_for_everyone"),
        *("function", "metadata", "created_at", "updated_at"),
    ]

    @admin.display
    def call(self, action: Action) -> str:
        return f"{action.method} {action.url}"

    @admin.display(description="authentication")
    def authenticated_by(self, action: Action) -> str:
        return str(action.shown_authentication["type"])

    @admin.display
    def authentication(self, action: Action) -> str:
        return _as_text(action.shown_authentication)

    @admin.display(description="as the model is told")
    def function(self, action: Action) -> str:
        return _as_text(action.function_def)


def _as_text(value: object) -> str:
    return format_html("<pre>{}</pre>", json.dumps(value, indent=2, ensure_ascii=False))
