"""The previous release can live with all migrations since; and the rules see those with which it could not."""

from typing import Any

import pytest
from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.state import ModelState, ProjectState

from drills import expanding, releases


@pytest.fixture(scope="module")
def release() -> releases.Release:
    try:
        return releases.previous()
    except releases.NoPreviousRelease as why:
        pytest.skip(str(why))


def is_ours(loader: MigrationLoader, key: tuple[str, str]) -> bool:
    package, _, _ = loader.disk_migrations[key].__module__.partition(".")
    return (releases.PROJECT / package).is_dir()


def said_of(loader: MigrationLoader, key: tuple[str, str]) -> list[str]:
    return expanding.complaints(loader.disk_migrations[key], loader.project_state(key, at_end=False))


def test_migrations_since_the_previous_release_only_expand(release: releases.Release) -> None:
    loader = MigrationLoader(None)
    new = [key for key in loader.disk_migrations if is_ours(loader, key) and key not in release.migrations]
    assert [said for key in new for said in said_of(loader, key)] == []


def test_a_released_migration_is_never_taken_away(release: releases.Release) -> None:
    assert release.migrations <= set(MigrationLoader(None).disk_migrations), (
        "whoever has the previous release could not go on from it"
    )


# --- The rules see it -------------------------------------------------------------------------------------------------


def before() -> ProjectState:
    """One app with one table, as it was released."""
    state = ProjectState()
    fields: list[tuple[str, models.Field[Any, Any]]] = [
        ("id", models.BigAutoField(primary_key=True)),
        ("name", models.CharField(max_length=10, null=True)),
        ("size", models.IntegerField(db_default=0)),
        ("at", models.DateTimeField()),
    ]
    state.add_model(ModelState("boats", "Boat", fields))
    return state


def judged(*operations: Any, atomic: bool = True, contracts: str = "") -> str:
    migration = type("Migration", (migrations.Migration,), {"operations": list(operations), "atomic": atomic})
    made = migration("0002_next", "boats")
    if contracts:
        made.contracts = contracts
    return "; ".join(expanding.complaints(made, before()))


BOAT = "boat"
INDEX = models.Index(fields=["name"], name="boats_by_name")
TAKING_AWAY = [
    (migrations.RemoveField(BOAT, "name"), "still reads and writes it"),
    (migrations.DeleteModel("Boat"), "still reads and writes it"),
    (migrations.RenameField(BOAT, "name", "title"), "the old name only"),
    (migrations.RenameModel("Boat", "Ship"), "the old name only"),
    (migrations.AlterModelTable(BOAT, "ships"), "the old name only"),
    (migrations.AlterField(BOAT, "size", models.BigIntegerField(db_default=0)), "its type becomes bigint"),
    (migrations.AlterField(BOAT, "name", models.CharField(max_length=9, null=True)), "its type becomes varchar(9)"),
    (migrations.RunSQL("ALTER TABLE boats_boat DROP COLUMN name"), "'DROP COLUMN'"),
    (migrations.RunSQL(["ALTER TABLE boats_boat RENAME name TO title"]), "'RENAME'"),
]
DEMANDING = [
    (migrations.AddField(BOAT, "crew", models.IntegerField(default=1)), "null or db_default"),
    (migrations.AlterField(BOAT, "name", models.CharField(max_length=10)), "may write null"),
    (migrations.AlterField(BOAT, "at", models.DateTimeField(unique=True)), "values are unique"),
    (migrations.AlterField(BOAT, "size", models.IntegerField()), "its default"),
    (migrations.AddIndex(BOAT, INDEX), "nobody can write meanwhile"),
    (migrations.AddField(BOAT, "crew", models.IntegerField(null=True, db_index=True)), "add it concurrently"),
    (migrations.RunSQL("CREATE INDEX boats_by_name ON boats_boat (name)"), "nobody can write meanwhile"),
    (
        migrations.AddConstraint(BOAT, models.UniqueConstraint(fields=["name"], name="one_name")),
        "the previous release does not know it",
    ),
]


@pytest.mark.parametrize(("operation", "word"), TAKING_AWAY + DEMANDING)
def test_what_the_previous_release_cannot_live_with_is_told(operation: Any, word: str) -> None:
    assert word in judged(operation)


@pytest.mark.parametrize(("operation", "word"), TAKING_AWAY)
def test_what_nobody_uses_any_more_may_go_if_the_migration_says_why(operation: Any, word: str) -> None:
    assert judged(operation, contracts="0.1.0 neither reads nor writes it") == ""


@pytest.mark.parametrize(("operation", "word"), DEMANDING)
def test_contracting_excuses_no_lock_and_no_demand(operation: Any, word: str) -> None:
    assert word in judged(operation, contracts="0.1.0 neither reads nor writes it")


def test_adding_what_old_code_need_not_know_is_free() -> None:
    told = judged(
        migrations.AddField(BOAT, "crew", models.IntegerField(db_default=1)),
        migrations.AddField(BOAT, "flag", models.CharField(max_length=2, null=True)),
        migrations.AlterField(BOAT, "name", models.CharField(max_length=20, null=True)),
        migrations.SeparateDatabaseAndState(state_operations=[migrations.RemoveField(BOAT, "name")]),
        migrations.CreateModel("Buoy", [("id", models.BigAutoField(primary_key=True)), ("no", models.IntegerField())]),
        migrations.AddIndex("buoy", models.Index(fields=["no"], name="buoys_by_no")),
        migrations.RunSQL("ALTER TABLE boats_buoy ENABLE ROW LEVEL SECURITY"),
    )
    assert told == ""


def test_an_index_made_concurrently_is_free_outside_of_a_transaction() -> None:
    assert judged(AddIndexConcurrently(BOAT, INDEX), atomic=False) == ""
    assert "needs `atomic = False`" in judged(AddIndexConcurrently(BOAT, INDEX))


def test_the_rules_read_real_migrations(release: releases.Release) -> None:
    """Those that were made before there were rules: some would not pass."""
    loader = MigrationLoader(None)
    old = [key for key in loader.disk_migrations if key in release.migrations]
    said = [said for key in old for said in said_of(loader, key)]
    assert len(old) > 50
    assert said
