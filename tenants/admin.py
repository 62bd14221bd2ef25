"""Tenants, their tokens and end users, and model servers in the admin.

A token's value is shown once, right after it was made; keys are entered and never shown.
"""

from typing import Any

from django.contrib import admin, messages
from django.contrib.admin import display
from django.contrib.admin.utils import unquote
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from unfold.decorators import action
from unfold.enums import ActionVariant

from assistant_site.staff import filters, shown
from assistant_site.staff.dialogs import button, done
from assistant_site.staff.pages import Page
from audit.admin_log import Audited
from tenants import actions, deletion, tokens
from tenants.admin_forms import DeleteTenantForm, ProviderForm, RotateForm, TenantForm, TokenForm
from tenants.models import ApiToken, EndUser, ModelAlias, ModelProfile, Provider, Tenant


def show_value(request: HttpRequest, token: ApiToken, value: str) -> None:
    """A token's value, with a button that copies it; this once."""
    messages.success(
        request,
        format_html(
            'Copy the value of “{}” now, it is not shown again: <code class="hf-secret">{}</code> '
            '<button type="button" class="hf-copy" data-copy="{}">Copy</button>',
            token.name,
            value,
            value,
        ),
    )


@admin.register(Tenant)
class TenantAdmin(Audited, Page):
    form = TenantForm
    list_display = ["name", "state", "id_", "currency", "limits", "made"]
    search_fields = ["name"]
    search_help_text = "Name, or id."
    ordering = ["name"]
    readonly_fields = ["id", "created_at"]
    change_form_outer_before_template = "admin/tenant_overview.html"
    actions_detail = ["new_token", "resume", "suspend", "delete_all"]
    fieldsets = [
        ("Settings", {"fields": [("name", "currency"), "when_busy", ("id", "created_at")]}),
        (
            "Limits",
            {
                "fields": [
                    ("requests_per_minute", "tokens_per_minute"),
                    ("concurrent_runs", "queued_runs"),
                    ("storage_mb", "vector_store_mb"),
                    "code_seconds_per_month",
                ],
                "classes": ["tab"],
            },
        ),
        (
            "Code interpreter",
            {
                "fields": [
                    ("code_sessions", "code_seconds"),
                    ("code_memory_mb", "code_data_mb"),
                    "code_output_kb",
                ],
                "classes": ["tab"],
            },
        ),
        ("What is fetched", {"fields": ["fetch_allowed_hosts"], "classes": ["tab"]}),
    ]

    def get_fieldsets(self, request: HttpRequest, obj: Tenant | None = None) -> Any:
        sets = super().get_fieldsets(request, obj)
        if obj is not None:
            return sets
        first = {**sets[0][1], "fields": [("name", "currency"), "when_busy"]}
        return [(sets[0][0], first), *sets[1:]]

    def has_delete_permission(self, request: HttpRequest, obj: Tenant | None = None) -> bool:
        """A tenant is deleted with all it owns, by a button of its page."""
        return False

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        """Those that make sense in its state."""
        tenant = Tenant.objects.filter(pk=unquote(object_id)).first()
        if tenant is None or tenant.deletion_began_at:
            return []
        without = "suspend" if tenant.suspended_at else "resume"
        found = super().get_actions_detail(request, object_id)
        return [each for each in found if not each.action_name.endswith(f"_{without}")]

    # --- Buttons --------------------------------------------------------------------------------------------------

    @action(  # type: ignore[untyped-decorator]
        description="New token", permissions=["add_token"], icon="add", variant=ActionVariant.PRIMARY
    )
    def new_token(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return done(request, f"{reverse('admin:tenants_apitoken_add')}?tenant={unquote(object_id)}")

    def has_add_token_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(request.user.has_perm("tenants.add_apitoken"))

    @button(
        "Suspend",
        "Every request of the tenant is refused from now on. Runs under way go on to their end, others wait. "
        "Nothing is deleted.",
        icon="pause_circle",
    )
    def suspend(self, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        actions.suspend_tenant(Tenant.objects.get(pk=object_id))
        messages.success(request, "The tenant is suspended.")
        return done(request, shown.page_of("tenants.tenant", object_id))

    @button("Resume", "The tenant's requests are taken again.", icon="play_circle")
    def resume(self, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        actions.resume_tenant(Tenant.objects.get(pk=object_id))
        messages.success(request, "The tenant is open again.")
        return done(request, shown.page_of("tenants.tenant", object_id))

    @button(
        "Delete",
        "Everything it owns is deleted: tokens, assistants, threads, files, vector stores. This cannot be undone. Type "
        "its name to go on.",
        icon="delete_forever",
        needs="erase",
        form=DeleteTenantForm,
        submit="Delete everything",
        variant=ActionVariant.DANGER,
    )
    def delete_all(self, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        deletion.begin(Tenant.objects.get(pk=object_id))
        messages.success(request, "The tenant is closed for good, and what it owns is being deleted.")
        return done(request, shown.list_of("tenants.tenant"))

    # --- Displays -------------------------------------------------------------------------------------------------

    @display(description="id")
    def id_(self, tenant: Tenant) -> str:
        return shown.code(tenant.pk)

    @display(description="state")
    def state(self, tenant: Tenant) -> str:
        if tenant.deletion_began_at:
            return shown.badge("being deleted", "danger")
        return shown.badge("suspended", "warning") if tenant.suspended_at else shown.badge("open", "success")

    @display(description="limits")
    def limits(self, tenant: Tenant) -> str:
        told = [
            (tenant.requests_per_minute, "requests/min"),
            (tenant.tokens_per_minute, "tokens/min"),
            (tenant.concurrent_runs, "runs at once"),
        ]
        return ", ".join(f"{shown.short(value)} {unit}" for value, unit in told if value) or shown.NOTHING


@admin.register(ApiToken)
class ApiTokenAdmin(Audited, Page):
    form = TokenForm
    list_display = ["name", "of_tenant", "ends_in", "state", "shown_scopes", "used", "expires"]
    list_filter = [filters.OfTenant]
    list_select_related = ["tenant"]
    search_fields = ["name", "description"]
    search_help_text = "Name, id, tenant, or the last four characters."
    autocomplete_fields = ["tenant"]
    ids = {"sk-holdfast-…": "hint"}
    actions = ["revoke"]
    actions_detail = ["rotate", "revoke_one"]

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        term = search_term.strip()
        if len(term) == 4 and term.isalnum():
            return queryset.filter(Q(hint=tokens.PREFIX + "…" + term) | Q(name__icontains=term)), False
        return super().get_search_results(request, queryset, search_term)

    def get_fieldsets(self, request: HttpRequest, obj: ApiToken | None = None) -> Any:
        rights = ["scopes", ("allowed_models", "allowed_networks")]
        limits = ["expires_at", ("requests_per_minute", "tokens_per_minute")]
        sets = [
            (None, {"fields": ["tenant", ("name", "description")]}),
            ("What it may do", {"fields": rights}),
            ("Limits", {"fields": limits}),
        ]
        if obj is not None:
            known = [("id", "hint"), ("previous_hint", "previous_until"), ("created_at", "last_used_at"), "revoked_at"]
            sets.append(("Known of it", {"fields": known}))
        return sets

    def get_readonly_fields(self, request: HttpRequest, obj: ApiToken | None = None) -> list[str]:
        known = ["id", "hint", "previous_hint", "previous_until", "created_at", "last_used_at", "revoked_at"]
        return ["tenant", *known] if obj else []

    def has_delete_permission(self, request: HttpRequest, obj: ApiToken | None = None) -> bool:
        """Its id stands in what it has done: a token is revoked, not deleted."""
        return False

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        token = ApiToken.objects.filter(pk=unquote(object_id)).first()
        if token is None or token.revoked_at:
            return []
        return list(super().get_actions_detail(request, object_id))

    def save_model(self, request: HttpRequest, obj: ApiToken, form: Any, change: bool) -> None:
        value = ""
        if not change:
            value = tokens.new_value()
            obj.digest, obj.hint = tokens.digest(value), tokens.hint(value)
        super().save_model(request, obj, form, change)
        if value:
            show_value(request, obj, value)

    def response_add(self, request: HttpRequest, obj: ApiToken, post_url_continue: Any = None) -> HttpResponse:
        """To the token's page, where its value is told once."""
        return done(request, shown.page_of("tenants.apitoken", obj.pk))

    # --- Buttons --------------------------------------------------------------------------------------------------

    @button(
        "Rotate",
        "The token gets a new value and keeps its rights. Programs may use the old one for as long as you say.",
        icon="sync",
        form=RotateForm,
    )
    def rotate(self, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        token = ApiToken.objects.get(pk=object_id)
        show_value(request, token, actions.rotate_token(token, form.cleaned_data["overlap"]))
        return done(request, shown.page_of("tenants.apitoken", object_id))

    @button(
        "Revoke",
        "The token is refused from now on, in every process within a second. This cannot be undone.",
        icon="block",
        variant=ActionVariant.DANGER,
    )
    def revoke_one(self, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        actions.revoke_token(ApiToken.objects.get(pk=object_id))
        messages.success(request, "The token is revoked.")
        return done(request, shown.page_of("tenants.apitoken", object_id))

    @admin.action(description="Revoke selected tokens", permissions=["operate"])
    def revoke(self, request: HttpRequest, chosen: QuerySet[ApiToken]) -> None:
        for token in chosen:
            actions.revoke_token(token)
        messages.success(request, f"{len(chosen)} token(s) revoked.")

    # --- Displays -------------------------------------------------------------------------------------------------

    @display(description="ends in")
    def ends_in(self, token: ApiToken) -> str:
        return shown.code(f"…{token.hint[-4:]}")

    @display(description="state")
    def state(self, token: ApiToken) -> str:
        if token.revoked_at:
            return shown.badge("revoked", "danger")
        if not token.is_usable:
            return shown.badge("expired", "warning")
        if token.previous_until and token.previous_until > timezone.now():
            return shown.badge("rotating", "info")
        return shown.badge("usable", "success")

    @display(description="scopes")
    def shown_scopes(self, token: ApiToken) -> str:
        return shown.code(", ".join(token.scopes))

    @display(description="last used", ordering="last_used_at")
    def used(self, token: ApiToken) -> str:
        return shown.ago(token.last_used_at)

    @display(description="expires", ordering="expires_at")
    def expires(self, token: ApiToken) -> str:
        return shown.ago(token.expires_at)


@admin.register(EndUser)
class EndUserAdmin(Audited, Page):
    list_display = ["name", "of_tenant", "state", "made", "threads", "runs"]
    list_filter = [filters.OfTenant, filters.Since]
    list_select_related = ["tenant"]
    search_help_text = "Id, or a tenant's name."
    is_large = True
    fields = ["name", "tenant", ("requests_per_minute", "tokens_per_minute"), "blocked_at", ("id", "created_at")]
    readonly_fields = ["id", "name", "tenant", "created_at"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[EndUser]:
        return EndUser.objects.across_tenants().order_by("-pk")

    actions_detail = ["erase"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        """One is known from the first time its tenant names it."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: EndUser | None = None) -> bool:
        return False

    @button(
        "Erase",
        "All that its tenant keeps for it is deleted: its threads with their messages, runs and files. This cannot be "
        "undone.",
        icon="delete_forever",
        needs="erase",
        submit="Erase everything of it",
        variant=ActionVariant.DANGER,
    )
    def erase(self, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        user = EndUser.objects.across_tenants().select_related("tenant").get(pk=object_id)
        deletion.erase_end_user(user.tenant, user.name)
        messages.success(request, "It is being erased.")
        return done(request, shown.list_of("tenants.enduser"))

    @display(description="state")
    def state(self, user: EndUser) -> str:
        return shown.badge("blocked", "danger") if user.blocked_at else shown.badge("open", "success")

    @display(description="threads")
    def threads(self, user: EndUser) -> str:
        return shown.list_link("threads.thread", "threads", tenant__id__exact=user.tenant_id, end_user=user.name)

    @display(description="runs")
    def runs(self, user: EndUser) -> str:
        return shown.list_link("runs.run", "runs", tenant__id__exact=user.tenant_id, end_user=user.name)


@admin.register(Provider)
class ProviderAdmin(Audited, Page):
    form = ProviderForm
    list_display = ["name", "base_url", "of_tenant", "health", "models_", "priority", "weight", "has_key"]
    list_filter = [filters.OfTenant, "is_enabled"]
    list_select_related = ["tenant"]
    search_fields = ["name", "base_url"]
    autocomplete_fields = ["tenant", "token"]
    ordering = ["priority", "pk"]
    readonly_fields = ["health", "failure", "failed_at", "succeeded_at"]
    actions_detail = ["try_it"]
    fieldsets = [
        (None, {"fields": [("tenant", "token"), ("name", "base_url"), "new_key", "is_enabled"]}),
        ("Models", {"fields": ["model_names", ("priority", "weight"), "embedding_model", "quirks"]}),
        ("Its health", {"fields": ["health", "failure", ("failed_at", "succeeded_at")]}),
    ]

    @button("Try it", "The server is really asked: for its models and a short answer. 15 seconds at most.", icon="wifi")
    def try_it(self, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        from tenants import trial  # it loads the client of models

        for part in trial.try_provider(Provider.objects.get(pk=object_id)).parts:
            tell = messages.success if part.is_ok else messages.error
            tell(request, f"{part.name}, {part.seconds:.1f} s: {part.told}")
        return done(request, shown.page_of("tenants.provider", object_id))

    @display(boolean=True, description="key")
    def has_key(self, provider: Provider) -> bool:
        return bool(provider.encrypted_key)

    @display(description="models")
    def models_(self, provider: Provider) -> str:
        return shown.code(", ".join(provider.model_names) or "*")

    @display(description="health")
    def health(self, provider: Provider) -> str:
        if not provider.is_enabled:
            return shown.badge("off")
        if provider.failed_at and (provider.succeeded_at is None or provider.failed_at > provider.succeeded_at):
            return shown.badge("failing", "danger")
        return shown.badge("answers", "success") if provider.succeeded_at else shown.badge("not asked yet")

    def save_model(self, request: HttpRequest, obj: Provider, form: Any, change: bool) -> None:
        if form.cleaned_data.get("new_key"):
            obj.set_api_key(form.cleaned_data["new_key"])
        super().save_model(request, obj, form, change)


@admin.register(ModelAlias)
class ModelAliasAdmin(Audited, Page):
    list_display = ["alias", "model", "of_tenant"]
    list_filter = [filters.OfTenant]
    list_select_related = ["tenant"]
    search_fields = ["alias", "model"]
    autocomplete_fields = ["tenant"]
    ordering = ["alias"]


@admin.register(ModelProfile)
class ModelProfileAdmin(Audited, Page):
    list_display = [
        *("model", "of_tenant", "has_tools", "has_vision", "has_json_schema", "context_window"),
        "max_completion_tokens",
    ]
    list_filter = [filters.OfTenant]
    list_select_related = ["tenant"]
    search_fields = ["model"]
    autocomplete_fields = ["tenant"]
    ordering = ["model"]
