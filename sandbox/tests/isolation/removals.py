"""Protections that can be taken away from the daemon of the tests, by name, beside those that `Launcher.without` knows.

Each replaces what the product does by what it would do without; one that finds nothing to replace raises.
"""

import os
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from sandbox import calls, frames, launch, pool, session
from sandbox.launch import Launcher
from sandbox.protocol import Health, SessionKey

Remove = Callable[[], None]
_removals: dict[str, Remove] = {}
FOLDER = Path(os.environ.get("SANDBOX_TESTS_FOLDER", os.devnull))  # the daemon's own


def removal(remove: Remove) -> Remove:
    _removals[remove.__name__.replace("_", "-")] = remove
    return remove


def apply(names: Iterable[str]) -> set[str]:
    """Take them away; the ones that are left are the launcher's own."""
    left = set(names)
    for name in sorted(left & set(_removals)):
        _removals[name]()
    return left - set(_removals)


def _options(change: Callable[[list[str]], list[str]]) -> None:
    """Have every launch's options changed."""
    plain = Launcher.options

    def changed(self: Launcher, *arguments: Any, **named: Any) -> list[str]:
        before = plain(self, *arguments, **named)
        after = change(list(before))
        assert after != before
        return after

    Launcher.options = changed  # type: ignore[method-assign]


def _runner(old: str, new: str) -> None:
    """Have the runner's code changed."""
    text = launch.RUNNER.read_text()
    assert text.count(old) == 1, f"the runner has no {old!r}"
    changed = FOLDER / "runner.py"
    changed.write_text(text.replace(old, new))
    launch.RUNNER = changed


# --- What is mounted, and what bubblewrap is given --------------------------------------------------------------------


@removal
def own_tmp() -> None:
    """The host's /tmp in the place of one's own."""

    def change(options: list[str]) -> list[str]:
        at = next(i for i, each in enumerate(options) if each == "--tmpfs" and options[i + 1] == "/tmp")
        first = at - 2 if options[at - 2] == "--size" else at
        return [*options[:first], "--bind", "/tmp", "/tmp", *options[at + 2 :]]

    _options(change)


@removal
def own_etc() -> None:
    """The host's /etc in the place of a few files of it."""

    def change(options: list[str]) -> list[str]:
        at = next(i for i, each in enumerate(options) if each.endswith("bind") and options[i + 2].startswith("/etc"))
        return [*options[:at], "--ro-bind", "/etc", "/etc", *options[at:]]

    _options(change)


@removal
def no_capabilities() -> None:
    """All that the session's own user namespace could give."""
    _options(lambda options: ["--cap-add", "ALL", *options])


class _Popen(subprocess.Popen):  # type: ignore[type-arg]
    """Starts bubblewrap as a careless launcher would."""

    shows_options = False
    log: Any = None

    def __init__(self, command: list[str], **given: Any) -> None:
        if "--args" in command:
            at = command.index("--args")
            if self.shows_options:
                text = os.pread(int(command[at + 1]), 1 << 20, 0).decode()
                command = [*command[:at], *text.strip("\0").split("\0"), *command[at + 2 :]]
            if self.log is not None:
                given["stderr"] = self.log
        super().__init__(command, **given)


@removal
def options_by_descriptor() -> None:
    _Popen.shows_options = True
    launch.subprocess.Popen = _Popen  # type: ignore[attr-defined]


@removal
def stderr_to_null() -> None:
    _Popen.log = open(FOLDER / "bubblewrap.log", "ab")  # noqa: SIM115
    launch.subprocess.Popen = _Popen  # type: ignore[attr-defined]


# --- What the daemon believes, and how long it waits ------------------------------------------------------------------


@removal
def frame_checks() -> None:
    frames.MOST_HEADER = frames.MOST_PAYLOAD = 1 << 40


@removal
def output_limit() -> None:
    session.MOST_WIRE_BYTES = 1 << 40


@removal
def time_limit() -> None:
    async def never(*_: object) -> None:
        return

    session.Session._time_out = never  # type: ignore[assignment, method-assign]


@removal
def force() -> None:
    """What cannot be interrupted is not ended."""
    session.GRACE_SECONDS = 1_000.0


@removal
def no_links() -> None:
    """The runner opens what a name leads to."""
    _runner("os.O_RDONLY | os.O_NOFOLLOW", "os.O_RDONLY")


@removal
def fresh_files() -> None:
    """The runner writes to whatever lies there under the name."""
    _runner("os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW", "os.O_WRONLY | os.O_CREAT")
    _runner("            os.unlink(path)", "            pass")


@removal
def regular_files() -> None:
    """The runner reads whatever it can open, and waits for a writer."""
    _runner("if not stat.S_ISREG(status.st_mode):", "if False:")


@removal
def clean_names() -> None:
    """The runner tells every name as it is, and the daemon takes it."""
    _runner("if not is_clean(entry.name)", "if False")
    frames.is_name = lambda name: True


@removal
def size_read() -> None:
    _runner("if status.st_size > most:", "if False:")


# --- Which session, and how often -------------------------------------------------------------------------------------


@removal
def call_ids() -> None:
    """Every request runs its code."""
    plain = calls.Calls.submit

    def submit(self: calls.Calls, call_id: str, code: str, *, attach_only: bool = False) -> calls.Call:
        return plain(self, f"{call_id}-{os.urandom(4).hex()}", code, attach_only=attach_only)

    calls.Calls.submit = submit  # type: ignore[method-assign]


@removal
def tenants() -> None:
    """Sessions go by thread alone."""

    def is_same(self: SessionKey, other: object) -> bool:
        return isinstance(other, SessionKey) and self.thread_id == other.thread_id

    def hashed(self: SessionKey) -> int:
        return hash(self.thread_id)

    SessionKey.__hash__ = hashed  # type: ignore[assignment, method-assign]
    SessionKey.__eq__ = is_same  # type: ignore[assignment, method-assign]


@removal
def sweeping() -> None:
    """Nothing is ended for its age or idleness."""

    async def sweep(self: pool.Pool) -> None:
        return

    pool.Pool.sweep = sweep  # type: ignore[method-assign]


@removal
def used_once() -> None:
    """A session that was closed is given to the next tenant."""
    kept: list[tuple[Any, int]] = []

    async def end(self: pool.Pool, held: pool.Held, why: str) -> None:
        if self.held.pop(held.key, None) is held:
            kept.append((held.session, held.slot))
            self._tell_freed()

    plain = pool.Pool._take

    async def take(self: pool.Pool, limits: Any) -> tuple[Any, int]:
        return kept.pop() if kept else await plain(self, limits)

    pool.Pool._end = end  # type: ignore[method-assign]
    pool.Pool._take = take  # type: ignore[method-assign]


@removal
def self_test() -> None:
    """The doctor finds all well."""
    from sandbox import doctor

    async def launcher_for(environment: Path, *_: object) -> tuple[Health, Launcher]:
        return Health(True), Launcher(environment)

    doctor.launcher_for = launcher_for  # type: ignore[assignment]
