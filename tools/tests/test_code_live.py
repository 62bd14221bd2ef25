"""The tool with the real sandbox: what a model's code does in it, and what is kept and told of it."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from files.models import File
from sandbox.client import RemoteSandbox
from sandbox.environment import HERE, default_directory, is_current
from tools.code_interpreter import kept
from tools.tests.coding import TOOL, Called, Coder
from tools.tool import ToolContext

pytestmark = pytest.mark.slow

READY_SECONDS = 120


@dataclass
class Daemon:
    """sandboxd as a process of its own."""

    socket: Path
    environment: Path
    log: Path
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def sandbox(self) -> RemoteSandbox:
        return RemoteSandbox([f"unix://{self.socket}"])

    def start(self) -> None:
        variables = {
            "PATH": os.environ["PATH"],
            "SANDBOX_SOCKET": str(self.socket),
            "SANDBOX_ENVIRONMENT": str(self.environment),
            "SANDBOX_POOL": "1",
            "SANDBOX_UNATTENDED_SECONDS": "30",
        }
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "sandbox.daemon"], env=variables, cwd=settings.BASE_DIR, stderr=log
            )

    def stop(self, how: int = signal.SIGTERM) -> None:
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(30)
            self.process = None

    def wait_ready(self) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while not (health := asyncio.run(self._health())).is_available:
            if time.monotonic() > deadline or (health.reason and not health.is_preparing and self.process is None):
                pytest.fail(f"{health.sentence}\n{self.log.read_text()}")
            time.sleep(0.2)

    async def _health(self) -> Any:
        sandbox = self.sandbox
        try:
            return await sandbox.health()
        finally:
            await sandbox.disconnect()


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    environment = Path(os.environ.get("SANDBOX_TEST_ENVIRONMENT") or default_directory(HERE.parent / "var"))
    if shutil.which("bwrap") is None:
        pytest.skip("bubblewrap is not installed")
    if not is_current(environment):
        pytest.skip("the sandbox's Python is not built: make sandbox")
    folder = tmp_path_factory.mktemp("sandbox")
    running = Daemon(folder / "s.sock", environment, folder / "log")
    running.start()
    try:
        running.wait_ready()
        yield running
    finally:
        running.stop()


@pytest.fixture
def cora(committed: None, daemon: Daemon) -> Iterator[Coder]:
    coder = Coder.new(daemon.sandbox)
    yield coder
    coder.delete(coder.tenant)


def test_a_session_keeps_variables_and_shows_values_figures_and_errors(cora: Coder) -> None:
    assert cora.run("import pandas as pd\nx = 40").details["outputs"] == []
    call = cora.run("print('é🐈')\nx + 2")
    assert call.logs == "é🐈\n42\n"
    assert call.told == call.details
    call = cora.run("import matplotlib.pyplot as plt\nplt.plot([1, 3, 2])\nplt.show()\nprint('done')")
    [image] = call.result.images
    assert cora.content(image).startswith(b"\x89PNG")
    assert call.logs == "done\n"
    call = cora.run("def f():\n    return 1 / 0\nf()")
    assert "ZeroDivisionError: division by zero" in call.logs
    assert "Traceback" in call.logs
    assert cora.run("x").logs == "40\n"


def test_files_come_in_and_out_and_outlive_the_daemon(cora: Coder, daemon: Daemon) -> None:
    given = cora.upload("sales 2024.csv", b"a,b\n1,2\n3,4\n")
    call = cora.run(
        f"""
        import pandas as pd
        frame = pd.read_csv("sales 2024.csv")
        assert frame.equals(pd.read_csv("/mnt/data/{given}"))
        frame.sum().to_csv("/mnt/data/sums.csv")
        import pathlib
        pathlib.Path("out").mkdir()
        _ = pathlib.Path("out/größe.bin").write_bytes(bytes(3_000_000))
        """.replace("\n        ", "\n")
    )
    assert call.logs == ""
    assert "sandbox:/mnt/data/sums.csv" in call.result.output
    assert set(cora.kept) == {"sums.csv", "out/größe.bin"}
    made = kept.file_for(cora.tenant.id, cora.thread.id, "sums.csv")
    assert made
    assert cora.content(made) == b",0\na,4\nb,6\n"
    assert kept.file_for(cora.tenant.id, cora.thread.id, "sales 2024.csv") == given

    daemon.stop(signal.SIGKILL)
    daemon.start()
    daemon.wait_ready()
    call = cora.run("import os\nprint(sorted(os.listdir()), os.path.getsize('out/größe.bin'), 'frame' in globals())")
    assert call.logs.startswith("[This is a new session: the variables and imports of earlier calls are gone. 2 files")
    assert f"['{given}', 'out', 'sales 2024.csv', 'sums.csv'] 3000000 False" in call.logs
    assert kept.file_for(cora.tenant.id, cora.thread.id, "sums.csv") == made


def test_only_what_code_has_changed_is_read_back(cora: Coder) -> None:
    cora.upload("data.csv", b"1" * 1_000)
    reads: list[str] = []
    read = cora.sandbox.read

    def noted(key: Any, generation: str, name: str, most: int) -> Any:
        reads.append(name)
        return read(key, generation, name, most)

    cora.sandbox.read = noted
    cora.run("open('a', 'w').write('1')")
    cora.run("x = 1")
    cora.run("open('b', 'w').write('1'); open('data.csv').read()")
    assert reads == ["a", "b"]
    cora.run("import os; os.remove('a'); open('data.csv', 'w').write('2' * 1_000)")
    assert reads == ["a", "b", "data.csv"]
    assert cora.kept == {"b": b"1", "data.csv": b"2" * 1_000}


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("while True: pass", "time limit"),
        ("import os; os._exit(3)", "ended"),
        ("x = bytearray(2 * 2**30); x[::4096] = bytes(2**19)", ""),
    ],
)
def test_code_that_goes_too_far_is_told_and_the_next_call_works(cora: Coder, code: str, says: str) -> None:
    cora.tenant.code_seconds, cora.tenant.code_memory_mb = 3, 300
    cora.tenant.save()
    cora.run("open('a', 'w').write('1')")
    call = cora.run(f"import time\nprint('begun', flush=True)\ntime.sleep(0.5)\n{code}")
    assert call.logs.startswith("begun\n")
    assert says in call.logs
    assert len(call.logs.splitlines()) > 1
    assert cora.run("print(open('a').read())").logs.endswith("1\n")


def test_endless_code_is_interrupted_when_its_run_is_abandoned(cora: Coder) -> None:
    cora.run("x = 1")

    async def abandoned() -> Called | None:
        context = context_of(cora, "call-1")
        begun = await TOOL.begin(context)
        running = asyncio.create_task(TOOL.call(context_of(cora, "call-1", begun=begun), "while True: pass"))
        await asyncio.sleep(1)
        assert not running.done()
        running.cancel()
        await TOOL.abandon(context)
        return None

    began = time.monotonic()
    cora.awaited(abandoned())
    assert cora.run("print(x)").logs == "1\n"
    assert time.monotonic() - began < 20


def context_of(coder: Coder, call_id: str, **more: Any) -> ToolContext:
    return ToolContext(
        tenant_id=coder.tenant.id,
        turn=1,
        options={},
        thread_id=coder.thread.id,
        call_id=call_id,
        told={"input": "", "outputs": []},
        **more,
    )


def test_another_worker_follows_code_that_still_runs(cora: Coder) -> None:
    """The first worker dies in the middle; the code runs once, and its output is told once."""
    code = (
        "import time\nfor n in range(6):\n    print(n, flush=True)\n    time.sleep(0.8)\n_ = open('n', 'a').write('x')"
    )

    async def first() -> tuple[dict[str, Any], list[dict[str, Any]]]:
        growths: list[dict[str, Any]] = []
        begun = await TOOL.begin(context_of(cora, "call-1"))
        running = asyncio.create_task(TOOL.call(context_of(cora, "call-1", begun=begun, grow=growths.append), code))
        while "1\n" not in "".join(entry["logs"] for each in growths for entry in each.get("outputs", [])):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        running.cancel()
        return begun, growths

    begun, growths = cora.awaited(first())
    told = {"input": "", "outputs": [{"type": "logs", "logs": ""}]}
    for growth in growths:
        told["input"] += growth.get("input", "")
        told["outputs"][0]["logs"] += "".join(entry["logs"] for entry in growth.get("outputs", []))  # type: ignore[index]
    assert told["outputs"][0]["logs"].startswith("0\n1\n")  # type: ignore[index]
    dead = Called(None, told, growths, begun, "call-1")  # type: ignore[arg-type]
    second = cora.run(code, resumed=dead, told=told)
    assert second.logs == "0\n1\n2\n3\n4\n5\n"
    assert second.told == second.details
    assert cora.kept == {"n": b"x"}


def test_code_is_not_run_again_when_the_daemon_died_under_it(cora: Coder, daemon: Daemon) -> None:
    cora.run("open('n', 'a').write('x')")
    killer = threading.Timer(3.0, daemon.stop, [signal.SIGKILL])
    killer.start()
    call = cora.run("import time\nprint('begun', flush=True)\nopen('n', 'a').write('x')\ntime.sleep(30)")
    killer.join()
    daemon.start()
    daemon.wait_ready()
    assert call.logs.startswith("begun\n[The connection to the sandbox was lost while this code ran.")
    assert cora.run("print(open('n').read())").logs.endswith("x\n")
    assert cora.kept == {"n": b"x"}


def test_much_output_and_many_files(cora: Coder, capsys: pytest.CaptureFixture[str]) -> None:
    call, seconds = timed(lambda: cora.run("for n in range(200_000): print(n)"))
    assert call.told == call.details
    assert len(call.result.output) < 33_000
    growths = len(call.growths)
    call, files = timed(lambda: cora.run("for n in range(900): open(f'{n}.txt', 'w').write(str(n))"))
    assert len(cora.kept) == 900
    call, idle = timed(lambda: cora.run("x = 1"))
    with capsys.disabled():
        print(
            f"\n200,000 lines: {seconds:.2f} s, {growths} growths; 900 files: {files:.2f} s; then a call: {idle:.3f} s"
        )
    assert idle < 1
    assert File.objects.of(cora.tenant).count() == 0


def timed(work: Callable[[], Called]) -> tuple[Called, float]:
    began = time.monotonic()
    return work(), time.monotonic() - began
