"""What the code interpreter's sandbox costs: start, execution and memory, of one session and of fifty at once.

    make bench-sandbox

Starts `sandboxd` of its own on a socket in a temporary folder, and asks it as a worker does. Medians, in milliseconds,
and memory in MiB as the kernel shares it out (PSS). The table goes to the terminal and to
benchmarks/results/sandbox.md.
"""

import asyncio
import contextlib
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil

from assistant_site.embedded.process import spawn
from sandbox.client import RemoteSandbox
from sandbox.protocol import MIB, Done, Limits, OpenedSession, SessionKey, Stdout
from sandbox.tests.environments import environment_for_tests

TENANTS, THREADS = 10, 5
ROUNDS = 15
IDLE_SECONDS = 20
LIMITS = Limits(memory_bytes=400 * MIB, data_bytes=64 * MIB, sessions=THREADS)
IMPORTS = "import pandas, matplotlib.pyplot\nprint(1)"
WORK = """
import numpy as np, pandas as pd, matplotlib.pyplot as plt
frame = pd.DataFrame(np.random.rand(10_000, 4), columns=list('abcd'))
frame.cumsum().plot(); plt.show()
print(round(float(frame.sum().sum())))
"""


@contextlib.contextmanager
def daemon(folder: Path, **settings: str) -> Iterator[tuple[RemoteSandbox, psutil.Process]]:
    socket = folder / f"sandbox-{time.monotonic_ns()}.sock"
    environment = {"PATH": "/usr/bin:/bin", "SANDBOX_SOCKET": str(socket)}
    environment |= {"SANDBOX_ENVIRONMENT": str(environment_for_tests())}
    environment |= {f"SANDBOX_{name.upper()}": value for name, value in settings.items()}
    process = spawn(
        [sys.executable, "-m", "sandbox.daemon"],
        log=folder / "sandbox.log",
        death_signal=None,
        environment=environment,
    )
    try:
        yield RemoteSandbox([f"unix://{socket}"], ""), psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait(30)


async def until_available(sandbox: RemoteSandbox, pool: int = 0) -> None:
    deadline = time.monotonic() + 120
    while not (health := await sandbox.health()).is_available:
        assert time.monotonic() < deadline, health
        await asyncio.sleep(0.1)
    if pool:
        await asyncio.sleep(12)  # the pool fills up


async def execute(sandbox: RemoteSandbox, key: SessionKey, session: OpenedSession, call: str, code: str) -> str:
    text = ""
    async for event in sandbox.execute(key, session.generation, call, code):
        if isinstance(event, Stdout):
            text += event.text
        elif isinstance(event, Done):
            assert event.ok, (event, text)
    return text


async def first_calls(sandbox: RemoteSandbox, rounds: int, pause: float, code: str = "print(1)") -> list[float]:
    """Milliseconds from nothing to the end of the first call, each in a session of its own."""
    times = []
    for number in range(rounds):
        key = SessionKey("tenant_bench", f"thread_{number}")
        started = time.perf_counter()
        session = await sandbox.open(key, Limits())  # others than the daemon's own are not from the pool
        assert (await execute(sandbox, key, session, "call", code)).endswith("1\n")
        times.append((time.perf_counter() - started) * 1000)
        await sandbox.close(key)
        await asyncio.sleep(pause)
    return times


async def later_calls(sandbox: RemoteSandbox, rounds: int) -> list[float]:
    key = SessionKey("tenant_bench", "thread_later")
    session = await sandbox.open(key, LIMITS)
    await execute(sandbox, key, session, "warm", "print(1)")
    times = []
    for number in range(rounds):
        started = time.perf_counter()
        session = await sandbox.open(key, LIMITS)
        await execute(sandbox, key, session, f"call {number}", "print(1)")
        times.append((time.perf_counter() - started) * 1000)
    await sandbox.close(key)
    return times


async def crowd(sandbox: RemoteSandbox, process: psutil.Process) -> dict[str, list[float]]:
    """Fifty sessions of ten tenants at once, each with a plot and then a second call; then the idle end."""
    keys = [SessionKey(f"tenant_{t}", f"thread_{n}") for t in range(TENANTS) for n in range(THREADS)]
    measured: dict[str, list[float]] = {"start": [], "plot": [], "exec": [], "memory": []}

    async def one(key: SessionKey) -> OpenedSession:
        started = time.perf_counter()
        session = await sandbox.open(key, LIMITS)
        await execute(sandbox, key, session, "first", "print(1)")
        measured["start"].append((time.perf_counter() - started) * 1000)
        started = time.perf_counter()
        await execute(sandbox, key, session, "plot", WORK)
        measured["plot"].append((time.perf_counter() - started) * 1000)
        return session

    started = time.perf_counter()
    sessions = await asyncio.gather(*[one(key) for key in keys])
    print(f"{len(keys)} sessions started and plotted in {time.perf_counter() - started:.1f} s")
    assert (await sandbox.health()).sessions >= len(keys)
    for key, session in zip(keys, sessions, strict=True):
        started = time.perf_counter()
        await execute(sandbox, key, session, "again", "print(1)")
        measured["exec"].append((time.perf_counter() - started) * 1000)
    # Each session is one child of the daemon's; a tree's memory must be below its limit.
    for child in process.children():
        tree = [child, *child.children(recursive=True)]
        pss = 0
        for each in tree:
            with contextlib.suppress(psutil.Error):
                pss += each.memory_full_info().pss
        if pss > 20 * MIB:  # not a helper process
            measured["memory"].append(pss / MIB)
            assert pss < LIMITS.memory_bytes, pss
    await asyncio.sleep(IDLE_SECONDS + 8)
    left = (await sandbox.health()).sessions
    assert left == 0, f"{left} sessions are left after the idle time"
    return measured


def line(name: str, values: Sequence[float], unit: str = "ms") -> str:
    ordered = sorted(values)
    p95 = ordered[min(len(ordered) - 1, int(len(ordered) * 0.95))]
    return f"| {name} | {statistics.median(values):.1f} | {p95:.1f} | {ordered[-1]:.1f} | {unit} | {len(values)} |"


async def measure(folder: Path) -> list[str]:
    lines = ["| | median | p95 | most | unit | n |", "| --- | --- | --- | --- | --- | --- |"]
    with daemon(folder, pool="0") as (sandbox, _):
        await until_available(sandbox)
        lines.append(line("first call of a thread, no session waiting", await first_calls(sandbox, ROUNDS, 0)))
        lines.append(line("the same, with pandas and pyplot", await first_calls(sandbox, ROUNDS, 0, IMPORTS)))
        lines.append(line("later call, over HTTP, with `open`", await later_calls(sandbox, 200)))
    with daemon(folder, pool="2") as (sandbox, _):
        await until_available(sandbox, pool=2)
        lines.append(line("first call of a thread, from the pool", await first_calls(sandbox, ROUNDS, 4)))
        lines.append(line("the same, with pandas and pyplot", await first_calls(sandbox, ROUNDS, 4, IMPORTS)))
    with daemon(folder, pool="0", sessions="60", idle_seconds=str(IDLE_SECONDS)) as (sandbox, process):
        await until_available(sandbox)
        many = await crowd(sandbox, process)
        lines.append(line("50 at once: first call", many["start"]))
        lines.append(line("50 at once: numpy, pandas and a plot", many["plot"]))
        lines.append(line("50 at rest: a call of one of them", many["exec"]))
        lines.append(line("50 at rest: memory of a session (PSS)", many["memory"], "MiB"))
    return lines


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="holdfast-bench-") as folder:
        lines = asyncio.run(measure(Path(folder)))
    text = "\n".join(lines)
    print(text)
    (Path(__file__).parent / "results" / "sandbox.md").write_text(
        f"# The sandbox\n\n`make bench-sandbox`, {psutil.cpu_count()} cores.\n\n{text}\n"
    )


if __name__ == "__main__":
    main()
