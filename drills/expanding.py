"""The rules for migrations: while a release is rolled out, its schema serves the previous release's code too.

A schema only *expands*: columns, tables and indexes are added, and old code never notices. What nobody uses any more is
taken away one release later, by a migration that says so: `contracts = "…"`, a sentence on why the previous release can
do without. docs/upgrading.md has both procedures. What the rules cannot see (a RunSQL's meaning, a column's use), the
test beside them does: it runs the previous release on the new schema.
"""

import re
from collections.abc import Iterator

from django.contrib.postgres.operations import AddIndexConcurrently, RemoveIndexConcurrently
from django.db import connection
from django.db.migrations import Migration
from django.db.migrations import operations as ops
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState
from django.db.models import Field
from django.db.models.fields import NOT_PROVIDED

_TAKES_AWAY = re.compile(
    r"\b(?:DROP\s+(?:TABLE|COLUMN|SCHEMA|TYPE)|RENAME|TRUNCATE|SET\s+NOT\s+NULL"
    r"|ALTER\s+COLUMN\s+\S+\s+(?:SET\s+DATA\s+)?TYPE)\b",
    re.IGNORECASE,
)
_LOCKS = re.compile(
    r"\b(?:CREATE\s+(?:UNIQUE\s+)?INDEX(?!\s+CONCURRENTLY)|DROP\s+INDEX(?!\s+CONCURRENTLY)|REINDEX(?!.*CONCURRENTLY)"
    r"|LOCK\s+TABLE|VACUUM\s+FULL|CLUSTER)\b",
    re.IGNORECASE,
)


def complaints(migration: Migration, before: ProjectState) -> list[str]:
    """What the migration does that the previous release's code, or a loaded database, cannot live with.

    `before` is the state that it starts from; it is not changed. Only what a migration does to tables that were there
    before it matters, so tables that it makes itself are free.
    """
    state, made = before.clone(), set[str]()
    found: list[str] = []
    contracts = getattr(migration, "contracts", "")
    for operation in migration.operations:
        found += [
            f"{migration.app_label}.{migration.name}: {said}"
            for kind, said in _judged(operation, migration.app_label, state, made)
            if not (contracts and kind == "takes away")
        ]
        if isinstance(operation, ops.CreateModel):
            made.add(operation.name.lower())
        operation.state_forwards(migration.app_label, state)
    if migration.atomic and any(isinstance(each, AddIndexConcurrently) for each in migration.operations):
        found.append(f"{migration.app_label}.{migration.name}: an index made concurrently needs `atomic = False`")
    return found


def _judged(operation: Operation, app: str, state: ProjectState, made: set[str]) -> Iterator[tuple[str, str]]:
    """Each complaint, and of which kind it is: `takes away`, `demands` or `locks`."""
    model = str(getattr(operation, "model_name", "") or getattr(operation, "name", "")).lower()
    if isinstance(operation, ops.SeparateDatabaseAndState):
        # Taking a field out of the models alone is how a contraction begins; the column stays for the old code.
        for each in operation.database_operations:
            yield from _judged(each, app, state, made)
    elif isinstance(operation, ops.RunSQL):
        yield from _in_sql(operation.sql, made, app)
    elif model in made:
        return
    elif isinstance(operation, ops.RemoveField | ops.DeleteModel):
        yield "takes away", f"{operation.describe()}: the previous release still reads and writes it"
    elif isinstance(operation, ops.RenameField | ops.RenameModel | ops.AlterModelTable):
        yield "takes away", f"{operation.describe()}: the previous release knows the old name only"
    elif isinstance(operation, ops.AddField):
        if not _can_be_left_out(operation.field):
            yield "demands", f"{operation.describe()}: the previous release's INSERTs leave it out; null or db_default"
        if operation.field.unique or (getattr(operation.field, "db_index", False) and not operation.field.is_relation):
            yield "locks", f"{operation.describe()}: an index is made in the same breath; add it concurrently"
    elif isinstance(operation, ops.AlterField):
        old = state.models[app, model].fields[operation.name]
        yield from _altered(operation.describe(), old, operation.field)
    elif isinstance(operation, ops.AddIndex | ops.RemoveIndex) and not isinstance(
        operation, AddIndexConcurrently | RemoveIndexConcurrently
    ):
        yield "locks", f"{operation.describe()}: nobody can write meanwhile; take AddIndexConcurrently and its like"
    elif isinstance(operation, ops.AddConstraint | ops.AlterUniqueTogether):
        yield "demands", f"{operation.describe()}: the previous release does not know it, and all rows are read for it"


def _can_be_left_out(field: Field) -> bool:  # type: ignore[type-arg]
    return bool(field.many_to_many or field.null or field.db_default is not NOT_PROVIDED or field.generated)


def _altered(what: str, old: Field, new: Field) -> Iterator[tuple[str, str]]:  # type: ignore[type-arg]
    before, after = _type_of(old), _type_of(new)
    if before != after and not _is_longer(before, after):
        yield "takes away", f"{what}: its type becomes {after} from {before}; all rows are written anew"
    if old.null and not new.null:
        yield "demands", f"{what}: the previous release may write null"
    if new.unique and not old.unique:
        yield "demands", f"{what}: the previous release does not know that values are unique"
    if old.db_default is not NOT_PROVIDED and new.db_default is NOT_PROVIDED and not new.null:
        yield "demands", f"{what}: what left it to its default cannot any more"
    if new.db_column != old.db_column:
        yield "takes away", f"{what}: the previous release knows the old name only"


def _type_of(field: Field) -> str:  # type: ignore[type-arg]
    """In PostgreSQL; of a reference, what it refers to, for the state's fields are not bound to models."""
    related = field.related_model
    return f"reference to {related}" if related is not None else str(field.db_type(connection))


def _is_longer(before: str, after: str) -> bool:
    """Whether PostgreSQL changes the type without looking at the rows: a longer varchar, or text."""
    length = re.fullmatch(r"varchar\((\d+)\)", before)
    longer = re.fullmatch(r"varchar\((\d+)\)", after)
    return bool(length and (after == "text" or (longer and int(longer[1]) >= int(length[1]))))


def _in_sql(sql: object, made: set[str], app: str) -> Iterator[tuple[str, str]]:
    statements = [sql] if isinstance(sql, str) else list(sql) if isinstance(sql, list | tuple) else []
    texts = [each[0] if isinstance(each, list | tuple) else each for each in statements]
    for text in map(str, texts):
        own = {f"{app}_{name}" for name in made} | set(re.findall(r'CREATE TABLE\s+"?(\w+)', text, re.IGNORECASE))
        if any(name in text for name in own):
            continue
        if found := _TAKES_AWAY.search(text):
            yield "takes away", f"SQL says {found[0]!r}: the previous release still lives with it"
        if found := _LOCKS.search(text):
            yield "locks", f"SQL says {found[0]!r}: nobody can write meanwhile"
