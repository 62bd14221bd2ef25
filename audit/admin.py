"""The audit log in the admin: searched by whose, who, and on what; never changed."""

from typing import Any

from django.contrib import admin
from django.contrib.admin import display
from django.db.models import Q, QuerySet
from django.http import HttpRequest

from assistant_site.staff import filters, shown
from assistant_site.staff.pages import Kept
from audit.models import AuditEntry

# The names and values of these are the installation's own; those of all others may be tenants' content.
OPERATIONAL = frozenset(
    {
        *("tenant", "token", "end_user", "provider", "model_alias", "model_profile", "price", "budget"),
        *("user", "group"),
    }
)


@admin.register(AuditEntry)
class AuditEntryAdmin(Kept):
    list_display = ["moment", "action", "object", "actor", "address", "of"]
    search_help_text = "Id of an entry, tenant, object, token or user; or the exact name of an action."
    is_large = True
    fields = [
        *("id", "at", "of", "action", "object", "actor", "address", "request_id"),
        *("shown_before", "shown_after"),
    ]
    readonly_fields = fields

    def get_list_filter(self, request: HttpRequest) -> Any:
        return [filters.by("actor_kind"), filters.Since]

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        term = search_term.strip()
        if not term or "\x00" in term:
            return (queryset if not term else queryset.none()), False
        if term.startswith("audit_"):
            return queryset.filter(pk__startswith=term), False
        if term.startswith("tenant_"):
            return queryset.filter(tenant_id=term), False
        same = Q(object_id=term) | Q(actor_id=term)
        if term.isidentifier() or "." in term:
            same |= Q(action=term)
        return queryset.filter(same), False

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        entry = super().get_object(request, object_id, from_field)
        return entry if entry is None else self.veiled(request, entry)

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        page = super().get_changelist_instance(request)
        page.result_list = [self.veiled(request, entry) for entry in page.result_list]
        return page

    def veiled(self, request: HttpRequest, entry: AuditEntry) -> AuditEntry:
        """Without names and values that may be content, for who may not see it."""
        if entry.object_type not in OPERATIONAL and not self.shows_content(request):
            entry.object_name = ""
            entry.before = entry.after = None
        return entry

    @display(description="when")
    def moment(self, entry: AuditEntry) -> str:
        return shown.moment(entry.at)

    @display(description="who")
    def actor(self, entry: AuditEntry) -> str:
        name, kind = entry.actor_name or entry.actor_id, entry.get_actor_kind_display()
        return f"{name} ({kind})" if name and name != kind else kind

    @display(description="on what")
    def object(self, entry: AuditEntry) -> str:
        return " ".join(filter(None, [entry.object_type, entry.object_name, entry.object_id])) or shown.NOTHING

    @display(description="tenant")
    def of(self, entry: AuditEntry) -> str:
        return shown.id_link("tenants.tenant", entry.tenant_id)

    @display(description="before")
    def shown_before(self, entry: AuditEntry) -> str:
        return shown.as_json(entry.before)

    @display(description="after")
    def shown_after(self, entry: AuditEntry) -> str:
        return shown.as_json(entry.after)
