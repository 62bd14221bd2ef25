"""docs/data-protection.md names every table and every key of Valkey, and none that is not there."""

import re
from pathlib import Path

from django.apps import apps

PROJECT = Path(__file__).resolve().parents[2]
OTHERS = {"benchmarks", "drills", "examples", "documentation", "deploy"}  # no part of what is operated
PAGE = (PROJECT / "docs" / "data-protection.md").read_text()


def section(title: str) -> str:
    return PAGE.partition(f"## {title}\n")[2].partition("\n## ")[0]


def first_cells(title: str) -> set[str]:
    """What stands in backticks in the first column."""
    rows = [line for line in section(title).split("\n") if line.startswith("| `")]
    return {name for row in rows for name in re.findall(r"`([^`]+)`", row.split("|")[1])}


def test_every_model_is_named() -> None:
    assert first_cells("In PostgreSQL") == {model._meta.label for model in apps.get_models()}


def test_what_has_credentials_is_told() -> None:
    told = {
        name
        for row in section("In PostgreSQL").split("\n")
        if row.startswith("| `") and row.split("|")[4].strip()
        for name in re.findall(r"`([^`]+)`", row.split("|")[1])
    }
    secret = re.compile(r"^(?:encrypted_.*|sealed|digest|password)$")
    having = {
        model._meta.label for model in apps.get_models() if any(secret.match(f.name) for f in model._meta.local_fields)
    }
    # Digests of an answer's request and of an address: nothing that opens anything.
    assert having - {"tenants.KeptAnswer", "tools.McpToolList"} <= told


def test_every_key_of_valkey_is_named() -> None:
    named = {re.split(r"[<…]", name)[0] for name in first_cells("In Valkey")}
    used = set()
    packages = [made.parent for made in PROJECT.glob("*/__init__.py") if made.parent.name not in OTHERS]
    for file in (file for package in packages for file in package.rglob("*.py")):
        if "tests" in file.parts:
            continue
        used |= set(re.findall(r'f?"((?:holdfast|events|waiting):[a-z:-]*)', file.read_text()))
    channels = {"holdfast:stop", "holdfast:waiting", "holdfast:"}  # said, not kept; a pattern for all
    unnamed = {key for key in used - channels if not any(key.startswith(name) for name in named)}
    assert "events:" in used
    assert unnamed == set()
