"""Questions that are asked again and again, with other values each time: Django puts each into SQL once.

To build and compile a query costs Django more than PostgreSQL needs to answer it (a run by its id: 0.35 of 0.75 ms, and
0.25 to make a row of the answer). Here a queryset with a `Place` where a value is to stand is compiled when it is first
asked; after that only the values are new, and rows are made by what was chosen then. It is Django's own SQL and goes
through its cursor, so the scope holds as ever.

For what every request asks; anything else is better written as a queryset.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Generic, TypeVar

import orjson
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.models import Field, JSONField, Model, QuerySet
from django.db.models.base import ModelState
from django.db.models.sql import UpdateQuery

from assistant_site.db.prepared import Prepared

M = TypeVar("M", bound=Model)
Read = Callable[[Any], Any]


class Place(str):
    """Stands in a queryset for a text; by this name its value is given when it is asked."""


class Statement:
    """SQL, and what is to stand at each of its places."""

    def __init__(self, sql: str, values: tuple[Any, ...]) -> None:
        self.sql = Prepared(sql)
        self._values = values

    def with_values(self, given: Mapping[str, Any]) -> list[Any]:
        return [given[value] if type(value) is Place else value for value in self._values]


class Question(Statement, Generic[M]):
    """The rows of a queryset, with what it is annotated with."""

    def __init__(self, rows: QuerySet[M]) -> None:
        connection = connections[DEFAULT_DB_ALIAS]
        compiler = rows.query.get_compiler(DEFAULT_DB_ALIAS)
        super().__init__(*compiler.as_sql())
        self._model = rows.model
        self._names = [name or column.target.attname for column, _, name in compiler.select]
        readers = [reader(column, connection) for column, _, _ in compiler.select]
        self._readers = [(place, read) for place, read in enumerate(readers) if read]

    def ask(self, **given: str) -> list[M]:
        with connections[DEFAULT_DB_ALIAS].cursor() as cursor:
            cursor.execute(self.sql, self.with_values(given))
            return [self._row(list(values)) for values in cursor.fetchall()]

    def ask_values(self, **given: str) -> Iterator[list[Any]]:
        """What was selected of each row, without making a row of it: half the time where there are hundreds."""
        with connections[DEFAULT_DB_ALIAS].cursor() as cursor:
            cursor.execute(self.sql, self.with_values(given))
            found = cursor.fetchall()
        return (self._read(list(values)) for values in found)

    def _read(self, values: list[Any]) -> list[Any]:
        for place, read in self._readers:
            if values[place] is not None:
                values[place] = read(values[place])
        return values

    def _row(self, values: list[Any]) -> M:
        """As `Model.from_db` does it, but all at once, as unpickling does."""
        self._read(values)
        row = self._model.__new__(self._model)
        state = row._state = ModelState()
        state.adding, state.db = False, DEFAULT_DB_ALIAS
        row.__dict__.update(zip(self._names, values, strict=True))
        return row


class Change(Statement):
    """An update of the rows of a queryset."""

    def __init__(self, rows: QuerySet[Any], **values: Any) -> None:
        query: Any = rows.query.chain(UpdateQuery)
        query.add_update_values(values)
        super().__init__(*query.get_compiler(DEFAULT_DB_ALIAS).as_sql())

    def carry_out(self, **given: str) -> int:
        """How many rows were changed."""
        with connections[DEFAULT_DB_ALIAS].cursor() as cursor:
            cursor.execute(self.sql, self.with_values(given))
            return int(cursor.rowcount)


class Addition(Statement):
    """The insertion of a row all of whose columns are known before."""

    def __init__(self, model: type[Model]) -> None:
        quote = connections[DEFAULT_DB_ALIAS].ops.quote_name
        self._fields: list[Any] = list(model._meta.concrete_fields)
        names = ", ".join(quote(field.column) for field in self._fields)
        places = ", ".join("%s" for _ in self._fields)
        super().__init__(f"INSERT INTO {quote(model._meta.db_table)} ({names}) VALUES ({places})", ())  # noqa: S608

    def carry_out(self, row: Model) -> None:
        connection = connections[DEFAULT_DB_ALIAS]
        values = [field.get_db_prep_save(getattr(row, field.attname), connection) for field in self._fields]
        with connection.cursor() as cursor:
            cursor.execute(self.sql, values)
        row._state.adding, row._state.db = False, DEFAULT_DB_ALIAS


def reader(column: Any, connection: Any) -> Read | None:
    """What makes the attribute out of what the driver gives for this column; None where it is the same."""
    field: Field[Any, Any] = column.output_field
    if isinstance(field, JSONField):
        return loads
    convert = [*connection.ops.get_db_converters(column), *column.get_db_converters(connection)]
    if not convert:
        return None

    def read(value: Any) -> Any:
        for each in convert:
            value = each(value, column, connection)
        return value

    return read


_LONG_NUMBER = re.compile(r"[0-9]{17}")


def loads(text: str) -> Any:
    """JSON out of a column, exactly: orjson makes a float of a whole number beyond 64 bits."""
    if text == "{}":
        return {}
    if text == "[]":
        return []
    return json.loads(text) if _LONG_NUMBER.search(text) else orjson.loads(text)
