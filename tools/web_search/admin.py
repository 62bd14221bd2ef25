"""Tenants' search keys in the admin: a key is entered, stored encrypted and never shown."""

from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.admin import display
from django.http import HttpRequest

from assistant_site.staff import filters
from assistant_site.staff.pages import Page
from audit.admin_log import Audited
from tenants.forms import new_secret
from tools.web_search.models import SearchKey


class SearchKeyForm(forms.ModelForm[SearchKey]):
    new_key = new_secret("API key")

    class Meta:
        model = SearchKey
        fields = ["tenant", "provider", "base_url"]

    def clean_base_url(self) -> str:
        """Often copied from a search in the browser."""
        return str(self.cleaned_data["base_url"]).rstrip("/").removesuffix("/search")

    def clean(self) -> dict[str, Any]:
        checked = super().clean() or {}
        needs_key = checked.get("provider") not in (None, "searxng")
        # A key is never sent to another provider than the one it was entered for.
        has_key = bool(self.instance.encrypted_key) and "provider" not in self.changed_data
        if needs_key and not checked.get("new_key") and not has_key:
            self.add_error("new_key", "This provider needs a key.")
        return checked


@admin.register(SearchKey)
class SearchKeyAdmin(Audited, Page):
    form = SearchKeyForm
    list_display = ["provider", "of_tenant", "base_url", "has_key", "made"]
    list_filter = [filters.OfTenant, filters.by("provider")]
    list_select_related = ["tenant"]
    search_fields = ["base_url"]
    autocomplete_fields = ["tenant"]

    @display(boolean=True, description="key")
    def has_key(self, row: SearchKey) -> bool:
        return bool(row.encrypted_key)

    def save_model(self, request: HttpRequest, obj: SearchKey, form: Any, change: bool) -> None:
        if form.cleaned_data.get("new_key") or "provider" in form.changed_data:
            obj.set_key(form.cleaned_data.get("new_key", ""))
        super().save_model(request, obj, form, change)
