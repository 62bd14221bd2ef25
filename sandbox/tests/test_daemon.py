"""The daemon as a process of its own, with real sessions: its start, its end, and what it leaves behind."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import aclosing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
import pytest

from sandbox.client import RemoteSandbox
from sandbox.environment import HERE
from sandbox.hosts import Host
from sandbox.protocol import (
    MIB,
    CallLost,
    Done,
    Event,
    FileRefused,
    Limits,
    Reason,
    Result,
    SandboxUnavailable,
    SessionGone,
    Stdout,
)
from sandbox.tests.environments import environment_for_tests
from sandbox.tests.scripted import KEY, collected, one_piece, until, until_told

pytestmark = pytest.mark.sandbox


@contextmanager
def daemon(socket: Path, environment: Path | None = None, **settings: str) -> Iterator[subprocess.Popen[bytes]]:
    log = socket.with_suffix(".log")
    variables = {
        "PATH": os.environ["PATH"],
        "SANDBOX_ENVIRONMENT": str(environment or environment_for_tests()),
        "SANDBOX_SOCKET": str(socket),
        "SANDBOX_SESSIONS": "4",
        "SANDBOX_CANARY": "a secret",
        **settings,
    }
    command = [sys.executable, "-m", "sandbox.daemon"]
    with open(log, "ab") as out:
        process = subprocess.Popen(command, cwd=HERE.parent, env=variables, stdout=out, stderr=out)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


async def available(client: RemoteSandbox) -> None:
    async def asked() -> bool:
        return (await client.health()).is_available

    await until_told(asked)


def left_of(descendants: list[psutil.Process], seconds: float = 20.0) -> list[psutil.Process]:
    """Those that still run after so long; zombies do not."""

    def runs(process: psutil.Process) -> bool:
        try:
            return bool(process.status() != psutil.STATUS_ZOMBIE)
        except psutil.NoSuchProcess:
            return False

    deadline = time.monotonic() + seconds
    while (left := [process for process in descendants if runs(process)]) and time.monotonic() < deadline:
        time.sleep(0.05)
    return left


def client_of(socket: Path) -> RemoteSandbox:
    return RemoteSandbox([f"unix://{socket}"])


def test_a_whole_session(tmp_path: Path) -> None:
    async def main() -> None:
        client = client_of(tmp_path / "s")
        await available(client)
        opened = await client.open(KEY, Limits(seconds=2.0))
        content = os.urandom(3_000_000)
        await client.put(KEY, opened.generation, "in ü.bin", one_piece(content), len(content), "file-1")
        code = "print(len(open('file-1', 'rb').read()))\nopen('out.txt', 'w').write('hi')\nx = 5\nx"
        told = await collected(client.execute(KEY, opened.generation, "c1", code))
        assert told[0] == Stdout("3000000\n")
        assert any(isinstance(event, Result) and event.text.strip() == "5" for event in told)
        done = told[-1]
        assert isinstance(done, Done)
        assert [file.name for file in done.changed] == ["out.txt"]
        assert await collected(client.execute(KEY, opened.generation, "c1", "x = 6")) == told
        assert await kept(client, opened.generation, "c2") == "5"  # the second did not run
        read = b"".join([piece async for piece in client.read(KEY, opened.generation, "in ü.bin", 3_000_000)])
        assert read == content

        async with aclosing(client.read(KEY, opened.generation, "file-1", 3_000_000)) as pieces:  # type: ignore[type-var]
            with pytest.raises(FileRefused):
                await anext(pieces)  # a link; it could lead anywhere
        async with aclosing(client.read(KEY, opened.generation, "in ü.bin", 3_000_000)) as pieces:  # type: ignore[type-var]
            await anext(pieces)
        assert await kept(client, opened.generation, "c2b") == "5"  # though nobody has read to the end

        late = await collected(client.execute(KEY, opened.generation, "c3", "while True: pass"))
        assert isinstance(late[-1], Done)
        assert (late[-1].reason, late[-1].restarted) == (Reason.TIMEOUT, False)
        assert await kept(client, opened.generation, "c4") == "5"

        died = await collected(client.execute(KEY, opened.generation, "c5", "import os; os._exit(1)"))
        assert isinstance(died[-1], Done)
        assert (died[-1].reason, died[-1].restarted) == (Reason.DIED, True)
        assert await collected(client.execute(KEY, opened.generation, "c5", "")) == died
        with pytest.raises(SessionGone):
            await collected(client.execute(KEY, opened.generation, "c6", "1"))
        assert (await client.open(KEY, Limits())).is_new
        await client.disconnect()

    with daemon(tmp_path / "s", SANDBOX_POOL="1"):
        asyncio.run(main())


async def kept(client: RemoteSandbox, generation: str, call_id: str) -> str:
    told = await collected(client.execute(KEY, generation, call_id, "print(x)"))
    return "".join(event.text for event in told if isinstance(event, Stdout)).strip()


def test_a_daemon_that_is_killed_takes_its_sessions_with_it_and_its_calls_are_lost(tmp_path: Path) -> None:
    async def main(process: subprocess.Popen[bytes]) -> None:
        client = client_of(tmp_path / "s")
        await available(client)
        opened = await client.open(KEY, Limits())
        daemonized = "import subprocess, time\nsubprocess.Popen(['setsid', 'sleep', '300'])\nprint('up')\n"
        told: list[Event] = []

        async def follow() -> None:
            async for event in client.execute(KEY, opened.generation, "c1", f"{daemonized}time.sleep(300)"):
                told.append(event)

        following = asyncio.create_task(follow())
        await until(lambda: told)
        descendants = psutil.Process(process.pid).children(recursive=True)
        assert any(each.name() == "sleep" for each in descendants)
        process.kill()
        process.wait()
        with pytest.raises(CallLost):
            await following
        assert told == [Stdout("up\n")]
        assert left_of(descendants) == []
        with pytest.raises(SandboxUnavailable):
            await client.open(KEY, Limits())

        with daemon(tmp_path / "s"):  # in its place, over the socket that was left behind
            await available(client)
            with pytest.raises(SessionGone):
                await collected(client.execute(KEY, opened.generation, "c2", "1"))
            assert (await client.open(KEY, Limits())).is_new
        await client.disconnect()

    with daemon(tmp_path / "s") as process:
        asyncio.run(main(process))


def test_a_daemon_that_is_asked_to_end_leaves_nothing(tmp_path: Path) -> None:
    async def main(process: subprocess.Popen[bytes]) -> None:
        client = client_of(tmp_path / "s")
        await available(client)
        opened = await client.open(KEY, Limits())
        code = "print('up')\nimport time; time.sleep(300)"
        told: list[Event] = []

        async def follow() -> None:
            async for event in client.execute(KEY, opened.generation, "c1", code):
                told.append(event)

        following = asyncio.create_task(follow())
        await until(lambda: told)
        descendants = psutil.Process(process.pid).children(recursive=True)
        assert descendants
        process.send_signal(signal.SIGTERM)
        await following
        done = told[-1]
        assert isinstance(done, Done)
        assert (done.reason, done.restarted) == (Reason.DIED, True)
        assert process.wait(30) == 0
        assert left_of(descendants) == []
        assert not (tmp_path / "s").exists()
        await client.disconnect()

    with TemporaryDirectory() as temporary:
        os.chmod(temporary, 0o755)  # root's sessions are other users
        with daemon(tmp_path / "s", TMPDIR=temporary) as process:
            asyncio.run(main(process))
        assert os.listdir(temporary) == []


def test_warm_sessions_know_what_they_need_and_have_nothing_of_another(tmp_path: Path) -> None:
    async def main() -> None:
        client = client_of(tmp_path / "s")
        await available(client)
        await until_told(lambda: pool_of(tmp_path / "s"))
        started = time.monotonic()
        opened = await client.open(KEY, Limits(memory_bytes=300 * MIB))
        told = await collected(
            client.execute(KEY, opened.generation, "c1", "import sys\nprint('pandas' in sys.modules)")
        )
        print(f"\nclaimed, and the first answer: {time.monotonic() - started:.3f} s")
        assert told[0] == Stdout("True\n")
        hog = await collected(client.execute(KEY, opened.generation, "c2", "x = bytearray(500 << 20)\nprint(len(x))"))
        assert isinstance(hog[-1], Done)
        assert hog[-1].reason is Reason.MEMORY  # its own lower limit holds
        await client.disconnect()

    with daemon(tmp_path / "s", SANDBOX_POOL="1"):
        asyncio.run(main())


async def pool_of(socket: Path) -> int:
    client = client_of(socket)
    try:
        told = await client._ask(Host.of(f"unix://{socket}"), "GET", "/health", b"", 5)
    finally:
        await client.disconnect()
    return int(told["pool"])


def test_a_daemon_that_cannot_run_code_says_why(tmp_path: Path) -> None:
    async def main() -> None:
        client = client_of(tmp_path / "s")

        async def is_off() -> bool:
            health = await client.health()
            return not health.is_preparing and "cannot be reached" not in health.reason

        await until_told(is_off)
        health = await client.health()
        assert str(tmp_path / "nothing") in health.reason
        assert health.remedy
        with pytest.raises(SandboxUnavailable, match="nothing"):
            await client.open(KEY, Limits())
        await client.disconnect()

    with daemon(tmp_path / "s", environment=tmp_path / "nothing"):
        asyncio.run(main())
    assert " WARNING sandbox.readiness The code interpreter is off: " in (tmp_path / "s.log").read_text()


def test_a_wrong_setting_ends_the_start_with_a_sentence(tmp_path: Path) -> None:
    with daemon(tmp_path / "s", SANDBOX_POOL="many") as process:
        assert process.wait(60) == 1
    assert (tmp_path / "s.log").read_text().startswith("sandboxd cannot start: SANDBOX_POOL must be a whole number")
