"""List filters that read no more than an index."""

from datetime import timedelta
from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from unfold.contrib.filters.admin import AutocompleteSelectFilter, ChoicesDropdownFilter, DropdownFilter

from assistant_site.wire.ids import WireIdField, moment_id

OfTenant = ("tenant", AutocompleteSelectFilter)


def by(field: str) -> tuple[str, Any]:
    """A filter by a column's choices."""
    return field, ChoicesDropdownFilter


class Since(DropdownFilter):  # type: ignore[misc]
    """By the time of creation, which is the order of the primary key."""

    title = "creation"
    parameter_name = "since"
    SPANS = {
        "1h": timedelta(hours=1),
        "1d": timedelta(days=1),
        "7d": timedelta(days=7),
        "30d": timedelta(days=30),
    }

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("1h", "in the last hour"), ("1d", "in the last day"), ("7d", "in 7 days"), ("30d", "in 30 days")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        span = self.SPANS.get(str(self.value()))
        field = queryset.model._meta.pk
        if span is None or not isinstance(field, WireIdField):
            return queryset
        return queryset.filter(pk__gte=moment_id(field.prefix, timezone.now() - span))
