"""What a sandbox is: sessions in which a model's Python runs, what goes into them and what comes out. Pure: no I/O.

A session belongs to a (tenant, thread). It lives in `sandboxd` (`sandbox.daemon`), which knows nothing else of
Holdfast; workers speak to it through `sandbox.client`.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

MIB = 1024 * 1024


@dataclass(frozen=True)
class SessionKey:
    """Whose session it is. Nothing of it is visible inside."""

    tenant_id: str
    thread_id: str


@dataclass(frozen=True)
class Limits:
    """What one session may use. Defaults are the installation's; a tenant's may only be lower."""

    memory_bytes: int = 1024 * MIB  # anonymous and tmpfs together
    data_bytes: int = 512 * MIB  # /mnt/data
    seconds: float = 120.0  # wall time of one execution
    text_bytes: int = 1 * MIB  # of one execution's output that is kept; head and tail
    sessions: int = 4  # of one tenant at once


class Reason(StrEnum):
    """How an execution ended. All but the first three end the session with it."""

    COMPLETED = "completed"
    TIMEOUT = "timeout"  # interrupted at the time limit; `restarted` if the session had to be ended for it
    INTERRUPTED = "interrupted"
    MEMORY = "memory"
    DISK = "disk"
    OUTPUT = "output"
    DIED = "died"


@dataclass(frozen=True)
class FileInfo:
    """A regular file below /mnt/data: its path from there, and its size. `modified` is in nanoseconds, the sandbox's
    own clock and word: only good to see a change."""

    name: str
    bytes: int
    modified: int = 0


@dataclass(frozen=True)
class Stdout:
    text: str


@dataclass(frozen=True)
class Stderr:
    text: str


@dataclass(frozen=True)
class Result:
    """The last expression's value, or what was displayed, as text."""

    text: str


@dataclass(frozen=True)
class Image:
    """A picture that was shown: PNG or JPEG by its first bytes, never decoded on this side."""

    mime: str
    data: bytes


@dataclass(frozen=True)
class Error:
    """An exception of the code, with its traceback as plain text."""

    name: str
    traceback: str


@dataclass(frozen=True)
class Done:
    """The last event of every execution. `changed`: the files that are new or other than before the execution.

    `restarted`: the session this execution ran in was ended; variables and files in it are gone. The next `open` makes
    a new one.
    """

    ok: bool
    reason: Reason
    restarted: bool = False
    changed: tuple[FileInfo, ...] = ()
    message: str = ""  # one sentence for the model where `reason` is not `completed`


Event = Stdout | Stderr | Result | Image | Error | Done


@dataclass(frozen=True)
class OpenedSession:
    """A session that stands ready. `generation` names this very session: another one of the same key has another.

    `files` are the inputs it has got with `put`, by the name they have there: {name: tag}.
    """

    generation: str
    is_new: bool
    files: dict[str, str]


@dataclass(frozen=True)
class Health:
    """Whether code can be run here now; if not, why, and what the operator is to do."""

    is_available: bool
    is_preparing: bool = False
    is_reached: bool = True  # False: the daemon does not answer; it may be starting again
    reason: str = ""
    remedy: str = ""
    tier: str = ""  # such as `bubblewrap`, `bubblewrap without /proc`
    notes: tuple[str, ...] = ()  # what is weaker than it could be, such as no cgroups
    sessions: int = 0

    @property
    def sentence(self) -> str:
        """For errors, the admin and the playground."""
        return f"{self.reason} {self.remedy}".strip()


class SandboxError(Exception):
    """The text is a whole sentence, which may be shown to the model and the caller."""


class SandboxUnavailable(SandboxError):
    """No code can be run: the sandbox is off, being prepared, or cannot be reached."""


class NoRoom(SandboxError):
    """Too many sessions are at work, of this tenant or on the whole host."""


class SessionGone(SandboxError):
    """The session of this generation is not there any more; nothing was run."""


class CallLost(SandboxError):
    """The connection or the session was lost while code ran. It may have run in part; it is not run again."""


class FileRefused(SandboxError):
    """A file cannot be put or read: too large for the session, no such file, not a regular file."""


class Sandbox(Protocol):
    """What `sandbox.client.RemoteSandbox` offers a worker."""

    async def open(self, key: SessionKey, limits: Limits) -> OpenedSession:
        """The session of this key, made if there is none. Raises SandboxUnavailable, NoRoom."""
        ...

    async def put(
        self, key: SessionKey, generation: str, name: str, pieces: AsyncIterator[bytes], size: int, tag: str = ""
    ) -> None:
        """Writes /mnt/data/<name>; folders are made. `tag` is remembered, as `OpenedSession.files` tells, and if it is
        not empty a symlink /mnt/data/<tag> leads to the file. Raises FileRefused, SessionGone."""
        ...

    def execute(
        self, key: SessionKey, generation: str, call_id: str, code: str, *, attach_only: bool = False
    ) -> AsyncIterator[Event]:
        """Runs code, at most once for this call id: a second call gets the same events again, and waits for the rest.

        Always ends with one `Done`. Several calls of one session run one after another, in the order they came.
        `attach_only`: nothing is begun. Raises SessionGone before the first event if nothing was begun, CallLost.
        """
        ...

    async def interrupt(self, key: SessionKey) -> None:
        """Ends what runs, as Ctrl-C does and by force two seconds later; nothing happens if nothing runs."""
        ...

    async def files(self, key: SessionKey, generation: str) -> list[FileInfo]:
        """The regular files below /mnt/data (symlinks are not followed), 1,000 at most. Raises SessionGone."""
        ...

    def read(self, key: SessionKey, generation: str, name: str, most: int) -> AsyncIterator[bytes]:
        """The bytes of /mnt/data/<name>. Raises FileRefused if it is no regular file or has more than `most`."""
        ...

    async def close(self, key: SessionKey) -> None:
        """Ends the session, with all that runs in it."""
        ...

    async def health(self) -> Health:
        """Never raises: a daemon that cannot be reached is a reason as well."""
        ...
