"""For statements that are written out, because each run sends them: names and values of a model's columns.

Django takes longer to put such a statement into words than PostgreSQL to carry it out, and needs three where one does.
What goes in and comes out is converted by the model's own fields, as in Django's own statements.
"""

from functools import cached_property
from typing import Any, Generic, TypeVar

from django.db import connection, models

M = TypeVar("M", bound=models.Model)


class Columns(Generic[M]):
    """All columns of a model, in their order."""

    def __init__(self, model: type[M]) -> None:
        self.model = model
        self.table = model._meta.db_table

    @cached_property
    def _fields(self) -> list[Any]:
        return list(self.model._meta.concrete_fields)

    @cached_property
    def count(self) -> int:
        return len(self._fields)

    @cached_property
    def names(self) -> str:
        return ", ".join(field.column for field in self._fields)

    @cached_property
    def of_table(self) -> str:
        """The names with their table's, where a statement knows several tables."""
        return ", ".join(f"{self.table}.{field.column}" for field in self._fields)

    @cached_property
    def places(self) -> str:
        return ", ".join(["%s"] * len(self._fields))

    def values(self, row: M) -> list[Any]:
        """What a new row's columns are to hold, for `places`."""
        return [field.get_db_prep_save(field.pre_save(row, True), connection) for field in self._fields]

    def value(self, name: str, value: Any) -> Any:
        """One value as it is sent."""
        return self.model._meta.get_field(name).get_db_prep_save(value, connection)  # type: ignore[union-attr]

    @cached_property
    def _attributes(self) -> list[str]:
        return [field.attname for field in self._fields]

    @cached_property
    def _converters(self) -> list[tuple[int, Any]]:
        converters = [(at, field.get_db_converters(connection)) for at, field in enumerate(self._fields)]
        return [(at, convert) for at, found in converters for convert in found]

    def row(self, found: Any) -> M:
        """A row as it was found, its columns first."""
        values = list(found[: self.count])
        for at, convert in self._converters:
            values[at] = convert(values[at], None, connection)
        return self.model.from_db(connection.alias, self._attributes, values)
