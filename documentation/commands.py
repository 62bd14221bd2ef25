"""The page `reference/commands.md`: the commands of `manage.py` that are Holdfast's own."""

import argparse
import inspect
import sys
from collections.abc import Iterator
from typing import Any

from documentation.contents import PROJECT


def own() -> Iterator[tuple[str, Any]]:
    """Name and instance of each command of the project's apps. Needs Django to be set up."""
    from django.core.management import get_commands, load_command_class

    for name, app in sorted(get_commands().items()):
        command = load_command_class(app, name)
        file = inspect.getsourcefile(type(command))
        if file and file.startswith(str(PROJECT)) and "/site-packages/" not in file:
            yield name, command


def options_of(name: str, command: Any) -> list[argparse.Action]:
    """What the command takes, without what all of Django's take."""
    from django.core.management.base import BaseCommand

    plain = {action.dest for action in BaseCommand().create_parser("manage.py", name)._actions}
    parser = command.create_parser("manage.py", name)
    return [action for action in parser._actions if action.dest not in plain]


def _option(action: argparse.Action) -> str:
    shown = ", ".join(f"`{each}`" for each in action.option_strings) or f"`{action.dest}`"
    if action.option_strings and action.nargs != 0:
        shown += f" *{action.metavar or action.dest}*"
    notes = [(action.help or "").replace("%(default)s", str(action.default)).replace("%%", "%").strip()]
    if action.choices:
        notes.append("one of " + ", ".join(f"`{each}`" for each in action.choices))
    if action.option_strings and action.required:
        notes.append("required")
    if action.default not in (None, False, argparse.SUPPRESS, []) and "default" not in notes[0]:
        notes.append(f"default `{action.default}`")
    return f"| {shown} | {'; '.join(note for note in notes if note)} |".replace("\n", " ")


def page() -> str:
    parts = [
        "# Commands\n\n`.venv/bin/python manage.py COMMAND`, with the environment or the `.env` of the server. "
        "`--help` behind a command says the same as this page.\n"
    ]
    for name, command in own():
        about = inspect.getdoc(sys.modules[type(command).__module__]) or ""
        told = (command.help or about).strip()
        parts.append(f"## {name}\n\n{told}\n")
        if about and about.strip() != told:
            parts.append(about + "\n")
        if options := options_of(name, command):
            parts.append("| | |\n| --- | --- |\n" + "\n".join(_option(each) for each in options) + "\n")
    return "\n".join(parts)
