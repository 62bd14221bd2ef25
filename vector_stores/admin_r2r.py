"""A tenant's own R2R server in the Django admin; `vector_stores.admin` registers it."""

from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.admin import display
from django.http import HttpRequest

from assistant_site.staff.pages import Page
from audit.admin_log import Audited
from tenants.forms import new_secret
from vector_stores.models import RetrievalServer
from vector_stores.r2r import R2R, R2RFailed
from vector_stores.r2r.servers import account_of


class RetrievalServerForm(forms.ModelForm[RetrievalServer]):
    new_password = new_secret("Password")

    class Meta:
        model = RetrievalServer
        fields = ["tenant", "base_url", "username"]


class RetrievalServerAdmin(Audited, Page):
    form = RetrievalServerForm
    list_display = ["of_tenant", "base_url", "username", "has_password"]
    list_select_related = ["tenant"]
    search_fields = ["base_url", "username"]
    autocomplete_fields = ["tenant"]

    def get_readonly_fields(self, request: HttpRequest, obj: RetrievalServer | None = None) -> list[str]:
        return ["tenant"] if obj else []

    @display(boolean=True, description="password")
    def has_password(self, server: RetrievalServer) -> bool:
        return bool(server.encrypted_password)

    def save_model(self, request: HttpRequest, obj: RetrievalServer, form: Any, change: bool) -> None:
        """Saves, then says whether R2R answers."""
        if form.cleaned_data.get("new_password"):
            obj.set_password(form.cleaned_data["new_password"])
        super().save_model(request, obj, form, change)
        try:
            state = R2R(account_of(obj)).health()
        except R2RFailed as failed:
            state = failed.message
        if state != "ok":
            messages.warning(request, f"Saved, but: {state}")
