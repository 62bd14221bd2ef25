"""The Django admin's changes in the audit log, in place of Django's own log, which keeps no values."""

from collections.abc import Iterable
from typing import Any
from urllib.parse import urlencode

from django.contrib import admin
from django.contrib.admin import helpers
from django.contrib.admin.utils import unquote
from django.db import models, transaction
from django.db.models import QuerySet
from django.forms import BaseModelFormSet
from django.http import HttpRequest, HttpResponseRedirect
from django.urls import reverse

from audit import log

MOST_NAMED = 100  # rows of one action that get an entry each
_RECORDED = "_audited"  # on a request: its change is recorded already


class Audited(admin.ModelAdmin):  # type: ignore[type-arg]
    """Put it before `ModelAdmin` among a page's bases: what staff add, change and delete is recorded with its values.

    An action gets an entry on each row that it was asked for, unless what it calls records by itself. `audit_name` is
    the object's name in an entry; override it where the row's own text is content that staff may not see.
    """

    def audit_name(self, row: models.Model) -> str:
        return str(row)

    # --- Forms ------------------------------------------------------------------------------------------------------

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        with transaction.atomic():
            before = _stored(type(obj), [obj.pk]).get(obj.pk) if change else None
            super().save_model(request, obj, form, change)
            self._record(obj, before, log.snapshot(obj), "modified" if change else "created")
        setattr(request, _RECORDED, True)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        row = form.instance
        many = [field for field in row._meta.many_to_many if field.name in form.cleaned_data]
        with transaction.atomic():
            before = {field.name: _members(row, field.name) for field in many}
            lines = {id(formset): _stored(formset.model, _pks(formset)) for formset in formsets}
            super().save_related(request, form, formsets, change)
            after = {field.name: _members(row, field.name) for field in many}
            if before != after:
                log.record_row(row, "modified", before=before, after=after, name=self.audit_name(row))
            for formset in formsets:
                self._record_lines(formset, lines[id(formset)])

    def _record_lines(self, formset: BaseModelFormSet[Any, Any], before: dict[Any, dict[str, Any]]) -> None:
        for row in formset.new_objects:
            self._record(row, None, log.snapshot(row), "created")
        for row, _ in formset.changed_objects:
            self._record(row, before.get(row.pk), log.snapshot(row), "modified")
        gone = set(before) - set(_stored(formset.model, before))
        for form in formset.initial_forms:
            if (pk := _pk(form)) in gone:
                row = form.instance
                log.record(
                    f"{log.noun_of(type(row))}.deleted",
                    tenant_id=log.tenant_id_of(row),
                    object_type=log.noun_of(type(row)),
                    object_id=str(pk),
                    before=before[pk],
                )

    def _record(self, row: models.Model, before: dict[str, Any] | None, after: dict[str, Any], what: str) -> None:
        if before != after:
            log.record_row(row, what, before=before, after=after, name=self.audit_name(row))

    # --- Deletions ----------------------------------------------------------------------------------------------------

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        with transaction.atomic():
            self._record_deletion([obj])
            super().delete_model(request, obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        with transaction.atomic():
            self._record_deletion(queryset)
            super().delete_queryset(request, queryset)

    def _record_deletion(self, rows: Iterable[models.Model]) -> None:
        for row in rows:
            log.record_row(row, "deleted", before=log.snapshot(row), name=self.audit_name(row))

    # --- Actions ------------------------------------------------------------------------------------------------------

    def response_action(self, request: HttpRequest, queryset: QuerySet[Any], *args: Any, **options: Any) -> Any:
        chosen = [pk for pk in request.POST.getlist(helpers.ACTION_CHECKBOX_NAME) if pk][:MOST_NAMED]
        action = next((name for name in request.POST.getlist("action") if name), "")
        if action in ("", "delete_selected"):
            return super().response_action(request, queryset, *args, **options)
        before = _stored(self.model, chosen)
        with log.watching() as recorded:
            response = super().response_action(request, queryset, *args, **options)
        known = {id for _, id in recorded}
        for row in self.model._base_manager.filter(pk__in=[pk for pk in before if str(pk) not in known]):
            after = log.snapshot(row)
            log.record_row(row, f"admin.{action}", before=before[row.pk], after=after, name=self.audit_name(row))
        return response

    # --- In place of Django's log ----------------------------------------------------------------------------------

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        return self.log_change(request, obj, message)

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        """Also what other pages than the form report, such as a user's new password."""
        if not getattr(request, _RECORDED, False):
            log.record_row(obj, "modified", after={"change": message}, name=self.audit_name(obj))

    def log_deletions(self, request: HttpRequest, queryset: QuerySet[Any]) -> Any:
        return []

    def history_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> Any:
        """The object's entries in the audit log."""
        return HttpResponseRedirect(
            f"{reverse('admin:audit_auditentry_changelist')}?{urlencode({'q': unquote(object_id)})}"
        )


def _stored(model: Any, pks: Iterable[Any]) -> dict[Any, dict[str, Any]]:
    """The rows' columns as they are in the database, by primary key."""
    return {row.pk: log.snapshot(row) for row in model._base_manager.filter(pk__in=list(pks))}


def _members(row: models.Model, name: str) -> list[str]:
    return sorted(str(each) for each in getattr(row, name).all())


def _pk(form: Any) -> Any:
    return form.initial.get(form.instance._meta.pk.attname) or form.instance.pk


def _pks(formset: BaseModelFormSet[Any, Any]) -> list[Any]:
    return [pk for form in formset.initial_forms if (pk := _pk(form)) is not None]
