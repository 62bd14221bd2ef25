"""One session: a sandbox with its runner, what is asked of it, and the end it comes to."""

import asyncio
import contextlib
import secrets
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor

from sandbox import frames, launch, watchdog
from sandbox.execution import Execution
from sandbox.frames import Header, Violation
from sandbox.launch import CannotLaunch, Launched, Launcher
from sandbox.protocol import (
    MIB,
    Done,
    Error,
    Event,
    FileInfo,
    FileRefused,
    Image,
    Limits,
    Reason,
    Result,
    SessionGone,
    Stderr,
    Stdout,
)

READY_SECONDS = 60.0
GRACE_SECONDS = 2.0  # between Ctrl-C and the end by force
PING_SECONDS = 5.0
REPLY_SECONDS = 30.0
MOST_WIRE_BYTES = 64 * MIB  # from the beginning of one execution to that of the next
FRAME_BYTES = 500  # what a frame counts beside its own: very many small ones keep the daemon busy as well
MOST_IMAGES = 20
MAGIC = {b"\x89PNG\r\n\x1a\n": "image/png", b"\xff\xd8\xff": "image/jpeg"}
PIECE = 256 * 1024
GONE = "The session is not there any more."
STATE_KEPT = "Variables and files are as it left them."
STATE_LOST = "Variables are lost; files are put back as they were after the last call that ended."

# The watchdogs' own threads: a look at what many processes share takes up to 0.1 s.
_lookers = ThreadPoolExecutor(4, thread_name_prefix="watchdog")


class Session:
    """A sandbox that is running. Make it with `start`; end it with `close`, which also ends what runs in it."""

    def __init__(self, launched: Launched, writer: asyncio.StreamWriter, limits: Limits, *, watched: bool) -> None:
        self.generation = secrets.token_hex(8)
        self._limits = limits
        self.started = time.monotonic()
        self.used = watchdog.Use(0, 0, 0)
        self._launched = launched
        self._writer = writer
        self._ended_for: Reason | None = None
        self._ended_because = ""
        self._running: Execution | None = None
        self._replies: dict[int, asyncio.Queue[tuple[Header, bytes]]] = {}
        self._count = 0
        self._wire_bytes = 0
        self._ready = asyncio.Event()
        self._gone = asyncio.Event()
        self._busy = asyncio.Event()
        self._transfer = asyncio.Lock()
        self._tasks: list[asyncio.Task[None]] = []
        self._is_watched = watched

    @classmethod
    async def start(cls, launcher: Launcher, limits: Limits, slot: int, *, preload: bool = False) -> "Session":
        """A sandbox whose runner answers. Raises CannotLaunch."""
        launched = await launch.launch(launcher, limits, slot, preload=preload)
        reader, writer = await asyncio.open_connection(sock=launched.socket, limit=2 * PIECE)
        session = cls(launched, writer, limits, watched=launcher.has("watchdog"))
        session._tasks = [asyncio.create_task(session._listen(reader)), asyncio.create_task(session._watch())]
        ready = asyncio.create_task(session._ready.wait())
        gone = asyncio.create_task(session._gone.wait())
        await asyncio.wait([ready, gone], timeout=READY_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        for task in (ready, gone):
            task.cancel()
        if not session._ready.is_set():
            await session.close()
            raise CannotLaunch("the sandbox was made, but Python did not start in it.")
        return session

    @property
    def is_alive(self) -> bool:
        return not self._gone.is_set() and self._ended_for is None

    @property
    def limits(self) -> Limits:
        """What it may use; a session that has waited gets those of its owner when it is claimed."""
        return self._limits

    @limits.setter
    def limits(self, limits: Limits) -> None:
        self._limits = limits
        if self._launched.cgroup is not None:
            self._launched.cgroup.limit(limits.memory_bytes)

    @property
    def is_busy(self) -> bool:
        return self._running is not None

    @property
    def init(self) -> int:
        """The host's number of the sandbox's pid 1."""
        return self._launched.init

    @property
    def memory_bytes(self) -> int:
        """As last looked at: within a quarter of a second while it is busy, within two seconds else."""
        return self.used.memory

    # --- What is asked of it ----------------------------------------------------------------------------------------

    async def execute(self, code: str, seconds: float | None = None) -> AsyncIterator[Event]:
        """Runs code, for `seconds` or as long as its limits allow; the last event is a `Done`, whatever happens.

        One at a time. Raises SessionGone.
        """
        seconds = self.limits.seconds if seconds is None else seconds
        assert self._running is None, "one execution at a time"
        if not self.is_alive or not await self.answers():
            self.end()
            raise SessionGone(GONE)
        self._count += 1
        running = self._running = Execution(self._count, self.limits)
        self._wire_bytes = 0
        self._busy.set()
        timer = asyncio.create_task(self._time_out(seconds))
        try:
            self._send({"op": "exec", "id": running.number}, code.encode("utf-8", "replace"))
            while (event := await running.events.get()) is not None:
                yield event
                if isinstance(event, Done):
                    return
            if rest := running.texts.rest():
                yield Stdout(rest)
            yield self._end_of(running, seconds)
        finally:
            timer.cancel()
            self._running = None
            self._busy.clear()

    async def answers(self) -> bool:
        """Whether the runner listens, and runs nothing. Code that has forged its `done` is found out here: it runs."""
        try:
            answer, _ = await self._ask({"op": "ping"}, seconds=PING_SECONDS)
        except SessionGone:
            return False
        return answer.get("busy") is False

    async def put(self, name: str, pieces: AsyncIterator[bytes], tag: str = "") -> None:
        """Writes /mnt/data/<name>. Raises FileRefused, SessionGone."""
        if not frames.is_name(name) or (tag and ("/" in tag or not frames.is_name(tag))):
            raise FileRefused("This is no name for a file.")
        async with self._transfer:
            self._refuse(name, await self._ask({"op": "put", "name": name}))
            try:
                async for piece in pieces:
                    for at in range(0, len(piece), PIECE):
                        self._refuse(name, await self._ask({"op": "more"}, piece[at : at + PIECE]))
            except BaseException:
                with contextlib.suppress(SessionGone):
                    self._send({"op": "drop"})  # half a file is none
                raise
            self._refuse(name, await self._ask({"op": "end", "tag": tag}))

    async def files(self) -> list[FileInfo]:
        """The regular files below /mnt/data, 1,000 at most. Raises SessionGone."""
        async with self._transfer:
            _, payload = await self._ask({"op": "list"})
        try:
            return list(frames.files(payload))
        except Violation as violation:
            self._violated(violation)
            raise SessionGone(GONE) from None

    async def read(self, name: str, most: int) -> AsyncIterator[bytes]:
        """The bytes of /mnt/data/<name>. Raises FileRefused, SessionGone."""
        if not frames.is_name(name):
            raise FileRefused("This is no name for a file.")
        async with self._transfer:
            number, replies = self._open_request()
            left = most
            try:
                self._send({"op": "get", "id": number, "name": name, "most": most})
                while True:
                    header, payload = await self._reply(replies)
                    if "data" not in header:
                        self._refuse(name, (header, payload))
                        return
                    left -= len(payload)
                    if left < 0:
                        self._violated(Violation("more bytes than were asked for"))
                        raise SessionGone(GONE)
                    yield payload
            finally:
                del self._replies[number]

    async def interrupt(self, reason: Reason = Reason.INTERRUPTED) -> None:
        """Ends what runs as Ctrl-C does, and with the session if that does not help within two seconds."""
        running = self._running
        if running is None or running.interrupted_for is not None:
            return
        running.interrupted_for = reason
        with contextlib.suppress(SessionGone):
            self._send({"op": "interrupt"})
        await asyncio.sleep(GRACE_SECONDS)
        if self._running is running:
            self.end(reason)

    def end(self, reason: Reason = Reason.DIED, because: str = "") -> None:
        """Ends everything in it at once; who waits for it is told this reason."""
        if self._ended_for is None:
            self._ended_for, self._ended_because = reason, because
        self._launched.kill()

    async def close(self) -> None:
        """Ends it, and waits until nothing of it is left."""
        self.end(because="The session was closed while the code ran.")
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._end()
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()
        await asyncio.to_thread(self._launched.reap)

    # --- What it says -----------------------------------------------------------------------------------------------

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        try:
            while True:
                header, payload, size = await frames.read(reader)
                await self._take(header, payload, size)
        except (asyncio.IncompleteReadError, OSError):
            pass
        except Violation as violation:
            self._violated(violation)
        finally:
            cgroup = self._launched.cgroup
            if cgroup is not None and cgroup.was_out_of_memory:
                self.end(Reason.MEMORY)
            self.end()
            self._end()

    async def _take(self, header: Header, payload: bytes, size: int) -> None:
        if "re" in header or "data" in header:
            number = frames.number(header, "re" if "re" in header else "data", 2**31)
            replies = self._replies.get(number)
            if replies is None:
                raise Violation("an answer to no question")
            await replies.put((header, payload))
            return
        kind = frames.text(header, "event")
        if kind == "ready":
            self._ready.set()
            return
        self._wire_bytes += size + FRAME_BYTES
        if self._wire_bytes > MOST_WIRE_BYTES:
            self.end(Reason.OUTPUT)
            return
        running = self._running
        if running is None:
            return  # a thread of the code that prints when nothing runs; nobody is there to hear it
        if kind == "done" and self._ends_beyond_its_limits():
            return
        for event in self._events_of(running, kind, header, payload):
            await running.events.put(event)

    def _events_of(self, running: Execution, kind: str, header: Header, payload: bytes) -> list[Event]:
        if kind == "image":
            return self._image(running, frames.text(header, "mime"), payload)
        if kind == "done":
            if frames.number(header, "id", 2**31) != running.number:
                raise Violation("the end of another execution")
            rest = running.texts.rest()
            return [*([Stdout(rest)] if rest else []), self._done(running, header, payload)]
        text = running.texts.take(payload.decode("utf-8", "replace"))
        if not text:
            return []
        match kind:
            case "stdout":
                return [Stdout(text)]
            case "stderr":
                return [Stderr(text)]
            case "result":
                return [Result(text)]
            case "error":
                return [Error(frames.text(header, "name"), text)]
        raise Violation(f"an event {kind!r:.40}")

    def _image(self, running: Execution, mime: str, payload: bytes) -> list[Event]:
        found = next((known for magic, known in MAGIC.items() if payload.startswith(magic)), None)
        if found is None or found != mime:
            return []
        running.images += 1
        if running.images > MOST_IMAGES:
            more = f"[Only the first {MOST_IMAGES} pictures are shown.]\n"
            return [Stdout(more)] if running.images == MOST_IMAGES + 1 else []
        return [Image(found, payload)]

    def _done(self, running: Execution, header: Header, payload: bytes) -> Done:
        ok = header.get("ok") is True
        changed = frames.files(payload)
        if running.interrupted_for is None:
            return Done(ok, Reason.COMPLETED, changed=changed)
        message = f"The code was interrupted. {STATE_KEPT}"
        if running.interrupted_for == Reason.TIMEOUT:
            message = f"The code took longer than the time limit, and was interrupted. {STATE_KEPT}"
        return Done(False, running.interrupted_for, changed=changed, message=message)

    def _end_of(self, running: Execution, seconds: float) -> Done:
        """The last event of code with which its session ended."""
        reason = self._ended_for or Reason.DIED
        words = {
            Reason.TIMEOUT: f"The code took longer than {seconds:g} seconds, could not be interrupted, and was ended.",
            Reason.INTERRUPTED: "The code could not be interrupted, and was ended.",
            Reason.OUTPUT: f"The code wrote more than {MOST_WIRE_BYTES // MIB} MiB, and was ended.",
            Reason.DIED: "Python ended while the code ran: it crashed, or the code ended it.",
        }
        said = self._ended_because or words.get(reason) or watchdog.in_words(reason, self.limits)
        return Done(False, reason, restarted=True, message=f"{said} {STATE_LOST}")

    def _violated(self, violation: Violation) -> None:
        self.end(Reason.DIED, f"The code disturbed the sandbox's own channel ({violation}), and was ended.")

    def _end(self) -> None:
        """Nothing more will come: whoever waits is told."""
        self._gone.set()
        for replies in self._replies.values():
            with contextlib.suppress(asyncio.QueueFull):
                replies.put_nowait(({"error": "gone", "gone": True}, b""))
        if self._running is not None:
            events = self._running.events
            if events.full():
                events.get_nowait()
            events.put_nowait(None)

    # --- Limits -----------------------------------------------------------------------------------------------------

    async def _time_out(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        await self.interrupt(Reason.TIMEOUT)

    async def _watch(self) -> None:
        """Looks after what it uses, as long as it lives; from the beginning of an execution on more often."""
        loop = asyncio.get_running_loop()
        while self.is_alive:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._busy.wait(), watchdog.IDLE_SECONDS)
                await asyncio.sleep(watchdog.BUSY_SECONDS)
            if self.is_alive:
                self._judge(await loop.run_in_executor(_lookers, watchdog.look, self.init, self.limits))

    def _ends_beyond_its_limits(self) -> bool:
        """Looks at what it uses, and ends it if that is more than it may; whether it is."""
        return self._judge(watchdog.look(self.init, self.limits))

    def _judge(self, use: watchdog.Use) -> bool:
        self.used = use
        reason = self.used.beyond(self.limits) if self._is_watched else None
        if reason is not None:
            self.end(reason)
        return reason is not None

    # --- Means ------------------------------------------------------------------------------------------------------

    def _send(self, header: Header, payload: bytes = b"") -> None:
        if not self.is_alive:
            raise SessionGone(GONE)
        self._writer.write(frames.pack(header, payload))

    def _open_request(self) -> tuple[int, "asyncio.Queue[tuple[Header, bytes]]"]:
        self._count += 1
        self._replies[self._count] = asyncio.Queue(16)
        return self._count, self._replies[self._count]

    async def _ask(self, header: Header, payload: bytes = b"", seconds: float = REPLY_SECONDS) -> tuple[Header, bytes]:
        """Raises SessionGone, also if there is no answer in this time: that ends the session."""
        number, replies = self._open_request()
        try:
            self._send({**header, "id": number}, payload)
            await self._writer.drain()
            return await self._reply(replies, seconds)
        except OSError:
            raise SessionGone(GONE) from None
        finally:
            del self._replies[number]

    async def _reply(
        self, replies: "asyncio.Queue[tuple[Header, bytes]]", seconds: float = REPLY_SECONDS
    ) -> tuple[Header, bytes]:
        try:
            header, payload = await asyncio.wait_for(replies.get(), seconds)
        except TimeoutError:
            self.end(Reason.DIED)
            raise SessionGone(GONE) from None
        if header.get("gone") is True:
            raise SessionGone(GONE)
        return header, payload

    @staticmethod
    def _refuse(name: str, reply: tuple[Header, bytes]) -> None:
        if "error" in reply[0]:
            raise FileRefused(f"'{name}': {frames.text(reply[0], 'error')}.")
