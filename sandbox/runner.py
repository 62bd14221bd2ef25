"""Runs inside the sandbox: carries code out on IPython's core, and speaks frames over the one socket it was given.

A single file, which needs only the standard library and IPython. Nothing that comes from here is trusted on the other
side (`sandbox.frames`). A frame: the header's length as four bytes, a JSON header with the payload's length in
`bytes`, the payload.
"""

import codecs
import contextlib
import fcntl
import io
import json
import os
import queue
import select
import signal
import socket
import stat
import struct
import subprocess
import sys
import threading
import time
import types
from typing import Any

DATA = "/mnt/data"
PIECE = 256 * 1024
MOST_FILES = 1_000
MOST_DEPTH = 8
MOST_IMAGE_BYTES = 8 * 1024 * 1024
MOST_TRACEBACK = 64 * 1024
PIPE_BYTES = 1024 * 1024
COALESCE_SECONDS = 0.005  # lines that come one by one are told together
INTERRUPT_SECONDS = 2.5
INTERRUPT_EVERY_SECONDS = 0.3  # subprocess.run waits 0.25 for its child's own end
POLITE_ATTEMPTS = 3


class Whole:
    """A lock whose holder is not interrupted, for half a frame would end the session: an interrupt waits until it
    leaves. `is_wanted` says whether interrupts are for the code that runs."""

    def __init__(self) -> None:
        self.is_wanted = False
        self._main = threading.main_thread().ident
        self._depth = 0
        self._waits = False
        self.renew()

    def renew(self) -> None:
        """In a forked child, where nobody would give the lock back."""
        self._lock = threading.RLock()

    def __enter__(self) -> None:
        if threading.get_ident() == self._main:
            self._depth += 1
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()
        if threading.get_ident() == self._main:
            self._depth -= 1
            if self._waits and not self._depth:
                self.interrupt()

    def interrupt(self) -> None:
        """Raises KeyboardInterrupt: now, or when the main thread has left."""
        self._waits = self._depth > 0
        if self.is_wanted and not self._waits:
            raise KeyboardInterrupt


class Wire:
    """The socket to the daemon. Frames of several threads do not mix."""

    def __init__(self, handle: socket.socket) -> None:
        self.whole = Whole()
        self.is_ours = True
        self._socket = handle
        self._in = handle.makefile("rb", buffering=PIECE)

    def send(self, header: dict[str, Any], payload: bytes = b"") -> None:
        head = json.dumps({**header, "bytes": len(payload)}).encode()
        if self.is_ours:
            with self.whole:
                self._socket.sendall(struct.pack(">I", len(head)) + head + payload)

    def leave(self) -> None:
        """In a forked child: the channel is its parent's."""
        self.is_ours = False
        self.whole.renew()
        self._socket.close()

    def receive(self) -> tuple[dict[str, Any], bytes]:
        """Raises EOFError when the daemon has gone."""
        header = json.loads(self._exactly(struct.unpack(">I", self._exactly(4))[0]))
        return header, self._exactly(header["bytes"])

    def _exactly(self, count: int) -> bytes:
        data = self._in.read(count) if count else b""
        if len(data) < count:
            raise EOFError
        return data


class Capture:
    """What is written to descriptors 1 and 2 by Python, C code and child processes, in one order, as text events."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._read, write = os.pipe()
        with contextlib.suppress(OSError):
            fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        os.set_blocking(self._read, False)
        os.dup2(write, 1)
        os.dup2(write, 2)
        os.close(write)
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        for name, number in (("stdout", 1), ("stderr", 2)):
            raw = io.FileIO(number, "w", closefd=False)
            stream = io.TextIOWrapper(io.BufferedWriter(raw, 8192), encoding="utf-8", errors="replace")
            stream.reconfigure(line_buffering=True)
            setattr(sys, name, stream)
            setattr(sys, f"__{name}__", stream)
        threading.Thread(target=self._pump, daemon=True, name="output").start()

    def _pump(self) -> None:
        while True:
            select.select([self._read], [], [])
            time.sleep(COALESCE_SECONDS)
            self.drain(once=True)

    def drain(self, *, once: bool = False) -> None:
        """Sends what has been written so far: all of it, or one piece at most."""
        with self._wire.whole:
            while self._wire.is_ours:
                try:
                    data = os.read(self._read, PIECE)
                except BlockingIOError:
                    return
                if text := self._decoder.decode(data):
                    self._wire.send({"event": "stdout"}, text.encode("utf-8", "replace"))
                if once:
                    return

    def flush(self) -> None:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):
                stream.flush()
        self.drain()


def changed_files(before: dict[str, tuple[int, int]]) -> tuple[dict[str, tuple[int, int]], list[dict[str, Any]]]:
    """The regular files there are now, and those of them that are new or other than before."""
    now: dict[str, tuple[int, int]] = {}
    walk(DATA, "", now, MOST_DEPTH)
    return now, [
        {"name": name, "bytes": size, "modified": modified}
        for name, (size, modified) in now.items()
        if before.get(name) != (size, modified)
    ]


def walk(folder: str, prefix: str, found: dict[str, tuple[int, int]], depth: int) -> None:
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError:
        return
    for entry in entries:
        if len(found) >= MOST_FILES:
            return
        name = prefix + entry.name
        if not is_clean(entry.name) or entry.name in ("__pycache__", ".ipynb_checkpoints"):
            continue
        with contextlib.suppress(OSError):
            status = entry.stat(follow_symlinks=False)
            if stat.S_ISREG(status.st_mode):
                found[name] = status.st_size, status.st_mtime_ns
            elif stat.S_ISDIR(status.st_mode) and depth > 1:
                walk(os.path.join(folder, entry.name), name + "/", found, depth - 1)


def is_clean(name: str) -> bool:
    return name.isprintable() and len(name.encode("utf-8", "surrogatepass")) <= 255


class Files:
    """Files that are put in and taken out, one at a time, by the control thread."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._handle: int | None = None
        self._name = ""

    def begin(self, name: str) -> None:
        self.drop()
        path = os.path.join(DATA, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with contextlib.suppress(FileNotFoundError):  # never through a link that the code may have left
            os.unlink(path)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        self._handle, self._name = os.open(path, flags, 0o644), name

    def write(self, data: bytes) -> None:
        assert self._handle is not None
        view = memoryview(data)
        while view:
            view = view[os.write(self._handle, view) :]

    def end(self, tag: str) -> None:
        assert self._handle is not None
        os.close(self._handle)
        self._handle = None
        if tag and tag != self._name:
            link = os.path.join(DATA, tag)
            with contextlib.suppress(FileNotFoundError):
                os.unlink(link)
            os.symlink(self._name, link)

    def drop(self) -> None:
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None
            with contextlib.suppress(OSError):
                os.unlink(os.path.join(DATA, self._name))

    def read(self, re: int, name: str, most: int) -> None:
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        handle = os.open(os.path.join(DATA, name), flags)
        try:
            status = os.fstat(handle)
            if not stat.S_ISREG(status.st_mode):
                raise OSError("it is not a regular file")
            if status.st_size > most:
                raise OSError(f"it has {status.st_size} bytes")
            left = most
            while left > 0 and (data := os.read(handle, min(PIECE, left))):
                left -= len(data)
                self._wire.send({"data": re}, data)
        finally:
            os.close(handle)


class Runner:
    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self.capture = Capture(wire)
        self.work: queue.SimpleQueue[tuple[int, str]] = queue.SimpleQueue()
        self.files = Files(wire)
        self.known: dict[str, tuple[int, int]] = {}
        self.running = 0  # the number of the code that runs
        self.attempts = 0  # at interrupting it
        self.code = ""
        os.register_at_fork(after_in_child=wire.leave)
        self.shell = make_shell(self)

    # --- The control thread -----------------------------------------------------------------------------------------

    def control(self) -> None:
        try:
            while True:
                header, payload = self.wire.receive()
                self.obey(header, payload)
        except BaseException:
            os._exit(0)  # the daemon is gone, or our memory is

    def obey(self, header: dict[str, Any], payload: bytes) -> None:
        op, re = header["op"], header.get("id", 0)
        if op == "exec":
            self.work.put((re, payload.decode("utf-8", "replace")))
            return
        if op == "drop":
            self.files.drop()
            return
        if op == "interrupt":
            threading.Thread(target=self.interrupt, args=(self.running,), daemon=True, name="interrupt").start()
            return
        try:
            answer: dict[str, Any] = {"busy": self.running != 0} if op == "ping" else {}
            reply = b""
            if op == "put":
                self.files.begin(header["name"])
            elif op == "more":
                self.files.write(payload)
            elif op == "end":
                self.files.end(header["tag"])
                self.known, _ = changed_files(self.known)
            elif op == "get":
                self.files.read(re, header["name"], header["most"])
            elif op == "list":
                now, _ = changed_files({})
                reply = json.dumps([{"name": n, "bytes": s, "modified": m} for n, (s, m) in now.items()]).encode()
        except OSError as error:
            if op in ("more", "end"):
                self.files.drop()
            answer = {"error": (error.strerror or str(error))[:300]}
        except AssertionError:
            answer = {"error": "no file is being written"}
        self.wire.send({"re": re, **answer}, reply)

    def interrupt(self, number: int) -> None:
        """As Ctrl-C does, and again while the code catches it and goes on."""
        until = time.monotonic() + INTERRUPT_SECONDS
        while number and self.running == number and self.wire.whole.is_wanted and time.monotonic() < until:
            self.attempts += 1
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
            time.sleep(INTERRUPT_EVERY_SECONDS)

    # --- The main thread --------------------------------------------------------------------------------------------

    def serve(self) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        while True:
            re, code = self.work.get()
            self.execute(re, code)

    def execute(self, re: int, code: str) -> None:
        os.makedirs(DATA, exist_ok=True)
        self.code = code
        ok = interrupted = False
        try:
            self.running, self.attempts = re, 0
            signal.signal(signal.SIGINT, self.interrupted)
            self.wire.whole.is_wanted = True
            result = self.shell.run_cell(code, store_history=False)
            ok = bool(result.success)
            interrupted = isinstance(result.error_in_exec, KeyboardInterrupt)
        except KeyboardInterrupt:
            interrupted = True
        except BaseException as error:
            self.tell_error(type(error).__name__, f"{type(error).__name__}: {error}")
        finally:
            self.ended()
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        self.capture.flush()
        self.known, changed = changed_files(self.known)
        payload = json.dumps(changed).encode()
        self.running = 0
        self.wire.send({"event": "done", "id": re, "ok": ok, "interrupted": interrupted}, payload)

    def interrupted(self, number: int, frame: types.FrameType | None) -> None:
        if self.attempts > POLITE_ATTEMPTS and self.wire.whole.is_wanted:
            # The code catches it. The line that it goes on with raises it again.
            sys.settrace(raise_again)
            while frame and f"{os.sep}IPython{os.sep}" not in frame.f_code.co_filename:
                frame.f_trace = None if frame.f_code.co_filename == __file__ else raise_again
                frame = frame.f_back
        self.wire.whole.interrupt()

    def ended(self) -> None:
        """The code has come to its end, or to an error that is told now: it is not interrupted any more."""
        self.wire.whole.is_wanted = False
        sys.settrace(None)

    def tell_error(self, name: str, traceback: str) -> None:
        self.capture.flush()
        if len(traceback) > MOST_TRACEBACK:
            half = MOST_TRACEBACK // 2
            traceback = f"{traceback[:half]}\n...\n{traceback[-half:]}"
        self.wire.send({"event": "error", "name": name[:200]}, traceback.encode("utf-8", "replace"))

    def tell_display(self, data: dict[str, Any]) -> None:
        """What was shown: a picture if it is one, else its text."""
        self.capture.flush()
        for mime in ("image/png", "image/jpeg"):
            picture = data.get(mime)
            if isinstance(picture, str):
                import base64

                with contextlib.suppress(ValueError):
                    picture = base64.b64decode(picture)
            if isinstance(picture, bytes):
                if len(picture) <= MOST_IMAGE_BYTES:
                    self.wire.send({"event": "image", "mime": mime}, picture)
                else:
                    text = f"[A picture of {len(picture)} bytes is too large to be shown; save it as a file.]\n"
                    self.wire.send({"event": "stdout"}, text.encode())
                return
        if (text := data.get("text/plain")) is not None:
            for at in range(0, len(text), PIECE):
                self.wire.send({"event": "result"}, str(text)[at : at + PIECE].encode("utf-8", "replace"))
            self.wire.send({"event": "result"}, b"\n")


def raise_again(frame: types.FrameType, event: str, argument: Any) -> Any:
    """As a trace function: an interrupt in the next line that is not ours."""
    if frame.f_code.co_filename == __file__:
        return None
    if event == "line":
        raise KeyboardInterrupt
    return raise_again


def hide_ours(error: BaseException | None) -> None:
    """Takes this file out of the tracebacks of an error and of those it followed."""
    for _ in range(20):
        if error is None:
            return
        error.__traceback__ = without_ours(error.__traceback__)
        error = error.__cause__ or error.__context__


def without_ours(traceback: types.TracebackType | None) -> types.TracebackType | None:
    kept = []
    while traceback:
        if traceback.tb_frame.f_code.co_filename != __file__:
            kept.append(traceback)
        traceback = traceback.tb_next
    following = None
    for each in reversed(kept):
        following = types.TracebackType(following, each.tb_frame, each.tb_lasti, each.tb_lineno)
    return following


def make_shell(runner: Runner) -> Any:
    from IPython.core.displayhook import DisplayHook
    from IPython.core.displaypub import DisplayPublisher
    from IPython.core.interactiveshell import InteractiveShell

    class Publisher(DisplayPublisher):
        def publish(self, data: Any, *arguments: Any, **options: Any) -> None:
            runner.tell_display(data)

        def clear_output(self, wait: bool = False) -> None:
            return

    class Hook(DisplayHook):
        def write_output_prompt(self) -> None:
            return

        def write_format_data(self, format_dict: Any, md_dict: Any = None) -> None:
            runner.tell_display(format_dict)

        def finish_displayhook(self) -> None:
            return

        def quiet(self) -> bool:
            """A semicolon at the end hides the last value, as in a notebook; there is no history to look it up in."""
            with contextlib.suppress(Exception):  # magics are no Python
                return bool(self.semicolon_at_end_of_expression(runner.code))
            return False

    class Shell(InteractiveShell):  # type: ignore[misc]
        def showtraceback(self, exc_tuple: Any = None, *arguments: Any, **options: Any) -> None:
            runner.ended()
            with contextlib.suppress(ValueError):
                kind, error, _ = self._get_exc_info(exc_tuple)
                hide_ours(error)
                exc_tuple = kind, error, error.__traceback__
            super().showtraceback(exc_tuple, *arguments, **options)

        def _showtraceback(self, etype: Any, evalue: Any, stb: Any) -> None:
            runner.tell_error(getattr(etype, "__name__", "Error"), "\n".join(str(line) for line in stb))

        def system(self, command: str) -> None:
            sys.stdout.flush()
            done = subprocess.run(self.var_expand(command, depth=1), shell=True, stdin=subprocess.DEVNULL, check=False)
            self.user_ns["_exit_code"] = done.returncode

        system_piped = system_raw = system

        def getoutput(self, command: str, split: bool = True, depth: int = 0) -> Any:
            done = subprocess.run(
                self.var_expand(command, depth=depth + 1),
                shell=True,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                check=False,
            )
            from IPython.utils.text import SList

            text = done.stdout.decode("utf-8", "replace")
            return SList(text.splitlines()) if split else text

        def ask_exit(self) -> None:
            sys.stdout.write("The session stays open; just end your code.\n")

        def enable_gui(self, gui: Any = None) -> None:
            return

    from traitlets.config import Config

    options = Config()
    options.HistoryManager.enabled = False
    options.InteractiveShell.colors = "nocolor"
    options.InteractiveShell.history_length = 0
    options.InteractiveShell.cache_size = 0
    Shell.display_pub_class = Publisher
    Shell.displayhook_class = Hook
    shell = Shell.instance(config=options)
    shell.xmode = "Context"
    return shell


def preload() -> None:
    """What most code imports; a session from the pool has it in memory already."""
    import matplotlib.pyplot  # noqa: F401
    import numpy  # noqa: F401
    import pandas  # noqa: F401


def main() -> None:
    handle = socket.socket(fileno=os.dup(0))
    null = os.open("/dev/null", os.O_RDWR)
    os.dup2(null, 0)
    os.environ["MPLBACKEND"] = "module://matplotlib_inline.backend_inline"
    sys.argv = [""]
    sys.path.insert(0, DATA)
    runner = Runner(Wire(handle))
    sys.modules["__main__"].__dict__.pop("Runner", None)
    if "--preload" in sys.orig_argv:
        preload()
    runner.wire.send({"event": "ready"})
    threading.Thread(target=runner.control, daemon=True, name="control").start()
    runner.serve()


if __name__ == "__main__":
    main()
