"""`manage.py up` as a program: what the supervisor says goes to standard output, and why it cannot start ends it."""

import contextlib
import sys

from assistant_site.embedded import supervisor
from assistant_site.embedded.process import CannotStart


def main() -> None:
    try:
        supervisor.run(_say)
    except CannotStart as problem:
        sys.exit(f"Holdfast cannot start: {problem}")


def _say(text: str) -> None:
    with contextlib.suppress(OSError):  # the terminal or the pipe is gone: all the more is everything to end in order
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()
