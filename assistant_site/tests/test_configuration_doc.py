"""docs/configuration.md has every setting that is read, with its other names and its default, and no other."""

import ast
import re
from dataclasses import dataclass

from django.conf import settings

from assistant_site.llm import client

PAGE = (settings.BASE_DIR / "docs" / "configuration.md").read_text()
READERS = {"text", "number", "flag", "url", "urls", "items", "hosts", "choice", "choices", "path"}


@dataclass(frozen=True)
class Setting:
    name: str
    aliases: tuple[str, ...]
    default: str | None  # None: computed, or empty


def settings_read() -> dict[str, Setting]:
    found = {}
    tree = ast.parse((settings.BASE_DIR / "assistant_site" / "settings.py").read_text())
    for call in ast.walk(tree):
        if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr in READERS):
            continue
        if not (isinstance(call.func.value, ast.Name) and call.func.value.id == "env"):
            continue
        names = [argument.value for argument in call.args if isinstance(argument, ast.Constant)]
        given = next((word.value for word in call.keywords if word.arg == "default"), None)
        default = str(given.value) if isinstance(given, ast.Constant) and given.value != "" else None
        name, *aliases = map(str, names)
        found[name] = Setting(name, tuple(aliases), default)
    return found


def rows(page: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in page.splitlines() if line[:3] == "| `"]


def settings_described() -> dict[str, list[str]]:
    return {cells[0].strip("`"): cells for cells in rows(PAGE) if cells[0].strip("`").isupper()}


def test_every_setting_is_described_and_every_description_is_true() -> None:
    read, described = settings_read(), settings_described()
    assert len(read) > 20  # the reading of settings.py itself works
    assert sorted(read) == sorted(described)
    for name, (_, aliases, default, meaning) in described.items():
        assert tuple(re.findall(r"`(\w+)`", aliases)) == read[name].aliases, name
        expected = read[name].default
        assert expected is None or default.strip("`").lower() == expected.lower(), name
        assert meaning, name


def test_every_quirk_is_described() -> None:
    documented = client.__doc__ or ""
    quirks = set(re.findall(r"^`(\w+)`  ", documented, re.MULTILINE))
    assert len(quirks) >= 5
    assert {cells[0].strip("`") for cells in rows(PAGE) if not cells[0].strip("`").isupper()} == quirks
    features = re.findall(r"`(\w+)`", documented.partition("features never sent:")[2])
    row = next(cells for cells in rows(PAGE) if cells[0] == "`without`")
    assert re.findall(r"`(\w+)`", row[2]) == features
