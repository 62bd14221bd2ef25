"""Every stored secret onto the first of ENCRYPTION_KEYS, so that the keys behind it can be dropped.

Goes through all columns that say of themselves that they hold secrets (`EncryptedField`, `SealedJSONField`), in
batches. A row is written only where it is still as it was read, so nothing that is changed meanwhile is lost; what was
renewed before is left alone, so the work can be broken off and begun again at any time.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from django.apps import apps
from django.db import models
from django.db.models.expressions import RawSQL

from tenants.encryption import EncryptedField, SealedJSONField, Undecryptable

BATCH = 500

Secret = EncryptedField | SealedJSONField


@dataclass
class Rotated:
    """What was found in one column. `renewed` counts rows on an old key, whether or not they were written."""

    column: str
    current: int = 0
    renewed: int = 0
    unreadable: list[str] = field(default_factory=list)  # primary keys


def secrets() -> list[tuple[type[models.Model], Secret]]:
    """All columns that hold secrets."""
    return [
        (model, each)
        for model in apps.get_models()
        for each in model._meta.concrete_fields
        if isinstance(each, EncryptedField | SealedJSONField)
    ]


def rotate(*, only_count: bool = False, most: int | None = None) -> Iterator[Rotated]:
    """Renews column after column; tells of each when it is through.

    `only_count`: writes nothing. `most`: takes so many rows of each column only, the newest.
    """
    for model, each in secrets():
        told = Rotated(f"{model._meta.label}.{each.name}")
        for row in _rows(model, each) if most is None else _newest(model, each, most):
            _renew(told, model, each, row, only_count=only_count)
        yield told


def _holding(model: type[models.Model], each: Secret) -> "models.QuerySet[Any]":
    """The rows that have a secret in this column, whosever they are."""
    rows = model._base_manager.all()
    if isinstance(each, EncryptedField):
        return rows.exclude(**{each.name: ""})
    has_one = models.Func(
        models.F(each.name),
        RawSQL("'$[*].sealed'::jsonpath", []),
        function="jsonb_path_exists",
        output_field=models.BooleanField(),
    )
    return rows.filter(has_one)


def _rows(model: type[models.Model], each: Secret) -> Iterator[tuple[Any, Any]]:
    """Primary keys and what is stored, batch by batch."""
    rows = _holding(model, each).order_by("pk").values_list("pk", each.name)
    batch = list(rows[:BATCH])
    while batch:
        yield from batch
        batch = list(rows.filter(pk__gt=batch[-1][0])[:BATCH])


def _newest(model: type[models.Model], each: Secret, most: int) -> Iterator[tuple[Any, Any]]:
    return iter(_holding(model, each).order_by("-pk").values_list("pk", each.name)[:most])


def _renew(told: Rotated, model: type[models.Model], each: Secret, row: tuple[Any, Any], *, only_count: bool) -> None:
    pk, stored = row
    rows = model._base_manager.filter(pk=pk)
    while True:  # each further time because somebody else has written the row
        try:
            renewed = each.renewed(stored)
        except Undecryptable:
            told.unreadable.append(str(pk))
            return
        if renewed == stored:
            told.current += 1
            return
        if only_count or rows.filter(**{each.name: stored}).update(**{each.name: renewed}):
            told.renewed += 1
            return
        now = list(rows.values_list(each.name, flat=True))
        if not now:  # deleted meanwhile
            return
        [stored] = now
