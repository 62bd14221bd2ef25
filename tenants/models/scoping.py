"""The base of every model that belongs to a tenant: reading without naming the tenant is an exception."""

from dataclasses import replace
from functools import lru_cache
from typing import Any, TypeVar

from django.db import models

from assistant_site.db.questions import Addition, Place, Question
from assistant_site.wire.errors import NotFound
from assistant_site.wire.lists import PageQuery
from tenants.models.tenant import Tenant

M = TypeVar("M", bound="TenantModel")


class UnscopedQuery(Exception):
    """A read of a tenant's rows that does not say of which tenant."""

    def __init__(self, model: str) -> None:
        super().__init__(f"{model}: name the tenant with .of(tenant), or say .across_tenants()")


class TenantQuerySet(models.QuerySet[M]):
    def fetch(self, id: str) -> M:
        """The row with this id; the documented 404 if there is none for this tenant."""
        found = self.filter(pk=id)[:1] if "\x00" not in id else ()
        for row in found:
            return row
        raise NotFound.of(self.model.wire_noun, id)


class TenantManager(models.Manager[M]):
    """Refuses to read without a tenant, so that a forgotten filter is an exception and not a leak."""

    def of(self, tenant: Tenant) -> TenantQuerySet[M]:
        return self.across_tenants().filter(tenant=tenant)

    def fetch(self, tenant: Tenant, id: str, **where: str) -> M:
        """`of(tenant).filter(…).fetch(id)`, put into SQL only once: for what every request asks."""
        found = _fetching(self.model, tuple(where)).ask(tenant=tenant.pk, id=id, **where) if "\x00" not in id else ()
        if found:
            row: M = found[0]
            return row
        raise NotFound.of(self.model.wire_noun, id)

    def page(self, tenant: Tenant, query: PageQuery, **where: str) -> tuple[list[M], bool]:
        """`lists.rows_of_page` of `of(tenant).filter(…)`, put into SQL only once."""
        shape = replace(query, after=query.after and Place("after"), before=query.before and Place("before"))
        cursors = {"after": query.after or "", "before": query.before or ""}
        return query.cut(_paging(self.model, tuple(where), shape).ask(tenant=tenant.pk, **cursors, **where))

    def across_tenants(self) -> TenantQuerySet[M]:
        """For tasks and the admin; easy to grep."""
        return TenantQuerySet(self.model, using=self._db)

    def get_queryset(self) -> TenantQuerySet[M]:
        if getattr(self, "instance", None) is not None:  # thread.messages, tenant.assistants
            return self.across_tenants()
        raise UnscopedQuery(self.model._meta.label)

    def create(self, **values: Any) -> M:
        return self.across_tenants().create(**values)

    def add(self, row: M) -> M:
        """`row.save(force_insert=True)`, put into SQL only once; no signals, and nothing that the database makes."""
        _adding(self.model).carry_out(row)
        return row

    def insert(self, rows: list[M]) -> list[M]:
        """New rows in one statement."""
        return self.across_tenants().bulk_create(rows)


def _rows(model: type[M], columns: tuple[str, ...]) -> TenantQuerySet[M]:
    """The rows of a tenant with given values in these columns, which are places yet."""
    return TenantQuerySet(model).filter(tenant_id=Place("tenant"), **{column: Place(column) for column in columns})


@lru_cache
def _fetching(model: type[M], columns: tuple[str, ...]) -> Question[M]:
    return Question(_rows(model, columns).filter(pk=Place("id"))[:1])


@lru_cache(maxsize=2_000)
def _paging(model: type[M], columns: tuple[str, ...], query: PageQuery) -> Question[M]:
    return Question(query.ordered(_rows(model, columns))[: query.limit + 1])


@lru_cache
def _adding(model: type[M]) -> Addition:
    return Addition(model)


def tenant_of_parent(related_name: str) -> "models.ForeignKey[Tenant]":
    """The `tenant` of rows that always hang on another row of theirs, by a foreign key.

    That one's own vouches for the tenant. To check it again for each run, message and step would cost time, and lock
    the tenant's row once more, which all its work shares.
    """
    return models.ForeignKey(
        Tenant, on_delete=models.CASCADE, related_name=related_name, db_index=False, db_constraint=False
    )


class TenantModel(models.Model):
    """A row that belongs to one tenant. `wire_noun` is its name in "No … found with id"."""

    wire_noun = "object"
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="%(class)ss", db_index=False)

    objects: TenantManager[Any] = TenantManager()
    rows = models.Manager()

    class Meta:
        abstract = True
        # Django itself (cascades, the admin's look-ups, refresh_from_db) reads through this one.
        base_manager_name = "rows"

    def change(self, **values: Any) -> None:
        """Writes these columns; `NotFound` if the row was deleted meanwhile."""
        if not type(self).objects.across_tenants().filter(pk=self.pk).update(**values):
            raise NotFound.of(self.wire_noun, self.pk)
        for name, value in values.items():
            setattr(self, name, value)
