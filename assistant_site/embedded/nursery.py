"""A process that has loaded Django once for all: it prepares the database, then web, worker, ingestion are born of it.

    python -m assistant_site.embedded.nursery FOLDER

(The folder says in a list of processes whose it is, and leaves room for its children's names.)

`up` itself does not hold Django for days. What its three children load is the same to nine tenths, and takes a second
and 60 MB each; as copies of one process they share it, and begin at once (docs/adr/0016-nursery.md).

It loads while the servers start, and is then asked by lines of JSON on standard input, each of which it answers with
one on standard output. What is shown once and never again, a token and a password, goes through this pipe and nowhere
else. A child is an orphan as soon as it is born, and `up` adopts it: it waits for it, and is outlived by none, as by
any other child of its own.
"""

import contextlib
import importlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TextIO

from django.conf import settings
from setproctitle import setproctitle

from assistant_site.embedded.commands import CHILD_OF_UP
from assistant_site.embedded.process import CannotStart, adopting, die_with, dies_with_us

ADOPTION_SECONDS = 5.0
FAILED = "the database could not be prepared; what went wrong stands above."

# What children would load on their own, in as many copies. Nothing here may start a thread or make an event loop, as
# daphne.server does; nor is it assistant_site.asgi, which looks whether that is loaded.
_SHARED = (
    "assistant_site.urls",
    "assistant_site.handler",
    "assistant_site.cluster",
    "assistant_site.serving",
    "assistant_site.management.commands.qcluster",
    "assistant_site.management.commands.serve",
    "assistant_site.db.postgresql.compiler",
    "channels.routing",
    "runs.engine",
    "runs.routing",
    "vector_stores.worker",
    "django.core.cache.backends.redis",
    "httpcore2",
    "anyio._backends._asyncio",
)
_SERVERS = {
    "daphne": ("twisted.internet.asyncioreactor", "daphne.access", "daphne.http_protocol", "daphne.ws_protocol"),
    "uvicorn": (
        "assistant_site.uvicorn_bounds",
        "assistant_site.uvicorn_processes",
        "uvicorn.lifespan.off",
        "uvicorn.loops.uvloop",
        "uvicorn.protocols.websockets.websockets_sansio_impl",
    ),
}


@dataclass(frozen=True)
class Made:
    """What this start made; an empty text: it was there before. Both are shown once and never again."""

    token: str = ""
    admin_password: str = ""


class Born:
    """A child that the nursery bore: of `subprocess.Popen` what is used of it here."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        return self._fetch(os.WNOHANG)

    def wait(self) -> int | None:
        return self._fetch(0)

    def _fetch(self, options: int) -> int | None:
        if self.returncode is None:
            try:
                pid, status = os.waitpid(self.pid, options)
            except ChildProcessError:  # somebody else has fetched it
                self.returncode = 0
            else:
                if pid:
                    self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def terminate(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGTERM)


class Nursery:
    """The process, from the side of the one that starts it."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self._folder = folder
        self._environment = dict(environment)
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Begins to load; raises OSError."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "assistant_site.embedded.nursery", str(settings.VAR_DIR)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {CHILD_OF_UP: "1", "SPT_NOENV": "1"} | self._environment,
            cwd=self._folder,
            start_new_session=True,
            preexec_fn=dies_with_us(signal.SIGTERM),
        )

    def prepare(self) -> tuple[bool, Made]:
        """Has it prepare the database, now that the servers run: whether tables were changed, and what was made.

        Raises CannotStart.
        """
        answer = self._ask({"prepare": True})
        if answer is None:
            raise CannotStart(FAILED)
        if "problem" in answer:
            raise CannotStart(answer["problem"])
        return answer["is_migrated"], Made(**answer["made"])

    def bear(self, arguments: Sequence[str], *, log: Path, environment: Mapping[str, str]) -> Born | None:
        """A child that carries out this command of `manage.py`; None: it has to be started in the usual way."""
        asked = {"bear": [*arguments], "log": str(log), "environment": dict(environment), "parent": os.getpid()}
        with adopting() as is_adopting:
            answer = self._ask(asked) if is_adopting else None
        return None if answer is None else Born(answer["pid"])

    def _ask(self, question: Mapping[str, Any]) -> dict[str, Any] | None:
        """Its answer; None: it is gone."""
        process = self._process
        if process is None or process.stdin is None or process.stdout is None:
            return None
        said = ""
        with contextlib.suppress(OSError):
            process.stdin.write(json.dumps(question) + "\n")
            process.stdin.flush()
            said = process.stdout.readline()
        if not said:
            self.stop()
            return None
        answer: dict[str, Any] = json.loads(said)
        return answer

    def stop(self) -> None:
        """Ends it, wherever it is: what it does in the database it does whole or not at all."""
        if self._process is not None:
            self._process.terminate()
            self._process.communicate()
            self._process = None


# --- Inside -----------------------------------------------------------------------------------------------------------


def main() -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever else is said is for the operator
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "assistant_site.settings")
    import django

    django.setup()
    from assistant_site.tuning import settle

    for name in (*_SHARED, *_SERVERS[settings.WEB_SERVER]):
        importlib.import_module(name)
    settle()  # a collection in a child would write to the pages it shares
    for line in sys.stdin:
        asked = json.loads(line)
        if "bear" in asked:
            pid = _fork_orphan(asked["parent"])
            if not pid:
                answers.close()
                _live(asked)
                return
            _say(answers, {"pid": pid})
            continue
        # All that it opens, and what it leaves in memory, ends with the fork. Elsewhere nobody is born of us anyway,
        # and macOS has libraries that do not outlive a fork.
        pid = os.fork() if sys.platform == "linux" else 0
        if not pid:
            _say(answers, _prepare())
            return
        if os.waitpid(pid, 0)[1] != 0:
            _say(answers, {"problem": FAILED})


def _say(answers: TextIO, answer: Mapping[str, object]) -> None:
    answers.write(json.dumps(answer) + "\n")
    answers.flush()


def _prepare() -> dict[str, object]:
    die_with(signal.SIGTERM, os.getppid())
    from assistant_site.embedded import first_start

    try:
        first_start.check_services()
        return {"is_migrated": first_start.migrate(), "made": asdict(first_start.set_up())}
    except CannotStart as problem:
        return {"problem": str(problem)}


def _fork_orphan(parent: int) -> int:
    """The child's process number; 0 in the child, which is an orphan of ours and has been adopted by `parent`."""
    reading, writing = os.pipe()
    between = os.fork()
    if between:
        os.close(writing)
        os.waitpid(between, 0)
        with os.fdopen(reading) as pipe:
            return int(pipe.read())
    os.close(reading)
    try:
        child = os.fork()
    except OSError:
        os._exit(1)
    if child:
        os._exit(0)
    deadline = time.monotonic() + ADOPTION_SECONDS
    while os.getppid() != parent:
        if time.monotonic() > deadline:
            os._exit(1)
        time.sleep(0.001)
    die_with(signal.SIGTERM, parent)
    os.setsid()
    os.write(writing, str(os.getpid()).encode())
    os.close(writing)
    return 0


def _live(asked: Mapping[str, Any]) -> None:
    """Becomes what was asked for, as if it had been started with this command and this log."""
    nothing, log = (
        os.open(os.devnull, os.O_RDONLY),
        os.open(asked["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644),
    )
    for target, source in ((0, nothing), (1, log), (2, log)):
        os.dup2(source, target)
    os.close(nothing)
    os.close(log)
    os.environ.update(asked["environment"])
    sys.argv = ["manage.py", *asked["bear"]]
    # Where the arguments stood, if there is room (SPT_NOENV), so that the environment can still be read from outside.
    setproctitle(f"{sys.executable} {' '.join(sys.argv)}")
    import manage

    manage.main()


if __name__ == "__main__":
    main()
