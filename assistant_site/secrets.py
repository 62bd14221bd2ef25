"""Secrets that nobody gave us: made at the first start and kept in `var/secrets.json`, readable by the owner only.

An installation on several machines gives them in the environment instead, so that all processes share them.
"""

import base64
import json
import os
import secrets
from pathlib import Path


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
