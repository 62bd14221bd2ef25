"""A sandbox in the test's own process: real sessions, generations and files, but no walls.

Code is Python that finds `files` ({name: bytes}), `touch(name)`, which makes a file look changed, `show(event)`, and
`die(reason)`, which ends its session.
"""

import itertools
import traceback
import zlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

from sandbox.protocol import (
    CallLost,
    Done,
    Error,
    Event,
    FileInfo,
    FileRefused,
    Health,
    Limits,
    OpenedSession,
    Reason,
    SandboxError,
    SessionGone,
    SessionKey,
    Stdout,
)


class Died(BaseException):
    pass


@dataclass
class Session:
    generation: str
    limits: Limits
    files: dict[str, bytes] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    written: dict[str, int] = field(default_factory=dict)  # how often code said that it wrote a file
    variables: dict[str, Any] = field(default_factory=dict)
    results: dict[str, list[Event]] = field(default_factory=dict)


class ScriptedSandbox:
    def __init__(self) -> None:
        self.sessions: dict[SessionKey, Session] = {}
        self.state = Health(is_available=True)
        self.refuses: list[SandboxError] = []  # by the next openings
        self.closed: list[SessionKey] = []
        self.interrupted: list[SessionKey] = []
        self.reads: list[str] = []
        self.puts: list[str] = []
        self.runs = 0
        self.cut_after: int | None = None  # events, after which the connection is lost
        self.before_execute: Callable[[], None] = lambda: None
        self._numbers = itertools.count(1)

    async def open(self, key: SessionKey, limits: Limits) -> OpenedSession:
        if self.refuses:
            raise self.refuses.pop(0)
        is_new = key not in self.sessions
        if is_new:
            self.sessions[key] = Session(f"generation-{next(self._numbers)}", limits)
        session = self.sessions[key]
        return OpenedSession(session.generation, is_new, dict(session.tags))

    async def put(
        self, key: SessionKey, generation: str, name: str, pieces: AsyncIterator[bytes], size: int, tag: str = ""
    ) -> None:
        session = self._session(key, generation)
        if sum(map(len, session.files.values())) + size > session.limits.data_bytes:
            raise FileRefused("There is no room for it.")
        content = b"".join([piece async for piece in pieces])
        assert len(content) == size
        session.files[name] = content
        session.tags[name] = tag
        self.puts.append(name)

    async def execute(
        self, key: SessionKey, generation: str, call_id: str, code: str, *, attach_only: bool = False
    ) -> AsyncIterator[Event]:
        self.before_execute()
        session = self._session(key, generation)
        if call_id not in session.results:
            session.results[call_id] = self._run(key, session, code)
        for number, event in enumerate(session.results[call_id]):
            if number == self.cut_after:
                raise CallLost("The connection to the sandbox was lost.")
            yield event

    def _run(self, key: SessionKey, session: Session, code: str) -> list[Event]:
        self.runs += 1
        events: list[Event] = []
        before = dict(session.files)

        def die(reason: str) -> None:
            raise Died(reason)

        session.variables |= {
            "files": session.files,
            "show": events.append,
            "print": lambda *values: events.append(Stdout(" ".join(map(str, values)) + "\n")),
            "die": die,
            "touch": lambda name: session.written.update({name: session.written.get(name, 0) + 1}),
        }
        try:
            exec(code, session.variables)
        except Died as death:
            del self.sessions[key]
            reason = Reason(str(death))
            return [*events, Done(False, reason, restarted=True, message=f"The session ended: {reason}.")]
        except BaseException as error:
            events.append(Error(type(error).__name__, "".join(traceback.format_exception_only(error))))
        changed = tuple(info for info in self._listed(session) if before.get(info.name) != session.files[info.name])
        failed = any(isinstance(event, Error) for event in events)
        return [*events, Done(not failed, Reason.COMPLETED, changed=changed)]

    async def interrupt(self, key: SessionKey) -> None:
        self.interrupted.append(key)

    async def files(self, key: SessionKey, generation: str) -> list[FileInfo]:
        return self._listed(self._session(key, generation))[:1_000]

    async def read(self, key: SessionKey, generation: str, name: str, most: int) -> AsyncIterator[bytes]:
        self.reads.append(name)
        content = self._session(key, generation).files.get(name)
        if content is None or len(content) > most:
            raise FileRefused("There is no such file.")
        for at in range(0, len(content), 1_000):
            yield content[at : at + 1_000]

    async def close(self, key: SessionKey) -> None:
        self.sessions.pop(key, None)
        self.closed.append(key)

    async def health(self) -> Health:
        return self.state

    def _session(self, key: SessionKey, generation: str) -> Session:
        session = self.sessions.get(key)
        if session is None or session.generation != generation:
            raise SessionGone("The session is gone.")
        return session

    @staticmethod
    def _listed(session: Session) -> list[FileInfo]:
        return [
            FileInfo(name, len(content), zlib.crc32(content) + session.written.get(name, 0))
            for name, content in sorted(session.files.items())
        ]
