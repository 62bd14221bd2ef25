"""Every code block of the docs is in a language that is judged, and is what it says it is."""

from pathlib import Path

import pytest

from documentation.contents import PROJECT
from documentation.tests import shell
from documentation.tests.blocks import Block, blocks_of, pages
from documentation.tests.grammars import problems


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(PROJECT)))
def test_the_blocks_of_a_page_are_what_they_say(page: Path) -> None:
    found = [problem for block in blocks_of(page) for problem in problems(block)]
    assert not found, "\n" + "\n".join(found)


def block(language: str, text: str, *, not_run: str | None = None) -> Block:
    return Block(PROJECT / "README.md", 1, language, text, not_run, "", None)


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("", "x\n"),
        ("cobol", "x\n"),
        ("python", "print(\n"),
        ("json", '{"a": }\n'),
        ("yaml", "a: [\n"),
        ("toml", "a = \n"),
        ("ini", "[a\nb = 1\n"),
        ("nginx", "server {\n  listen 80\n}\n"),
        ("nginx", "server {\n"),
        ("http", "no header\n"),
        ("mermaid", "nonsense\n"),
        ("csv", "a,b\n1\n"),
        ("env", "NO_SUCH_SETTING=1\n"),
        ("console", "only output\n"),
        ("bash", "make no-such-target\n"),
        ("bash", "make test NO_SUCH_VARIABLE=1\n"),
        ("bash", "NO_SUCH_SETTING=1 make run\n"),
        ("bash", ".venv/bin/python manage.py no_such_command\n"),
        ("bash", ".venv/bin/python manage.py create_token --no-such-option\n"),
        ("bash", "python -m documentation.nowhere\n"),
        ("bash", "python nowhere.py\n"),
        ("bash", "no-such-program --help\n"),
        ("bash", "cat <(echo\n"),
        ("bash", "echo $(.venv/bin/python manage.py no_such_command)\n"),
    ],
)
def test_a_block_with_a_fault_is_found(language: str, text: str) -> None:
    [problem, *_] = problems(block(language, text))
    assert problem.startswith("README.md:1: ")


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("json", '{"a": {…}, "b": […], "c": …, "d": "…"}\n'),
        ("console", "$ git clone <the address of this repository> holdfast && cd holdfast\n$ make run\nReady.\n"),
        ("bash", 'TOKEN=$(curl -s x | jq -r .token)\necho "$TOKEN" > token.txt 2>&1\n'),
        ("bash", "S3_SECRET_KEY_FILE=/run/secrets/key\n"),
        ("ini", "a = 1\n"),
        ("bash", "OPENAI_BASE_URL=http://127.0.0.1:11434/v1 make run\n"),
        ("bash", ".venv/bin/python manage.py create_token --tenant acme\n"),
        ("bash", "cat > file.txt <<'EOF'\nanything 'goes\nEOF\nls file.txt\n"),
    ],
)
def test_a_block_without_fault_passes(language: str, text: str) -> None:
    assert problems(block(language, text)) == []


def test_a_reason_frees_a_command_from_being_known() -> None:
    assert problems(block("bash", "no-such-program\n", not_run="needs that program")) == []


def test_the_shell_is_taken_apart() -> None:
    found = list(shell.commands('A=1 B="x y" one --two \\\n  three | four > five && six "$(seven)" # eight\n'))
    assert [(command.settings, command.words) for command in found] == [
        ({}, ["seven"]),
        ({"A": "1", "B": "x y"}, ["one", "--two", "three"]),
        ({}, ["four"]),
        ({}, ["six", "substituted"]),
    ]
