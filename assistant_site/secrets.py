"""Secrets that nobody gave us: made at the first start and kept in `var/secrets.json`, readable by the owner only.

An installation on several machines gives them in the environment instead, so that all processes share them.

`python -m assistant_site.secrets FOLDER` makes those that the services of docker-compose.yml share, one file each.
"""

import base64
import json
import os
import secrets
import sys
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote


def kept_in(directory: Path) -> dict[str, str]:
    """The generated secrets of this installation; made here when the file is missing."""
    file = directory / "secrets.json"
    try:
        return dict(json.loads(file.read_text()))
    except FileNotFoundError:
        pass
    except ValueError:
        raise SystemExit(
            f"Holdfast cannot start: {file} is damaged. Restore it from a backup; without it the providers' keys "
            "in the database cannot be decrypted."
        ) from None
    made = {
        "secret_key": secrets.token_urlsafe(48),
        "encryption_key": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),  # as Fernet makes it
        "database_password": secrets.token_urlsafe(24),
    }
    draft = directory / f"secrets.{os.getpid()}.tmp"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
            json.dump(made, out)
    except OSError as error:
        raise SystemExit(
            f"Holdfast cannot start: it cannot write to {directory} ({error.strerror}). Make the folder writable, or "
            "name another one in HOLDFAST_VAR."
        ) from None
    try:
        os.link(draft, file)  # fails if another process was first: then its secrets count
    except FileExistsError:
        made = json.loads(file.read_text())
    finally:
        draft.unlink()
    return made


# --- For containers ---------------------------------------------------------------------------------------------------

_MADE = ("database_password", "r2r_password", "r2r_secret_key", "s3_access_key", "s3_secret_key", "searxng_secret")


def share_in(directory: Path, environment: Mapping[str, str]) -> list[str]:
    """Make the files that are missing; returns their names. What stands there stays: it is in use.

    POSTGRES_PASSWORD of the environment, if there is one, is the database's: installations had to set it once. Every
    user may read the files, for each image has users of its own; nobody else sees the volume they are in.
    """
    made = [name for name in _MADE if _write(directory / name, secrets.token_hex(24), is_kept=True)]
    if given := environment.get("POSTGRES_PASSWORD"):
        _write(directory / "database_password", given, is_kept=False)
    password = (directory / "database_password").read_text()
    address = f"postgres://holdfast:{quote(password, safe='')}@postgres:5432/holdfast"
    _write(directory / "database_url", address, is_kept=False)
    return made


def _write(file: Path, text: str, *, is_kept: bool) -> bool:
    """Whole or not at all; False: it was there and is kept."""
    if is_kept and file.exists():
        return False
    draft = file.with_name(f"{file.name}.new")
    draft.write_text(text)
    draft.chmod(0o444)
    draft.replace(file)
    return True


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m assistant_site.secrets FOLDER")
    names = share_in(Path(sys.argv[1]), os.environ)
    sys.stdout.write(f"Made: {', '.join(names)}.\n" if names else "All secrets are there.\n")
