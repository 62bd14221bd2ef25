"""The bases of every page of the admin.

A list is in the order of the primary key, counted by estimate, and searched by ids; the texts of a row are searched
only in small tables and within one tenant. What a page names as `content` is not there for staff who may not see it.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib.admin import display
from django.contrib.admin.views.main import ChangeList
from django.db import models
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse

from assistant_site.staff import content, shown
from assistant_site.staff.counting import CHEAP, EstimatingPaginator, estimate

if TYPE_CHECKING:  # unfold has no types
    from django.contrib import admin

    ModelAdmin = admin.ModelAdmin[Any]
else:
    from unfold.admin import ModelAdmin

_NOT_NARROWING = frozenset({"p", "q", "o", "all", "e", "_facets", "_popup", "_to_field", "_changelist_filters"})
_WRITTEN = (models.JSONField, models.TextField)
MOST_TENANTS_SEARCHED = 20

# What stands beside the form on a row's page, as `panel` of its template: by the model, a function of the row and of
# the user. The roof puts them here.
PANELS: dict[str, Callable[[Any, Any], Any]] = {}


class Page(ModelAdmin):
    """`ids`: the column to search for ids that begin so, such as `{"thread_": "thread_id"}`; its own are known.

    `content`: columns and displays that only staff who may see content are shown. `is_large`: its list is turned by id.
    """

    if TYPE_CHECKING:
        fields: ClassVar[Any]
        readonly_fields: ClassVar[Any]

        def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]: ...

    ids: dict[str, str] = {}
    content: Sequence[str] = ()
    is_large = False

    paginator = EstimatingPaginator
    show_full_result_count = False
    list_per_page = 50
    list_max_show_all = 0
    list_filter_submit = True
    list_before_template = "admin/narrowed.html"
    show_facets = ModelAdmin.show_facets.NEVER

    # --- Rows -----------------------------------------------------------------------------------------------------

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        manager: Any = self.model._default_manager
        across = getattr(manager, "across_tenants", None)
        rows: QuerySet[Any] = across() if across else manager.all()
        ordering = self.get_ordering(request)
        return rows.order_by(*ordering) if ordering else rows

    def get_ordering(self, request: HttpRequest) -> Any:
        return self.ordering or ["-pk"]

    def get_sortable_by(self, request: HttpRequest) -> Any:
        """A large table is in the order of its index, and in no other."""
        return () if self.is_large else super().get_sortable_by(request)

    def get_search_fields(self, request: HttpRequest) -> list[str]:
        """Never none, because then there would be no field to search in: every page is searched by ids."""
        fields = [name for name in super().get_search_fields(request) if name not in self.hidden_from(request)]
        return fields or ["pk"]

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """By an id, or its beginning; by a tenant's name; by the texts of the row where these are few rows."""
        term = search_term.strip()
        if not term or "\x00" in term:
            return (queryset, False) if not term else (queryset.none(), False)
        for prefix, column in self._ids().items():
            if term.startswith(prefix) and len(term) > len(prefix):
                is_whole = column != "pk" or len(term) >= len(prefix) + 24
                return queryset.filter(**{column if is_whole else f"{column}__startswith": term}), False
        found = Q(pk__in=[])
        if tenants := self._tenants_named(term):
            found |= Q(tenant__in=tenants)
        fields = [name for name in self.get_search_fields(request) if name not in ("pk", "id")]
        if fields and (not self.is_large or estimate(queryset)[1] <= CHEAP):
            for name in fields:
                found |= Q(**{name if "__" in name else f"{name}__icontains": term})
        return queryset.filter(found), False

    def _ids(self) -> dict[str, str]:
        own = getattr(self.model._meta.pk, "prefix", None)
        known = {"tenant_": "tenant_id"} if self._has_tenant() else {}
        return known | self.ids | ({own: "pk"} if own else {})

    def _has_tenant(self) -> bool:
        return any(field.name == "tenant" for field in self.model._meta.fields)

    def _tenants_named(self, term: str) -> list[Any]:
        """The tenants with this in their names, if these rows are tenants'; their ids, so that an index is used."""
        if not self._has_tenant():
            return []
        tenants: Any = self.model._meta.get_field("tenant").related_model
        return list(tenants.objects.filter(name__icontains=term).values_list("pk", flat=True)[:MOST_TENANTS_SEARCHED])

    # --- Content --------------------------------------------------------------------------------------------------

    def shows_content(self, request: HttpRequest) -> bool:
        return content.is_shown_to(request.user)

    def hidden_from(self, request: HttpRequest) -> frozenset[str]:
        """The columns and displays that this user is not shown."""
        return frozenset() if self.shows_content(request) else frozenset(self.content)

    def blanked(self, request: HttpRequest, row: Any) -> Any:
        """The row without its content, if that is not for this user: so nothing that shows it can tell."""
        columns = {field.name for field in self.model._meta.concrete_fields}
        for name in self.hidden_from(request) & columns:
            setattr(row, name, content.HIDDEN)
        return row

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        row = super().get_object(request, object_id, from_field)
        return row if row is None else self.blanked(request, row)

    def get_changelist_instance(self, request: HttpRequest) -> ChangeList:
        page: ChangeList = super().get_changelist_instance(request)
        page.full_result_count = page.result_count  # else the head would tell both
        if self.hidden_from(request):
            page.result_list = [self.blanked(request, row) for row in page.result_list]
        return page

    def get_list_display(self, request: HttpRequest) -> list[Any]:
        return [name for name in super().get_list_display(request) if name not in self.hidden_from(request)]

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        hidden = self.hidden_from(request)
        sets = []
        for title, options in super().get_fieldsets(request, obj):
            fields = [name for name in options["fields"] if isinstance(name, tuple) or name not in hidden]
            if fields:
                sets.append((title, {**options, "fields": fields}))
        return sets

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        """Not by content, for who may not see it: what a filter finds would tell of it."""
        if not self.shows_content(request):
            name = lookup.split("__")[0]
            written = {field.name for field in self.model._meta.concrete_fields if isinstance(field, _WRITTEN)}
            if name in written or name in self.content:
                return False
        return bool(super().lookup_allowed(lookup, value, request))

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        told, counts, needed, protected = super().get_deleted_objects(objs, request)
        if self.hidden_from(request):
            told = [f"{self.opts.verbose_name}: {row.pk}" for row in objs]
        return told, counts, needed, protected

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """A form of blanked columns would save them so."""
        columns = {field.name for field in self.model._meta.concrete_fields}
        if self.hidden_from(request) & columns:
            return False
        return bool(super().has_change_permission(request, obj))

    def has_operate_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Whether this user may press buttons that change such rows, also where there is no form to change them."""
        return bool(request.user.has_perm(f"{self.opts.app_label}.change_{self.opts.model_name}"))

    def has_erase_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Likewise, buttons that delete."""
        return bool(request.user.has_perm(f"{self.opts.app_label}.delete_{self.opts.model_name}"))

    # --- The list's head ----------------------------------------------------------------------------------------------

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """Says by what a link of another page has narrowed the list."""
        by_filter = {"since"}
        for each in self.get_list_filter(request):
            if isinstance(each, tuple | list):
                by_filter |= {str(each[0]), f"{each[0]}__id__exact", f"{each[0]}__exact"}
        narrowed = []
        for name, value in request.GET.items():
            if name in _NOT_NARROWING | by_filter or name.endswith(("__lt", "__gt")):
                continue
            rest = request.GET.copy()
            del rest[name]
            narrowed.append(
                {
                    "name": name.split("__")[0].removesuffix("_id").replace("_", " "),
                    "value": value,
                    "rest": rest.urlencode(),
                }
            )
        answer: HttpResponse = super().changelist_view(request, {"narrowed": narrowed, **(extra_context or {})})
        return answer

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], *args: Any, **options: Any) -> Any:
        row, panel = options.get("obj"), PANELS.get(self.opts.label_lower)
        if row is not None and panel is not None:
            context["panel"] = panel(row, request.user)
        return super().render_change_form(request, context, *args, **options)

    # --- Displays that many lists have ------------------------------------------------------------------------------

    @display(description="tenant", ordering="tenant")
    def of_tenant(self, row: Any) -> str:
        return shown.link("tenants.tenant", row.tenant_id, row.tenant.name) if row.tenant_id else "all"

    @display(description="created")
    def made(self, row: Any) -> str:
        return shown.moment(row.created_at)


class LookOnly(Page):
    """To look at, and to act on by buttons; the API is where these are made and checked."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class Kept(LookOnly):
    """Nor can it be deleted here."""

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


def names(model: type[models.Model], *without: str) -> list[Any]:
    """The model's columns, for a page that shows them all but these."""
    return [field.name for field in model._meta.concrete_fields if field.name not in without]
