"""Typed readers of the environment: the only place where settings come from.

The process's environment wins over the file `.env` in the project's folder, and in both `NAME` wins over `NAME_FILE`,
which names a file with the value: so Docker and Kubernetes hand secrets over. A value that cannot be used stops the
start with one sentence that says which variable it is and what it may be.
"""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from dotenv import dotenv_values

from assistant_site.addresses import is_entry

T = TypeVar("T")

PROJECT = Path(__file__).resolve().parent.parent
# HOLDFAST_ENV_FILE names another file than .env (the tests: none at all).
_file = Path(os.environ.get("HOLDFAST_ENV_FILE") or PROJECT / ".env")
_from_file = dotenv_values(_file) if _file.is_file() else {}


class WrongSetting(SystemExit):
    """Ends the process with a sentence on standard error and exit code 1, which has no password of an address."""

    def __init__(self, name: str, value: str, expected: str) -> None:
        shown = re.sub(r"//.*@", "//…@", value)
        super().__init__(
            f"Holdfast cannot start: {name} must be {expected}, but is {shown!r}. "
            "Change it in the environment or in the file .env."
        )


def check_secret(value: str, *names: str, least: int) -> None:
    """Ends the process if a secret that came in one of these variables can be guessed; it is not repeated."""
    if len(value) < least:
        name, _ = _raw(names) or (names[0], "")
        raise SystemExit(
            f"Holdfast cannot start: {name} has fewer than {least} characters and could be guessed. Set it to a long "
            "random text, such as what `openssl rand -hex 32` prints, or leave it out."
        )


def _raw(names: tuple[str, ...]) -> tuple[str, str] | None:
    """The first of these variables that is set and not empty, with its value; an alias comes after our own name."""
    for source in (os.environ, _from_file):
        for name in names:
            value = (source.get(name) or "").strip()
            if value:
                return name, value
            file = (source.get(f"{name}_FILE") or "").strip()
            if file and (value := _contents(f"{name}_FILE", file)):
                return name, value
    return None


def _contents(name: str, file: str) -> str:
    """What the file says, without white space around it; empty counts as not set. Ends the process without it."""
    try:
        return Path(file).expanduser().read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise SystemExit(
            f"Holdfast cannot start: {name} names the file {file}, which cannot be read: {reason}."
        ) from None


def _read(names: tuple[str, ...], default: T, convert: Callable[[str], T], expected: str) -> T:
    found = _raw(names)
    if found is None:
        return default
    name, value = found
    try:
        return convert(value)
    except ValueError:
        raise WrongSetting(name, value, expected) from None


def text(*names: str, default: str = "") -> str:
    return _read(names, default, str, "a text")


def number(*names: str, default: int, low: int = 0, high: int = 2**31 - 1) -> int:
    def convert(value: str) -> int:
        parsed = int(value)
        if not low <= parsed <= high:
            raise ValueError
        return parsed

    return _read(names, default, convert, f"a whole number from {low} to {high}")


def flag(*names: str, default: bool) -> bool:
    words = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}

    def convert(value: str) -> bool:
        if value.lower() not in words:
            raise ValueError
        return words[value.lower()]

    return _read(names, default, convert, "true or false")


def url(*names: str, default: str = "", schemes: tuple[str, ...] = ("http", "https")) -> str:
    def convert(value: str) -> str:
        if urlsplit(value).scheme not in schemes:
            raise ValueError
        return value.rstrip("/")

    return _read(names, default, convert, f"an address that begins with {' or '.join(s + '://' for s in schemes)}")


def urls(*names: str, default: list[str], schemes: tuple[str, ...]) -> list[str]:
    """A comma-separated list of addresses."""

    def convert(value: str) -> list[str]:
        found = [part.strip().rstrip("/") for part in value.split(",") if part.strip()]
        if not all(urlsplit(address).scheme in schemes for address in found):
            raise ValueError
        return found

    return _read(
        names, default, convert, f"a list of addresses that begin with {' or '.join(s + '://' for s in schemes)}"
    )


def items(*names: str, default: list[str]) -> list[str]:
    """A comma-separated list."""
    return _read(names, default, lambda v: [part.strip() for part in v.split(",") if part.strip()], "a list")


def hosts(*names: str, default: list[str]) -> list[str]:
    """A comma-separated list of host names, addresses and networks."""

    def convert(value: str) -> list[str]:
        found = [part.strip() for part in value.split(",") if part.strip()]
        if not all(map(is_entry, found)):
            raise ValueError
        return found

    return _read(names, default, convert, "a list of host names, addresses or networks such as 10.0.0.0/8")


def choice(*names: str, default: str, of: tuple[str, ...]) -> str:
    def convert(value: str) -> str:
        if value.lower() not in of:
            raise ValueError
        return value.lower()

    return _read(names, default, convert, "one of " + ", ".join(of))


def choices(*names: str, default: list[str], of: tuple[str, ...], alone: str) -> list[str]:
    """A comma-separated list of these words, each once, or the one word that stands `alone`."""

    def convert(value: str) -> list[str]:
        found = list(dict.fromkeys(part.strip().lower() for part in value.split(",") if part.strip()))
        if found != [alone] and not set(found) <= set(of):
            raise ValueError
        return found

    return _read(names, default, convert, f"{alone}, or a list of {', '.join(of)}")


def path(*names: str, default: Path) -> Path:
    return _read(names, default, lambda v: Path(v).expanduser().resolve(), "a path")
