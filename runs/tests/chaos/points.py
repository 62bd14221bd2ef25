"""Named points in the work of a worker or a web process at which it can be made to die or to freeze.

The product knows nothing of them: `install_worker` and `install_web` wrap its functions in a process that the suite has
launched. The driver *arms* a process by writing a file; the process that reaches the armed point for the n-th time
renames that file, so that its successor does not meet the same fate, and sends itself the signal.

A point named after something done (`finished`) is right behind the commit, when nothing has been told yet.
"""

import functools
import json
import os
import signal
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

How = Literal["process", "group", "freeze"]

WORKER_POINTS = {
    "claimed": "a fresh run was claimed",
    "claimed again": "a run of a dead worker was claimed",
    "claimed with outputs": "a run was claimed whose tool outputs were submitted",
    "first token": "the model's first words came, nothing is stored",
    "before message opened": "message and step are about to be stored",
    "message opened": "message and step were stored",
    "mid-text": "somewhere in the model's words",
    "message closed": "the text before calls was stored",
    "calls opened": "the step for calls was stored",
    "mid-arguments": "somewhere in a call's arguments",
    "before calls recorded": "calls are whole and not stored",
    "calls recorded": "calls were stored, the run waits for its caller",
    "calls answered": "calls of an unknown tool were stored with our answer",
    "before finish": "the model's answer is whole and not stored",
    "inside finish": "in the transaction that ends the run",
    "finished": "the run was completed",
    "failed": "the run was failed",
    "before cancelled": "a cancelled run is about to end",
    "cancelled": "a cancelled run has ended",
    "taking up": "in the transaction that takes a run from a dead worker",
    "taken up": "a run was taken from a dead worker",
}
DRAIN_POINTS = {
    "before hand-back": "a stopping worker is about to hand a run back",
    "handed back": "a stopping worker has handed a run back",
    "before requeue": "runs were handed back and told, not put into the queue",
}
WEB_POINTS = {
    "created": "a run was created",
    "announced": "a run was created and told, not put into the queue",
    "outputs submitted": "tool outputs were stored",
    "outputs told": "tool outputs were stored and told, the run was not put into the queue",
    "cancelling": "a held run was marked as cancelling, its worker does not know",
    "cancelled by web": "a run that nobody held was cancelled",
    "mid-stream": "somewhere in serving a stream",
}


@dataclass(frozen=True)
class Arm:
    """What is to happen: at the `nth` time that `point` is reached, to the process alone or to its whole group."""

    point: str
    nth: int
    how: How

    def write(self, file: Path) -> None:
        draft = file.with_suffix(".draft")
        draft.write_text(json.dumps(asdict(self)))
        draft.rename(file)


@dataclass(frozen=True)
class Fired:
    arm: Arm
    pid: int


def armed_file(folder: Path, member: str) -> Path:
    return folder / f"{member}.armed"


def fired(folder: Path, member: str) -> Fired | None:
    """What has happened to this member since the last call."""
    for file in folder.glob(f"{member}.fired-*"):
        arm = Arm(**json.loads(file.read_text()))
        file.unlink()
        return Fired(arm, int(file.name.rpartition("-")[2]))
    return None


class _Watch:
    """The armed point of this process, as the driver's file says at this moment."""

    def __init__(self, folder: Path, member: str) -> None:
        self._folder, self._member = folder, member
        self._file = armed_file(folder, member)
        self._lock = threading.Lock()
        self._read_at = 0
        self._arm: Arm | None = None
        self._times = 0

    def reach(self, point: str) -> None:
        with self._lock:
            arm = self._look()
            if arm is None or arm.point != point:
                return
            self._times += 1
            if self._times < arm.nth:
                return
            self._arm = None
            try:
                os.rename(self._file, self._folder / f"{self._member}.fired-{os.getpid()}")
            except FileNotFoundError:
                return  # disarmed this very moment
            if arm.how == "process":
                os.kill(os.getpid(), signal.SIGKILL)
            os.killpg(0, signal.SIGKILL if arm.how == "group" else signal.SIGSTOP)

    def _look(self) -> Arm | None:
        try:
            changed = self._file.stat().st_mtime_ns
        except FileNotFoundError:
            self._arm, self._read_at = None, 0
            return None
        if changed != self._read_at:
            try:
                self._arm = Arm(**json.loads(self._file.read_text()))
            except FileNotFoundError:
                return None
            self._read_at, self._times = changed, 0
        return self._arm


Reach = Callable[[str], None]
_inside = threading.local()


def _before(reach: Reach, owner: Any, name: str, point: str, when: Callable[..., bool] | None = None) -> None:
    original = getattr(owner, name)

    @functools.wraps(original)
    def wrapped(*args: Any, **options: Any) -> Any:
        if when is None or when(*args, **options):
            reach(point)
        return original(*args, **options)

    setattr(owner, name, wrapped)


def _after(reach: Reach, owner: Any, name: str, point_of: str | Callable[[Any], str]) -> None:
    original = getattr(owner, name)

    @functools.wraps(original)
    def wrapped(*args: Any, **options: Any) -> Any:
        result = original(*args, **options)
        if point := point_of if isinstance(point_of, str) else point_of(result):
            reach(point)
        return result

    setattr(owner, name, wrapped)


def install_worker(folder: Path, member: str) -> None:
    from runs import engine, events, holding, recovery
    from runs.execution import Execution

    reach = _Watch(folder, member).reach

    def kind_of_claim(found: Any) -> str:
        if found is None:
            return ""
        if found[0].attempt > 1:
            return "claimed again"
        return "claimed with outputs" if found[0].turns else "claimed"

    _after(reach, holding, "claim", kind_of_claim)
    _before(reach, Execution, "take_text", "first token", lambda self, turn, text: bool(text) and turn.message is None)
    _before(reach, Execution, "take_text", "mid-text", lambda self, turn, text: turn.message is not None)
    _before(reach, Execution, "tell_growth", "mid-arguments")
    _before(reach, holding, "open_message", "before message opened")
    _after(reach, holding, "open_message", "message opened")
    _after(reach, holding, "close_message", "message closed")
    _after(reach, holding, "open_calls", "calls opened")
    _before(reach, holding, "wait_for_outputs", "before calls recorded")
    _after(reach, holding, "wait_for_outputs", "calls recorded")
    _after(reach, holding, "complete_calls", "calls answered")
    _before(reach, holding, "finish", "before finish")
    _after(reach, holding, "_close_message", "inside finish")
    _after(reach, holding, "finish", "finished")
    _after(reach, holding, "fail", "failed")
    _before(reach, holding, "finish_cancelled", "before cancelled")
    _after(reach, holding, "finish_cancelled", "cancelled")
    _before(reach, holding, "hand_back", "before hand-back")
    _after(reach, holding, "hand_back", "handed back")
    _before(reach, engine, "enqueue_run", "before requeue")
    _after(reach, recovery, "_take_from_dead", "taking up")
    _before(reach, events, "append", "taken up", lambda *_, wait=True, **__: not wait)


def install_web(folder: Path, member: str) -> None:
    from assistant_site import valkey
    from runs import actions, events, following

    reach = _Watch(folder, member).reach

    def doing(*names: str) -> bool:
        return getattr(_inside, "name", "") in names

    for action in ("submit_tool_outputs", "cancel_run", "start_run"):
        _note_inside(actions, action)
    _before(reach, actions, "announce", "created")
    _before(reach, actions, "enqueue_run", "announced", lambda *_: doing("start_run"))
    _before(reach, actions, "enqueue_run", "outputs told", lambda *_: doing("submit_tool_outputs"))
    _before(reach, events, "append", "outputs submitted", lambda *_, **__: doing("submit_tool_outputs"))
    _before(reach, events, "append", "cancelled by web", lambda *_, **__: doing("cancel_run"))
    _before(reach, valkey, "tell_workers_to_stop", "cancelling")
    _before(reach, following.Reader, "next", "mid-stream")


def _note_inside(owner: Any, name: str) -> None:
    original = getattr(owner, name)

    @functools.wraps(original)
    def wrapped(*args: Any, **options: Any) -> Any:
        _inside.name = name
        try:
            return original(*args, **options)
        finally:
            _inside.name = ""

    setattr(owner, name, wrapped)
