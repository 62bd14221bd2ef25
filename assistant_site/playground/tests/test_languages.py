"""Every text of the page is in each of its languages."""

import re
from pathlib import Path

import pytest

from assistant_site.playground import assets

LITERAL = re.compile(r'\bt\(\s*"((?:[^"\\]|\\.)*)"')
CALL = re.compile(r"(?<![\w.$])t\(")
DEFINITION = "export function t("
ENTRY = re.compile(r'^\s*"((?:[^"\\]|\\.)*)":\s*"((?:[^"\\]|\\.)*)",$', re.MULTILINE)
PLACEHOLDER = re.compile(r"\{(\w+)\}")
LANGUAGES = ("zh-CN", "ja")


def modules() -> list[Path]:
    return [each for each in sorted(assets.FOLDER.rglob("*.js")) if "vendor" not in each.parts]


def program() -> list[Path]:
    return [each for each in modules() if each.parent.name != "languages"]


def plain(literal: str) -> str:
    """What a literal says: it has no escapes but those that both languages know."""
    return literal.replace('\\"', '"').replace("\\\\", "\\")


def texts() -> set[str]:
    return {plain(found) for module in program() for found in LITERAL.findall(module.read_text())}


def language(tag: str) -> dict[str, str]:
    file = assets.FOLDER / "languages" / f"{tag}.js"
    assert file.exists(), f"{file.name} is missing"
    found = [(plain(key), plain(text)) for key, text in ENTRY.findall(file.read_text())]
    assert len(found) == len(dict(found)), "a text stands there twice"
    return dict(found)


def test_every_text_is_a_literal() -> None:
    """So that this test, and translators, find it."""
    for module in program():
        source = module.read_text().replace(DEFINITION, "")
        # A text may stand on the next line, or be chosen between two of them.
        odd = [
            source[at.start() : at.start() + 60]
            for at in CALL.finditer(source)
            if not LITERAL.match(source, at.start())
        ]
        assert not odd, f"{module.relative_to(assets.FOLDER)}: {odd}"
    assert len(texts()) > 100


@pytest.mark.parametrize("tag", LANGUAGES)
def test_a_language_has_every_text_and_no_other(tag: str) -> None:
    known = language(tag)
    assert texts() - set(known) == set(), "not translated"
    assert set(known) - texts() == set(), "said nowhere"


@pytest.mark.parametrize("tag", LANGUAGES)
def test_translations_have_the_same_placeholders(tag: str) -> None:
    for key, text in language(tag).items():
        assert text.strip(), key
        wanted, found = set(PLACEHOLDER.findall(key)), set(PLACEHOLDER.findall(text))
        assert found == wanted, key


@pytest.mark.parametrize("tag", LANGUAGES)
def test_what_is_a_plural_stays_one_text_or_two(tag: str) -> None:
    for key, text in language(tag).items():
        assert text.count(" | ") <= key.count(" | "), key
