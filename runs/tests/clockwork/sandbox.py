"""Code that runs by the clock: at any moment it has come as far as its beginning was long ago, whoever follows it.

A line of code is one of

    print TEXT        sleep SECONDS        image NAME        write NAME TEXT

A session never ends, unless the file `gone` is put into the folder: then there is another one from then on.
"""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sandbox.protocol import (
    Done,
    Event,
    FileInfo,
    FileRefused,
    Health,
    Image,
    Limits,
    OpenedSession,
    Reason,
    SessionGone,
    SessionKey,
    Stdout,
)

FOLDER = "CLOCKWORK_FOLDER"
PNG = b"\x89PNG\r\n\x1a\n"
LOOK_SECONDS = 0.02


@dataclass(frozen=True)
class Clockwork:
    folder: Path

    # --- What tests ask and set ---------------------------------------------------------------------------------------

    def executions(self, thread_id: str) -> list[dict[str, Any]]:
        """Every beginning of code in this thread, in order: `call_id`, `code`, `at`."""
        with contextlib.suppress(FileNotFoundError):
            lines = (self.folder / f"{thread_id}.log").read_text().splitlines()
            return [json.loads(line) for line in lines]
        return []

    def interruptions(self, thread_id: str) -> int:
        return len(list(self.folder.glob(f"{thread_id}.*.interrupted")))

    def fail(self, reason: str) -> None:
        """No code can be run for this reason; empty: it can again."""
        (self.folder / "health").write_text(reason)

    # --- The sandbox's protocol ---------------------------------------------------------------------------------------

    async def open(self, key: SessionKey, limits: Limits) -> OpenedSession:
        return OpenedSession("gone" if (self.folder / "gone").exists() else "first", False, {})

    async def put(
        self, key: SessionKey, generation: str, name: str, pieces: AsyncIterator[bytes], size: int, tag: str = ""
    ) -> None:
        self._files(key).joinpath(name).write_bytes(b"".join([piece async for piece in pieces]))

    async def execute(
        self, key: SessionKey, generation: str, call_id: str, code: str, *, attach_only: bool = False
    ) -> AsyncIterator[Event]:
        call = self.folder / f"{key.thread_id}.{call_id.replace(':', '-')}"
        begun = call.with_suffix(call.suffix + ".begun")
        if not begun.exists():
            if attach_only or (generation == "first" and (self.folder / "gone").exists()):
                raise SessionGone("The session is gone.")
            at = time.time()
            with begun.open("x") as file:
                file.write(str(at))
            with (self.folder / f"{key.thread_id}.log").open("a") as log:
                log.write(json.dumps({"call_id": call_id, "code": code, "at": at}) + "\n")
        due = float(begun.read_text())
        interrupted = call.with_suffix(call.suffix + ".interrupted")
        changed = []
        for line in code.splitlines():
            word, _, rest = line.partition(" ")
            if word == "sleep":
                due += float(rest)
            while (now := time.time()) < due:
                if interrupted.exists():
                    yield Done(False, Reason.INTERRUPTED, message="The code was interrupted.")
                    return
                await asyncio.sleep(min(LOOK_SECONDS, due - now))
            if word == "print":
                yield Stdout(rest + "\n")
            elif word == "image":
                yield Image("image/png", PNG + rest.encode())
            elif word == "write":
                name, _, text = rest.partition(" ")
                self._files(key).joinpath(name).write_text(text)
                changed.append(FileInfo(name, len(text.encode()), 1))
        yield Done(True, Reason.COMPLETED, changed=tuple(changed))

    async def interrupt(self, key: SessionKey) -> None:
        for begun in self.folder.glob(f"{key.thread_id}.*.begun"):
            begun.with_suffix(".interrupted").touch()

    async def files(self, key: SessionKey, generation: str) -> list[FileInfo]:
        return [FileInfo(path.name, path.stat().st_size, 1) for path in sorted(self._files(key).iterdir())]

    async def read(self, key: SessionKey, generation: str, name: str, most: int) -> AsyncIterator[bytes]:
        try:
            yield self._files(key).joinpath(name).read_bytes()
        except FileNotFoundError:
            raise FileRefused("There is no such file.") from None

    async def close(self, key: SessionKey) -> None:
        return

    async def health(self) -> Health:
        with contextlib.suppress(FileNotFoundError):
            if reason := (self.folder / "health").read_text():
                return Health(is_available=False, reason=reason)
        return Health(is_available=True)

    def _files(self, key: SessionKey) -> Path:
        folder = self.folder / f"{key.thread_id}.files"
        folder.mkdir(exist_ok=True)
        return folder
