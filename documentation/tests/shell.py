"""Commands in the pages: what they name must be there. Nothing is run here."""

import argparse
import contextlib
import importlib.util
import io
import re
import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache

from documentation.contents import PROJECT

# Programs of others that readers have or install, and parts of the shell. What they do is not ours to judge. A command
# that is not here needs a reason for not being run, and so do those that need something that a test
# does not have.
_OTHERS = """
: [ adduser apt apt-get bash cat cd certbot chmod chown cp curl date diff do done echo else env exit export false fi
find for function git grep gunzip gzip head history hostname id if install journalctl jq kill less ln loginctl ls
mkdir mktemp mv nginx node npm npx openssl pg_dump pg_restore pip printf psql pwd python python3 read redis-cli rm
rmdir runuser sed set sh sleep sort source ss sudo systemctl systemd-run tail tar tee test then time touch tr trap
true umask uniq unset until useradd valkey-cli wait wc while xargs zstd
"""
OTHERS = frozenset(_OTHERS.split())
# What libraries, tests and readers take from the environment, beside the settings.
OURS = {
    "COMPOSE_PROFILES",
    "PGOPTIONS",
    "PGPASSWORD",
    "PGHOST",
    "PGUSER",
    "PGDATABASE",
    "PYTHONWARNINGS",
    "HOLDFAST_TEST_S3",
}
OURS |= {"HOLDFAST", "HOLDFAST_TOKEN", "HOLDFAST_URL", "HOLDFAST_SPEC", "HOLDFAST_MODEL", "HYPOTHESIS_PROFILE"}
PLACEHOLDER = re.compile(r"<[A-Za-z][^<>\n]*>")
_HEREDOC = re.compile(r"<<-?\s*(['\"]?)(\w+)\1([^\n]*)\n.*?\n\s*\2(?=\n|$)", re.DOTALL)
_ASSIGNMENT = re.compile(r"^([A-Za-z_]\w*)=")
_BEFORE = ("sudo", "exec", "time", "nohup", "env", "if", "then", "do", "while", "until", "!", "else")
_CONTROL = {"&&", "||", ";", "|", "&", "(", ")", ";;", "|&"}


@dataclass
class Command:
    """A simple command: what is set for it, and its words without redirections."""

    settings: dict[str, str] = field(default_factory=dict)
    words: list[str] = field(default_factory=list)


def script_of(language: str, text: str) -> str:
    """The commands alone: of a `console` what stands behind `$ ` or `# `, with the lines that go on."""
    if language != "console":
        return text
    lines: list[str] = []
    goes_on = False
    for line in text.splitlines():
        if goes_on or re.match(r"[$#] ", line):
            line = line if goes_on else line[2:]
            lines.append(line.removeprefix("> ") if goes_on else line)
            goes_on = line.endswith("\\")
    return "\n".join(lines) + "\n"


def shown_output(text: str) -> list[tuple[str, str]]:
    """Of a `console`: each command with what is shown below it."""
    found: list[tuple[str, list[str]]] = []
    goes_on = False
    for line in text.splitlines():
        if goes_on:
            found[-1] = (found[-1][0] + "\n" + line, found[-1][1])
            goes_on = line.endswith("\\")
        elif re.match(r"[$#] ", line):
            found.append((line[2:], []))
            goes_on = line.endswith("\\")
        elif found:
            found[-1][1].append(line)
    return [(command, "\n".join(output).strip()) for command, output in found]


def commands(script: str) -> Iterator[Command]:
    """Every simple command. Raises ValueError where quotes do not match."""
    script = _HEREDOC.sub(lambda found: found[3], PLACEHOLDER.sub("placeholder", script))
    script = re.sub(r"\\\n", " ", script)
    # What is inside $( ) is commands too.
    for inner in re.findall(r"\$\(([^()]*)\)", script):
        yield from commands(inner)
    script = re.sub(r"\$\([^()]*\)", "substituted", script)
    lexer = shlex.shlex(script.replace("\n", "\n; "), posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    lexer.commenters = "#"
    command = Command()
    skip = False
    for word in [*lexer, ";"]:
        if skip:
            skip = False
        elif word in _CONTROL or not word.strip(";&|()"):
            if command.words or command.settings:
                yield command
            command = Command()
        elif re.fullmatch(r"\d?[<>&]+\d?|[<>]+&?", word) or word in (">", ">>", "<", "2>", "&>", ">&", "<<<"):
            skip = not re.search(r"&\d$", word)
        elif not command.words and (found := _ASSIGNMENT.match(word)):
            command.settings[found[1]] = word[found.end() :]
        else:
            command.words.append(word)


@cache
def settings_known() -> frozenset[str]:
    """The names of all settings, their other names too."""
    source = (PROJECT / "assistant_site" / "settings.py").read_text()
    calls = re.findall(r"env\.\w+\(([^)]*)", source)
    return frozenset(name for call in calls for name in re.findall(r'"([A-Z][A-Z0-9_]+)"', call))


def is_known(name: str) -> bool:
    """Whether something reads this variable. Settings may also come from a file: NAME_FILE."""
    return name in OURS or name.removesuffix("_FILE") in settings_known()


@cache
def targets() -> frozenset[str]:
    """What can be made, with the variables that targets take."""
    makefile = (PROJECT / "Makefile").read_text()
    return frozenset(re.findall(r"^([a-z0-9-]+):", makefile, re.MULTILINE))


@cache
def made_with() -> frozenset[str]:
    return frozenset(re.findall(r"\$\(if \$\((\w+)\)", (PROJECT / "Makefile").read_text())) | {"ROWS", "HOST", "PORT"}


def problems(script: str, page: str) -> Iterator[str]:
    """What is wrong with the commands of a block; `page` is the text of its page, for names that are used "
    "elsewhere in it."""
    checked = subprocess.run(
        ["bash", "-n"], input=PLACEHOLDER.sub("placeholder", script), capture_output=True, text=True, check=False
    )
    if checked.returncode:
        yield f"bash does not understand it: {checked.stderr.strip()}"
        return
    try:
        found = list(commands(script))
    except ValueError as wrong:
        yield f"its quotes do not match: {wrong}"
        return
    for command in found:
        yield from _problems(command, page + script)


def _problems(command: Command, page: str) -> Iterator[str]:
    words = list(command.words)
    while words and words[0] in (
        "sudo",
        "exec",
        "time",
        "nohup",
        "env",
        "if",
        "then",
        "do",
        "while",
        "until",
        "!",
        "else",
    ):
        words.pop(0)
        while words and (words[0].startswith("-") or _ASSIGNMENT.match(words[0])):
            if found := _ASSIGNMENT.match(words[0]):
                command.settings[found[1]] = words[0]
            words.pop(0)
    program = words[0] if words else ""
    exported = [found[1] for word in words[1:] if program == "export" and (found := _ASSIGNMENT.match(word))]
    for name in [*command.settings, *exported]:
        used = re.search(rf"\${{?{name}\b|environ\[.{name}.\]|getenv\(.{name}.|env\.{name}\b", page)
        if not is_known(name) and not used and not (program == "make" and name in made_with()):
            yield f"{name} is no setting, and nothing on the page uses it"
    if not program or program.startswith("$"):
        return
    if program == "make":
        yield from _make(words[1:])
    elif any(word.endswith("manage.py") for word in words[:3]):
        at = next(index for index, word in enumerate(words) if word.endswith("manage.py"))
        yield from manage(words[at + 1 :])
    elif re.fullmatch(r"(\S*/)?python3?(\.\d+)?", program):
        yield from _python(words[1:], page)
    elif "/" in program:
        relative = program.removeprefix("./")
        is_there = (PROJECT / relative).exists() or relative.startswith(".venv") or program.startswith("/")
        if not is_there:
            yield f"there is no {program} in the repository"
    elif program not in OTHERS:
        yield (
            f"what {program!r} is, is not known to documentation/tests/shell.py: "
            "write <!-- not run: needs ... --> above the block"
        )


def _make(words: list[str]) -> Iterator[str]:
    for word in words:
        found = _ASSIGNMENT.match(word)
        if found and found[1] not in made_with() | settings_known() | OURS:
            yield f"no target of the Makefile takes {found[1]}"
        elif not found and not word.startswith("-") and word not in targets():
            yield f"the Makefile has no target {word!r}"


def manage(words: list[str]) -> Iterator[str]:
    """Whether the command of manage.py is there, and takes these options."""
    from django.core.management import get_commands, load_command_class

    name = words[0] if words else ""
    if name in ("help", "", "COMMAND"):
        return
    app = get_commands().get(name)
    if app is None:
        yield f"manage.py has no command {name!r}"
        return
    command = load_command_class(app, name)
    parser: argparse.ArgumentParser = command.create_parser("manage.py", name)
    told = io.StringIO()
    if "--help" in words:
        return
    with contextlib.redirect_stderr(told):
        try:
            parser.called_from_command_line = True  # type: ignore[attr-defined]
            parser.parse_args([word for word in words[1:] if word != "…"])
        except (SystemExit, Exception) as refused:
            yield f"manage.py {name} does not take these: {told.getvalue().strip().splitlines()[-1:] or refused}"


def _python(words: list[str], page: str) -> Iterator[str]:
    while words and words[0].startswith("-") and words[0] not in ("-m", "-c"):
        words = words[2:] if words[0] in ("-W", "-X") else words[1:]
    if not words or words[0] in ("-c", "-"):
        return
    if words[0] == "-m":
        module = words[1]
        if module.split(".")[0] in ("pip", "venv", "json", "http", "uvicorn", "daphne"):
            return
        try:
            found = importlib.util.find_spec(module)
        except ModuleNotFoundError:
            found = None
        if found is None:
            yield f"there is no module {module}"
    elif not (PROJECT / words[0]).exists() and f"`{words[0]}`" not in page and f"> {words[0]}" not in page:
        yield f"there is no program {words[0]}, and the page names none of its blocks so (`{words[0]}`:)"
