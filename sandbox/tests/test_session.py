"""Sessions as they really start here: what code says, shows, leaves behind, and how it comes to an end."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

import pytest

from assistant_site.embedded.process import alive
from sandbox.execution import Texts
from sandbox.launch import CannotLaunch, Launcher, Shared
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
    Stdout,
)
from sandbox.session import Session
from sandbox.tests.environments import environment_for_tests

T = TypeVar("T")


class Play:
    """A session, and short words for what is done with it."""

    def __init__(self, session: Session) -> None:
        self.session = session

    async def events(self, code: str, seconds: float = 30) -> list[Event]:
        return [event async for event in self.session.execute(code, seconds)]

    async def says(self, code: str, seconds: float = 30) -> str:
        """All its text, in order."""
        texts = []
        for event in await self.events(code, seconds):
            if isinstance(event, Stdout | Result):
                texts.append(event.text)
            elif isinstance(event, Error):
                texts.append(event.traceback)
        return "".join(texts)

    async def done(self, code: str, seconds: float = 30) -> Done:
        last = (await self.events(code, seconds))[-1]
        assert isinstance(last, Done)
        return last

    async def put(self, name: str, data: bytes, tag: str = "") -> None:
        async def pieces() -> AsyncIterator[bytes]:
            yield data

        await self.session.put(name, pieces(), tag)

    async def read(self, name: str, most: int = MIB) -> bytes:
        return b"".join([piece async for piece in self.session.read(name, most)])


def play(scene: Callable[[Play], Awaitable[T]], limits: Limits | None = None) -> T:
    async def whole() -> T:
        session = await Session.start(Launcher(environment_for_tests()), limits or Limits(), slot=7)
        try:
            return await scene(Play(session))
        finally:
            await session.close()
            assert not alive(session.init)

    return asyncio.run(whole())


def test_text_beyond_the_budget_is_cut_in_the_middle() -> None:
    texts = Texts(100)
    told = [texts.take("a" * 30), texts.take("b" * 30), texts.take("c" * 1_000), texts.take("d" * 20), texts.rest()]
    assert "".join(told).startswith("a" * 30 + "b" * 20)
    assert "".join(told).endswith("c" * 30 + "d" * 20)
    assert "[... 980 characters are left out here ...]" in told[-1]
    assert sum(map(len, told[:-1])) == 50
    assert texts.rest() == ""


def test_a_short_text_is_whole() -> None:
    texts = Texts(100)
    assert texts.take("a" * 50) + texts.take("b" * 50) + texts.rest() == "a" * 50 + "b" * 50


@pytest.mark.sandbox
class TestCode:
    def test_it_behaves_as_in_a_notebook(self) -> None:
        async def scene(play: Play) -> None:
            assert await play.says("x = 20\nprint('a')\nx * 2") == "a\n40\n"
            assert await play.says("x + 1") == "21\n"
            assert await play.says("import asyncio\nawait asyncio.sleep(0)\n'top level'") == "'top level'\n"
            assert await play.says("from IPython.display import display\ndisplay([1])\nprint(2)") == "[1]\n2\n"
            assert await play.says("!echo shell; cat") == "shell\n"
            assert "EOFError" in await play.says("input('name? ')")
            assert (
                await play.says("print('still here'); exit()")
                == "still here\nThe session stays open; just end your code.\n"
            )
            assert "SyntaxError" in await play.says("def f(:")
            assert await play.says("x * 2;") == ""
            assert await play.says(
                "import os, sys\nos.write(1, b'c1 '); print('py', end=' '); sys.stderr.write('err')"
            ) in (
                "c1 py err3\n",
                "c1 py 3\nerr",
            )

        play(scene)

    def test_very_many_lines_are_told_in_few_events(self) -> None:
        async def scene(play: Play) -> None:
            for code in ("!seq 100000 | while read line; do echo $line; done", "for n in range(1, 100_001): print(n)"):
                events = await play.events(code)
                texts = [event.text for event in events if isinstance(event, Stdout)]
                assert "".join(texts) == "".join(f"{n}\n" for n in range(1, 100_001))
                assert len(texts) < 1_000

        play(scene)

    def test_figures_are_pictures_without_being_asked_for(self) -> None:
        async def scene(play: Play) -> None:
            events = await play.events(
                "import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.title('中文 日本語')\nNone"
            )
            [picture] = [event for event in events if isinstance(event, Image)]
            assert picture.mime == "image/png"
            assert picture.data.startswith(b"\x89PNG")
            assert not [event for event in events if isinstance(event, Stdout)], "a warning about glyphs"
            many = await play.events("for n in range(25):\n    plt.figure(figsize=(1, 1)); plt.plot([n]); plt.show()")
            assert len([event for event in many if isinstance(event, Image)]) == 20

        play(scene)

    def test_changed_files_are_told(self) -> None:
        async def scene(play: Play) -> None:
            await play.put("in.csv", b"a,b\n1,2\n", "file-abc")
            assert [file.name for file in (await play.done("open('in.csv').read()")).changed] == []
            done = await play.done(
                "import os\nos.makedirs('out')\nopen('out/r.txt', 'w').write('x')\nopen('file-abc', 'a').write('3,4')\n"
                "os.symlink('/etc/passwd', 'link'); os.mkfifo('fifo')"
            )
            assert sorted((file.name, file.bytes) for file in done.changed) == [("in.csv", 11), ("out/r.txt", 1)]
            assert sorted(file.name for file in await play.session.files()) == ["in.csv", "out/r.txt"]
            assert await play.read("out/r.txt") == b"x"
            for name in ("link", "fifo", "out", "nothing", "../etc/passwd", "/etc/passwd"):
                with pytest.raises(FileRefused):
                    await play.read(name)
            with pytest.raises(FileRefused):
                await play.read("in.csv", most=10)

        play(scene)

    def test_a_file_that_does_not_fit_is_refused(self) -> None:
        async def scene(play: Play) -> None:
            with pytest.raises(FileRefused, match="No space left"):
                await play.put("large.bin", b"x" * (9 * MIB))
            assert await play.session.files() == []
            assert await play.says("1") == "1\n"

        play(scene, Limits(data_bytes=8 * MIB))

    def test_a_time_out_keeps_the_state(self) -> None:
        async def scene(play: Play) -> None:
            await play.done("x = 5")
            for code in (
                "while True: pass",
                "import time\ntime.sleep(60)",
                "__import__('subprocess').run(['sleep', '60'])",
                "import time\nwhile True:\n  try:\n    while True: time.sleep(0.001)\n  except BaseException: pass",
                "import time\nwhile True:\n  display('x' * 200_000)\n  time.sleep(0.005)",
            ):
                done = await play.done(code, seconds=0.5)
                assert (done.ok, done.reason, done.restarted) == (False, Reason.TIMEOUT, False), code
            assert await play.says("x") == "5\n"

        play(scene)

    def test_code_that_cannot_be_interrupted_is_ended(self) -> None:
        async def scene(play: Play) -> None:
            code = "import signal, time\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\ntime.sleep(60)"
            done = await play.done(code, seconds=0.5)
            assert (done.reason, done.restarted) == (Reason.TIMEOUT, True)
            assert "could not be interrupted" in done.message
            with pytest.raises(SessionGone):
                await play.done("1")

        play(scene)

    @pytest.mark.parametrize("code", ["import os; os._exit(3)", "import ctypes; ctypes.string_at(0)"])
    def test_a_crash_is_told(self, code: str) -> None:
        async def scene(play: Play) -> None:
            done = await play.done(code)
            assert (done.ok, done.reason, done.restarted) == (False, Reason.DIED, True)
            assert done.message.startswith("Python ended while the code ran")

        play(scene)

    def test_memory_is_limited(self) -> None:
        async def scene(play: Play) -> None:
            done = await play.done("x = bytearray(300 * 1024 * 1024)")
            assert (done.reason, done.restarted) == (Reason.MEMORY, True)
            assert "150 MiB" in done.message

        play(scene, Limits(memory_bytes=150 * MIB))

    def test_memory_that_processes_share_counts_once(self) -> None:
        async def scene(play: Play) -> None:
            await play.done("data = bytearray(150 * 1024 * 1024)")
            code = (
                "import multiprocessing, time\ndef work(n):\n    time.sleep(1)\n    return data[n] + n\n"
                "with multiprocessing.get_context('fork').Pool(4) as pool: print(sum(pool.map(work, range(4))))"
            )
            assert await play.says(code) == "6\n"
            mine = "def work(n):\n    own = bytearray(80 * 1024 * 1024)\n    time.sleep(5)\n"
            done = await play.done(mine + code.partition("return data[n] + n\n")[2])
            assert (done.reason, done.restarted) == (Reason.MEMORY, True)

        play(scene, Limits(memory_bytes=400 * MIB))

    def test_an_idle_session_that_begins_to_work_is_looked_at_at_once(self) -> None:
        async def scene(play: Play) -> None:
            await asyncio.sleep(0.3)  # the watchdog has gone to sleep
            code = "import time\nx = bytearray(300 * 1024 * 1024)\ntime.sleep(1.2)\nprint('too late')"
            [*others, done] = await play.events(code)
            assert isinstance(done, Done)
            assert (done.reason, others) == (Reason.MEMORY, [])

        play(scene, Limits(memory_bytes=150 * MIB))

    def test_the_memory_of_pid_1_is_out_of_reach(self) -> None:
        async def scene(play: Play) -> None:
            for path in ("/proc/1/mem", "/proc/1/task/1/mem"):
                assert await play.says(f"try: open({path!r}, 'rb')\nexcept OSError as error: print('no')") == "no\n"
            code = "import ctypes; [ctypes.CDLL(None).prctl(option, 0, 0, 0, 0) for option in (1, 4, 22)]"
            assert await play.says(code) == "[-1, -1, -1]\n"

        play(scene)

    def test_an_interrupt_from_outside(self) -> None:
        async def scene(play: Play) -> None:
            running = asyncio.create_task(play.done("import time\ntime.sleep(60)"))
            await asyncio.sleep(0.3)
            await play.session.interrupt()
            done = await running
            assert (done.reason, done.restarted) == (Reason.INTERRUPTED, False)

        play(scene)


@pytest.mark.sandbox
def test_an_environment_that_is_not_there_is_no_session(tmp_path: object) -> None:
    async def scene() -> None:
        await Session.start(Launcher(environment_for_tests() / "nothing"), Limits(), slot=1)

    with pytest.raises(CannotLaunch):
        asyncio.run(scene())


def test_the_shared_files_go_with_the_daemon() -> None:
    shared = Shared()
    assert all(os.stat(file).st_mode & 0o004 for file in shared.files.values())
    shared.remove()
    assert not any(file.exists() for file in shared.files.values())
    assert FileInfo("a", 1).modified == 0
