"""`manage.py up` as a program: what the supervisor says goes to standard output, and why it cannot start ends it."""

import sys

from assistant_site.embedded import supervisor
from assistant_site.embedded.process import CannotStart


def main() -> None:
    try:
        supervisor.run(_say)
    except CannotStart as problem:
        sys.exit(f"Holdfast cannot start: {problem}")


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
