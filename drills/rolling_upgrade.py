"""An upgrade that nobody notices, and the way back: `make drill-upgrade`.

    python -m drills.rolling_upgrade [--callers 2] [--calm 5] [--longest 15] [--from FOLDER]

Starts the previous release (or the checkout in FOLDER) as an operator would for production: two web processes behind a
proxy, two workers, one ingestion worker, on a PostgreSQL and a Valkey of their own. Callers use it all the time. Then:
the new schema, by the new code; each process stopped with SIGTERM and replaced by the new code's, one after the other;
and the same back to the old code. Ends with a table, and with exit code 0 only if no request failed, no stream broke,
no run was lost and none was handed from worker to worker.
"""

import argparse
import asyncio
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

from assistant_site.embedded import address
from assistant_site.embedded.process import spawn, tail, wait_gone
from assistant_site.embedded.services import Services
from benchmarks.load.checkout import NOT_PASSED_ON, Model, free_port
from drills import releases
from drills.balancer import Balancer
from drills.callers import Load

DRAIN_SECONDS = 60
READY_SECONDS = 120
OLD_STREAM_SECONDS = 3.0  # 0.1.0 lets streams go on for five seconds
LOCK_SECONDS = 3
MIGRATION_ATTEMPTS = 20


class Failed(Exception):
    """The drill cannot go on; the text says why."""


@dataclass
class Process:
    name: str
    command: list[str]
    environment: dict[str, str]
    port: int = 0
    running: "subprocess.Popen[bytes] | None" = None


@dataclass
class Installation:
    """What runs, and of which checkout each process is."""

    folder: Path
    model: Model
    services: Services = field(init=False)
    processes: list[Process] = field(init=False)
    database: str = field(init=False)
    valkey: str = field(init=False)

    def __post_init__(self) -> None:
        sockets, password = self.folder / "run", secrets.token_hex(16)
        self.services = Services.of(
            var=self.folder, sockets=sockets, password=password, database=True, valkey=True, options={"fsync": "off"}
        )
        self.database = self.database_url(password)
        self.valkey = f"unix://{sockets}/valkey.sock"
        shared = {name: value for name, value in os.environ.items() if name not in NOT_PASSED_ON} | {
            "HOLDFAST_VAR": str(self.folder),
            "HOLDFAST_ENV_FILE": os.devnull,
            "DATABASE_URL": self.database,
            "REDIS_URL": self.valkey,
            "OPENAI_BASE_URL": self.model.base,
            "OPENAI_API_KEY": "sk-none",
            "EMBEDDING_MODEL": "off",
            "CODE_INTERPRETER": "off",
            "WEB_SERVER": "uvicorn",
            "WEB_DRAIN_SECONDS": str(DRAIN_SECONDS),
            "WORKER_DRAIN_SECONDS": str(DRAIN_SECONDS),
            "LOG_LEVEL": "warning",
        }
        self.environment = shared
        self.processes = []
        for number in (1, 2):
            port = free_port()
            at = shared | {"PORT": str(port)}
            self.processes.append(Process(f"web-{number}", ["serve"], at, port))
        for number in (1, 2):
            self.processes.append(Process(f"worker-{number}", ["qcluster"], dict(shared)))
        self.processes.append(Process("ingestion-1", ["qcluster"], shared | {"Q_CLUSTER_NAME": "ingestion"}))

    def database_url(self, password: str, login: str = "holdfast") -> str:
        return f"postgres://{login}:{password}@{str(self.folder / 'run').replace('/', '%2F')}/holdfast"

    def tell(self, **environment: str) -> None:
        """Processes that are started from now on have these variables."""
        for each in [self.environment, *(process.environment for process in self.processes)]:
            each.update(environment)

    def manage(self, checkout: Path, *arguments: str, **environment: str) -> str:
        """The last line that the command printed. Raises `CalledProcessError`."""
        ran = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=checkout,
            env=self.environment | environment,
            capture_output=True,
            text=True,
            check=True,
        )
        return (ran.stdout.strip().split("\n") or [""])[-1]

    def migrate(self, checkout: Path) -> int:
        """How often it had to be begun: who cannot have its lock at once lets others go first."""
        for attempt in range(1, MIGRATION_ATTEMPTS + 1):
            try:
                self.manage(checkout, "migrate", "--verbosity", "0", PGOPTIONS=f"-c lock_timeout={LOCK_SECONDS}s")
            except subprocess.CalledProcessError as failure:
                if "lock timeout" not in failure.stderr or attempt == MIGRATION_ATTEMPTS:
                    raise Failed(f"migrate failed:\n{failure.stderr[-3_000:]}") from None
                time.sleep(1)
            else:
                return attempt
        raise AssertionError("unreachable")

    def start(self, process: Process, checkout: Path) -> None:
        process.running = spawn(
            [sys.executable, "manage.py", *process.command],
            log=self.folder / f"{process.name}.log",
            death_signal=signal.SIGTERM,
            environment=process.environment,
            folder=checkout,
        )

    def wait_ready(self, process: Process) -> None:
        """A web process answers; a worker cannot be asked, and is one of two."""
        assert process.running is not None
        deadline = time.monotonic() + READY_SECONDS
        while process.port and address.not_ready("127.0.0.1", process.port):
            if process.running.poll() is not None or time.monotonic() > deadline:
                raise Failed(f"{process.name} is not ready.\n{tail(self.folder / f'{process.name}.log')}")
            time.sleep(0.1)

    def stop(self, process: Process) -> float:
        """SIGTERM, and the seconds until it has ended. Raises `Failed` if it does not."""
        assert process.running is not None
        began = time.monotonic()
        process.running.terminate()
        if not wait_gone(process.running.pid, DRAIN_SECONDS + 30, process.running):
            raise Failed(f"{process.name} did not end.")
        return time.monotonic() - began

    def close(self) -> None:
        for process in self.processes:
            if process.running is not None and process.running.poll() is None:
                process.running.kill()
                process.running.wait()
        self.services.stop()
        self.model.stop()


@dataclass
class Drill:
    installation: Installation
    old: Path
    new: Path
    callers: int
    calm: float
    longest: float
    balancer: Balancer = field(default_factory=Balancer)
    drained: dict[str, float] = field(default_factory=dict)
    migrated: int = 0

    async def run(self) -> Load:
        """Raises `Failed`, or whatever the callers could not begin with."""
        site = self.installation
        await asyncio.to_thread(site.migrate, self.old)
        await asyncio.to_thread(self.prepare)
        token = await asyncio.to_thread(site.manage, self.old, "create_token", "--tenant", "drill")
        for process in site.processes:
            site.start(process, self.old)
        for process in site.processes:
            await asyncio.to_thread(site.wait_ready, process)
            if process.port:
                self.balancer.put_in(process.port)
        await self.balancer.start()
        load = Load(f"http://127.0.0.1:{self.balancer.port}/v1", token, OLD_STREAM_SECONDS)
        working = asyncio.create_task(load.work(self.callers))
        try:
            await self.steps(load)
        finally:
            load.is_over = True
            await working
            await self.balancer.stop()
        return load

    def prepare(self) -> None:
        """What is done when there are tables and no process yet."""

    async def steps(self, load: Load) -> None:
        """What is done while the callers work."""
        await self.begin(load, "the old release")
        load.phase = "the new schema"
        self.migrated = await asyncio.to_thread(self.installation.migrate, self.new)
        await self.begin(load, "the old release on the new schema")
        await self.replace_all(load, "new", self.new)
        await self.begin(load, "the new release")
        load.seconds = self.longest
        await self.begin(load, "the new release, long streams")
        await self.replace_all(load, "old", self.old)
        await self.begin(load, "the old release again")

    async def replace_all(self, load: Load, word: str, checkout: Path) -> None:
        """Each process, one after the other."""
        for process in self.installation.processes:
            await self.begin(load, f"{process.name} becomes {word}", calm=0)
            self.drained[load.phase] = await self._replace(process, checkout)

    async def begin(self, load: Load, name: str, calm: float | None = None) -> None:
        load.phase = name
        say(f"{name}: {sum(load.done.values())} calls went well so far, {len(load.failures)} failed")
        await asyncio.sleep(self.calm if calm is None else calm)

    async def _replace(self, process: Process, checkout: Path) -> float:
        if process.port:
            self.balancer.take_out(process.port)
        seconds = await asyncio.to_thread(self.installation.stop, process)
        self.installation.start(process, checkout)
        await asyncio.to_thread(self.installation.wait_ready, process)
        if process.port:
            self.balancer.put_in(process.port)
        else:
            await asyncio.sleep(self.calm)
        return seconds

    def rows(self) -> tuple[Counter[str], int]:
        """How many runs there are in each status, and how many a second worker took up."""
        with psycopg.connect(self.installation.database) as connection:
            connection.execute("SET ROLE holdfast")
            found = connection.execute("SELECT status, count(*), sum((attempt > 1)::int) FROM runs_run GROUP BY 1")
            listed = found.fetchall()
        return Counter({status: count for status, count, _ in listed}), sum(int(taken) for _, _, taken in listed)


def judged(drill: Drill, load: Load) -> list[str]:
    """What went wrong, in sentences."""
    statuses, taken_up = drill.rows()
    wrong = list(load.failures)
    # Of deleted threads no run is left.
    kept = load.runs - load.done["stream"]
    if statuses != Counter({"completed": kept}):
        wrong.append(f"{load.runs} runs began, {kept} of them are kept, and there are {dict(statuses)}")
    if taken_up:
        wrong.append(f"{taken_up} runs were taken up by a second worker")
    if drill.balancer.unserved:
        wrong.append(f"{drill.balancer.unserved} requests found no web process")
    return wrong


def main() -> None:
    parser = arguments("An upgrade under load, and the way back.")
    parser.add_argument("--from", dest="old", type=Path, help="a checkout, instead of the previous release")
    given = parser.parse_args()

    def made(installation: Installation) -> Drill:
        if given.old is None:
            release = releases.previous()
            say(f"From {release.version} to what stands here, and back.")
            old = release.unpack(installation.folder / "old")
        else:
            old = given.old.resolve()
        return Drill(installation, old, releases.PROJECT, given.callers, given.calm, given.longest)

    sys.exit(carried_out(made))


def arguments(what: str) -> argparse.ArgumentParser:
    """Those that all drills under load take."""
    parser = argparse.ArgumentParser(description=what)
    parser.add_argument("--callers", type=int, default=2, help="of each of the five kinds")
    parser.add_argument("--calm", type=float, default=5, help="seconds between the steps")
    parser.add_argument("--longest", type=float, default=15, help="seconds of a stream, once all web processes wait")
    return parser


def carried_out(made: Callable[[Installation], Drill]) -> int:
    """Carries the drill out in a folder that is thrown away, and tells what came of it. The exit code."""
    folder = Path(tempfile.mkdtemp(prefix="holdfast-drill-")).resolve()
    folder.chmod(0o711)  # as root, PostgreSQL runs as another user and must get to its data
    installation = Installation(folder, Model())
    began = time.monotonic()
    try:
        drill = made(installation)
        installation.services.start()  # by this thread: they end with the one that started them
        load = asyncio.run(drill.run())
        wrong = judged(drill, load)
    except Failed as failure:
        say(str(failure))
        return 1
    finally:
        installation.close()
        shutil.rmtree(folder, ignore_errors=True)
    say(f"\nIn {time.monotonic() - began:.0f} s: {sum(drill.balancer.requests.values())} requests, {load.runs} runs")
    say(", ".join(f"{count} x {name}" for name, count in sorted(load.done.items())))
    say(f"migrate was begun {drill.migrated} time(s); passed over by the proxy: {drill.balancer.passed_over}")
    for phase, seconds in drill.drained.items():
        say(f"  {phase}: ended {seconds:.1f} s after SIGTERM")
    for each in wrong:
        say(f"WRONG: {each}")
    if not wrong:
        say("No request failed, no stream broke, no run was lost or handed on.")
    return 1 if wrong else 0


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
