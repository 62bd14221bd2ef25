"""Whether a block is what it says it is: one judge for each language. Nothing is run here."""

import ast
import configparser
import csv
import json
import re
import shutil
import subprocess
import tomllib
from collections.abc import Callable, Iterator
from html.parser import HTMLParser

import yaml

from documentation.tests import shell
from documentation.tests.blocks import Block


def _python(block: Block) -> Iterator[str]:
    for name, text in (("", block.text), ("the hidden setup: ", block.setup)):
        try:
            compile(text, block.where, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        except SyntaxError as wrong:
            yield f"{name}line {wrong.lineno} of it is no Python: {wrong.msg}"


def without_ellipses(text: str) -> str:
    """JSON with the typographic `…` for what is left out: `{…}`, `[…]`, or a value."""
    text = re.sub(r"([{\[])\s*…\s*([}\]])", r"\1\2", text)
    text = re.sub(r",\s*…(?=\s*[}\]])", "", text)
    return re.sub(r"(?<=[:\[,\s])…(?=\s*[,}\]])", "null", text)


def _json(block: Block) -> Iterator[str]:
    try:
        json.loads(without_ellipses(block.text))
    except ValueError:
        try:  # one object a line
            for line in block.text.strip().splitlines():
                json.loads(without_ellipses(line))
        except ValueError as wrong:
            yield f"is no JSON: {wrong}"


def _yaml(block: Block) -> Iterator[str]:
    try:
        list(yaml.safe_load_all(block.text))
    except yaml.YAMLError as wrong:
        yield f"is no YAML: {wrong}"


def _toml(block: Block) -> Iterator[str]:
    try:
        tomllib.loads(block.text)
    except tomllib.TOMLDecodeError as wrong:
        yield f"is no TOML: {wrong}"


def _ini(block: Block) -> Iterator[str]:
    begun = block.text if re.search(r"^\[", block.text, re.MULTILINE) else "[here]\n" + block.text
    try:
        configparser.RawConfigParser(strict=False, allow_no_value=True).read_string(begun)
    except configparser.Error as wrong:
        yield f"is no ini file: {wrong}"


def _shell(block: Block) -> Iterator[str]:
    script = shell.script_of(block.language, block.text)
    if block.language == "console" and not script.strip():
        yield "has no command: commands of a console begin with `$ `; what only shows something is `text`"
    if block.not_run is None:
        yield from shell.problems(script, block.page.read_text())


def _environment(block: Block) -> Iterator[str]:
    for line in block.text.splitlines():
        name, equals, _ = line.removeprefix("export ").partition("=")
        if not line.strip() or line.startswith("#"):
            continue
        if not equals:
            yield f"is no line NAME=value: {line}"
        elif block.not_run is None and not shell.is_known(name):
            yield f"{name} is no setting"


def _braces(block: Block) -> Iterator[str]:
    """nginx, Caddy: directives that end, blocks that close."""
    plain = re.sub(r"#.*|\"[^\"\n]*\"|'[^'\n]*'", "", block.text)
    depth = 0
    for number, line in enumerate(plain.splitlines(), 1):
        depth += line.count("{") - line.count("}")
        if depth < 0:
            yield f"line {number} of it closes what was never opened"
            return
        if block.language == "nginx" and line.strip() and line.strip()[-1] not in "{};" and not _goes_on(plain, number):
            yield f"line {number} of it has no `;` at its end"
    if depth:
        yield "a block of it is never closed"


def _goes_on(text: str, number: int) -> bool:
    """Whether the next line is more of the same directive."""
    rest = text.splitlines()[number:]
    return bool(rest) and rest[0].startswith((" " * 8, "\t\t"))


def _javascript(block: Block) -> Iterator[str]:
    if node := shutil.which("node"):
        checked = subprocess.run(
            [node, "--input-type=module", "--check", "-"], input=block.text, capture_output=True, text=True, check=False
        )
        if checked.returncode:
            yield f"is no JavaScript: {checked.stderr.strip()}"


def _http(block: Block) -> Iterator[str]:
    head = block.text.strip().split("\n\n")[0].splitlines()
    if re.match(r"(GET|POST|DELETE|PUT|HEAD|PATCH|OPTIONS) \S+|HTTP/\d", head[0]):
        head = head[1:]
    for line in head:
        if not re.match(r"[\w-]+: ?\S", line):
            yield f"is no header: {line}"


def _sse(block: Block) -> Iterator[str]:
    for line in block.text.splitlines():
        if line and not re.match(r"(event|id|data|retry): |:", line):
            yield f"is no line of an event stream: {line}"


def _mermaid(block: Block) -> Iterator[str]:
    first = block.text.split()[0] if block.text.split() else ""
    if first not in ("flowchart", "graph", "sequenceDiagram", "stateDiagram-v2", "erDiagram", "classDiagram", "pie"):
        yield f"is no diagram that the site draws: {first}"


def _dockerfile(block: Block) -> Iterator[str]:
    joined = re.sub(r"\\\n", " ", block.text)
    for line in joined.splitlines():
        if line.strip() and not line.startswith("#") and not re.match(r"[A-Z]+ ", line):
            yield f"is no instruction of a Dockerfile: {line}"


def _html(block: Block) -> Iterator[str]:
    HTMLParser().feed(block.text)
    yield from ()


def _csv(block: Block) -> Iterator[str]:
    widths = {len(row) for row in csv.reader(block.text.strip().splitlines())}
    if len(widths) != 1:
        yield "its lines have different numbers of columns"


def _anything(block: Block) -> Iterator[str]:
    yield from ()


JUDGES: dict[str, Callable[[Block], Iterator[str]]] = {
    "python": _python,
    "console": _shell,
    "bash": _shell,
    "sh": _shell,
    "json": _json,
    "yaml": _yaml,
    "toml": _toml,
    "ini": _ini,
    "env": _environment,
    "dotenv": _environment,
    "nginx": _braces,
    "caddy": _braces,
    "js": _javascript,
    "javascript": _javascript,
    "http": _http,
    "sse": _sse,
    "mermaid": _mermaid,
    "dockerfile": _dockerfile,
    "html": _html,
    "csv": _csv,
    "sql": _anything,  # run, by the tests that run blocks
    "text": _anything,
}


def problems(block: Block) -> list[str]:
    """What is wrong with the block, each with file and line."""
    if not block.language:
        return [f"{block.where}: the block has no language; what only shows something is `text`"]
    judge = JUDGES.get(block.language)
    if judge is None and block.not_run is None:
        known = ", ".join(sorted(JUDGES))
        return [
            f"{block.where}: no test judges {block.language!r}; give a reason, <!-- not run: ... -->, or take "
            f"one of {known}"
        ]
    return [f"{block.where}: {problem}" for problem in judge(block)] if judge else []
