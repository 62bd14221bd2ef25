"""The whole look: which questions are asked, in which order, and what is left out while a server does not answer."""

from collections.abc import Callable, Iterator
from functools import partial

from django.db import connection

from assistant_site.db.errors import first_line
from assistant_site.doctor import database, machine, processes, services
from assistant_site.doctor.findings import Finding, State, warning, wrong

Look = Callable[[], Iterator[Finding]]


def examine(*, url: str = "", asks_models: bool = False) -> Iterator[Finding]:
    """Everything that is found, as it is found; never raises. `url`: of the web process, if not as the settings say.

    `asks_models`: each provider is asked for a few tokens, which cost.
    """
    yield from _looked("settings", machine.look_at_settings)
    yield from _looked("secrets", machine.look_at_secrets)
    yield from _looked("check", machine.look_at_checks)
    yield from _looked("disk", machine.look_at_disks)
    yield from _looked("limits", machine.look_at_limits)
    yield from _looked("storage", machine.look_at_storage)
    yield from _looked("postgresql", database.look_whether_it_answers)
    has_tables = False
    if connection.connection is not None:
        yield from _looked("connections", database.look_at_connections)
        yield from _looked("clock", database.look_at_clocks)
        yield from _looked("pgvector", database.look_at_pgvector)
        tables = list(_looked("tables", database.look_at_tables))
        yield from tables
        has_tables = all(found.state != State.WRONG for found in tables)
    if has_tables:
        yield from _looked("walls", database.look_at_walls)
        yield from _looked("encryption", database.look_at_stored_secrets)
        yield from _looked("work", database.look_at_work)
    else:
        told = "Not looked at without its tables: row-level security, stored secrets, what waits, tenants' providers."
        yield warning("postgresql", told, "Run the doctor again when that is mended.")
    yield from _looked("valkey", processes.look_at_valkey)
    yield from _looked("web", partial(processes.look_at_web, url or processes.own_url()))
    yield from _looked("workers", processes.look_at_workers)
    yield from _looked("sandbox", processes.look_at_sandbox)
    yield from _looked("models", partial(services.look_at_models, asks_models=asks_models, with_rows=has_tables))
    yield from _looked("web search", services.look_at_search)
    yield from _looked("r2r", partial(services.look_at_r2r, with_rows=has_tables))


def _looked(part: str, look: Look) -> Iterator[Finding]:
    """What this look finds; one that breaks is a finding too, and ends no other."""
    try:
        yield from look()
    except Exception as error:
        told = f"This could not be looked at: {type(error).__name__}: {first_line(error)}"
        yield wrong(part, told, "If nothing else here explains it, please report it.")
