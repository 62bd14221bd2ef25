"""Tenants, tokens and providers in the Django admin; a token's value is shown once, right after it was made."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest

from tenants import actions, tokens
from tenants.forms import new_secret
from tenants.models import ApiToken, Provider, Tenant

admin.site.site_header = "Holdfast"
admin.site.site_title = "Holdfast"
admin.site.index_title = "Operate"


@admin.register(Tenant)
class TenantAdmin(admin.ModelAdmin[Tenant]):
    list_display = ["name", "id", "created_at", "suspended_at"]
    search_fields = ["name", "id"]
    readonly_fields = ["id", "created_at"]
    fieldsets = [
        (None, {"fields": ["name", "id", "created_at", "suspended_at", "when_busy"]}),
        (
            "Code interpreter",
            {"fields": ["code_sessions", "code_seconds", "code_memory_mb", "code_data_mb", "code_output_kb"]},
        ),
        ("What is fetched", {"fields": ["fetch_allowed_hosts"]}),
    ]


@admin.register(ApiToken)
class ApiTokenAdmin(admin.ModelAdmin[ApiToken]):
    list_display = ["name", "tenant", "ends_in", "expires_at", "last_used_at", "revoked_at"]
    list_filter = ["revoked_at"]
    list_select_related = ["tenant"]
    search_fields = ["name", "tenant__name", "hint"]
    autocomplete_fields = ["tenant"]
    actions = ["revoke"]

    def get_fields(self, request: HttpRequest, obj: ApiToken | None = None) -> Any:
        given = ["name", "tenant", "expires_at"]
        return [*given, "hint", "created_at", "last_used_at", "revoked_at"] if obj else given

    def get_readonly_fields(self, request: HttpRequest, obj: ApiToken | None = None) -> list[str]:
        return ["tenant", "hint", "created_at", "last_used_at", "revoked_at"] if obj else []

    @admin.display(description="ends in")
    def ends_in(self, token: ApiToken) -> str:
        return f"…{token.hint[-4:]}"

    def save_model(self, request: HttpRequest, obj: ApiToken, form: Any, change: bool) -> None:
        if not change:
            value = tokens.new_value()
            obj.digest, obj.hint = tokens.digest(value), tokens.hint(value)
            messages.success(request, f"Copy the token now, it is not shown again: {value}")
        super().save_model(request, obj, form, change)

    @admin.action(description="Revoke selected tokens")
    def revoke(self, request: HttpRequest, chosen: QuerySet[ApiToken]) -> None:
        for token in chosen:
            actions.revoke_token(token)
        messages.success(request, f"{len(chosen)} token(s) revoked.")


class ProviderForm(forms.ModelForm[Provider]):
    new_key = new_secret("API key")

    class Meta:
        model = Provider
        fields = ["tenant", "name", "base_url", "quirks", "embedding_model"]


@admin.register(Provider)
class ProviderAdmin(admin.ModelAdmin[Provider]):
    form = ProviderForm
    list_display = ["name", "base_url", "tenant", "has_key"]
    list_select_related = ["tenant"]
    search_fields = ["name", "base_url", "tenant__name"]
    autocomplete_fields = ["tenant"]

    @admin.display(boolean=True, description="key")
    def has_key(self, provider: Provider) -> bool:
        return bool(provider.encrypted_key)

    def save_model(self, request: HttpRequest, obj: Provider, form: Any, change: bool) -> None:
        if form.cleaned_data.get("new_key"):
            obj.set_api_key(form.cleaned_data["new_key"])
        super().save_model(request, obj, form, change)
