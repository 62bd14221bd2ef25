"""What a start makes sure of in the database, done in a process of its own: `up` itself does not hold Django for days.

    python -m assistant_site.embedded.preparation

loads Django while the servers start, waits for a line on standard input, and answers with one on standard output. What
is shown once and never again, a token and a password, goes through this pipe and nowhere else.
"""

import json
import os
import signal
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from assistant_site.embedded.commands import CHILD_OF_UP
from assistant_site.embedded.process import CannotStart, dies_with_us


@dataclass(frozen=True)
class Made:
    """What this start made; an empty text: it was there before. Both are shown once and never again."""

    token: str = ""
    admin_password: str = ""


class Preparation:
    """The process, from the side of the one that starts it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Begins to load; raises OSError."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "assistant_site.embedded.preparation"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {CHILD_OF_UP: "1"},
            cwd=self._folder,
            start_new_session=True,
            preexec_fn=dies_with_us(signal.SIGTERM),
        )

    def answer(self) -> tuple[bool, Made]:
        """Has it do its work, now that the servers run: whether tables were changed, and what was made.

        Raises CannotStart.
        """
        assert self._process is not None
        said, _ = self._process.communicate("go\n")
        if self._process.returncode != 0:
            raise CannotStart("the database could not be prepared; what went wrong stands above.")
        answer = json.loads(said)
        if "problem" in answer:
            raise CannotStart(answer["problem"])
        return answer["is_migrated"], Made(**answer["made"])

    def stop(self) -> None:
        """Ends it, wherever it is: what it does in the database it does whole or not at all."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait()


def main() -> None:
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever else is said is for the operator
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "assistant_site.settings")
    import django

    django.setup()
    from assistant_site.embedded import first_start

    if not sys.stdin.readline():
        return
    answer: dict[str, object]
    try:
        first_start.check_services()
        answer = {"is_migrated": first_start.migrate(), "made": asdict(first_start.set_up())}
    except CannotStart as problem:
        answer = {"problem": str(problem)}
    with out:
        json.dump(answer, out)


if __name__ == "__main__":
    main()
