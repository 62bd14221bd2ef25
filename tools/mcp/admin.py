"""Registered MCP servers in the admin. Their headers are typed, stored encrypted, and never shown again."""

from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.admin import display
from django.http import HttpRequest
from unfold.widgets import UnfoldAdminTextareaWidget

from assistant_site.staff import filters
from assistant_site.staff.pages import Page
from audit.admin_log import Audited
from tenants.encryption import Undecryptable
from tools.mcp import headers
from tools.mcp.models import McpServer

NONE = "-"


class BareWords(forms.JSONField):
    """JSON, on two lines; a word may stand without its quotes. Nothing is an empty field, not `null`."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{**options, "widget": UnfoldAdminTextareaWidget(attrs={"rows": 2, "spellcheck": "false"})})

    def to_python(self, value: Any) -> Any:
        bare = isinstance(value, str) and value.strip().isidentifier() and value.strip() != "null"
        return value.strip() if bare else super().to_python(value)

    def prepare_value(self, value: Any) -> Any:
        return "" if value is None else super().prepare_value(value)


class McpServerForm(forms.ModelForm[McpServer]):
    new_headers = forms.CharField(
        required=False,
        label="Headers",
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3, "autocomplete": "off", "spellcheck": "false"}),
        help_text=(
            "Sent with every request, a line each: Authorization: Bearer … Stored encrypted, never shown. "
            f"Leave empty to keep the present ones; {NONE} takes them away."
        ),
    )

    class Meta:
        model = McpServer
        fields = ["tenant", "label", "url", "allowed_tools", "require_approval"]
        field_classes = {"allowed_tools": BareWords, "require_approval": BareWords}
        labels = {"url": "Address"}

    def clean_new_headers(self) -> dict[str, str] | None:
        """None: they stay as they are."""
        text = self.cleaned_data["new_headers"].strip()
        if text == NONE:
            return {}
        try:
            return headers.in_lines(text) or None
        except headers.WrongHeader as problem:
            raise forms.ValidationError(problem.message[0].upper() + problem.message[1:]) from None


@admin.register(McpServer)
class McpServerAdmin(Audited, Page):
    form = McpServerForm
    list_display = ["label", "url", "of_tenant", "header_names"]
    list_filter = [filters.OfTenant]
    list_select_related = ["tenant"]
    search_fields = ["label", "url"]
    autocomplete_fields = ["tenant"]
    readonly_fields = ["header_names"]

    @display(description="present headers")
    def header_names(self, server: McpServer) -> str:
        try:
            return ", ".join(server.headers) or NONE
        except Undecryptable:
            return "cannot be decrypted: enter them again"

    def save_model(self, request: HttpRequest, obj: McpServer, form: Any, change: bool) -> None:
        given = form.cleaned_data.get("new_headers")
        if given is not None:
            obj.set_headers(given)
        super().save_model(request, obj, form, change)
