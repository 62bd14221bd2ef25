"""One web process and one worker against two of each, over one PostgreSQL and one Valkey: what more processes bring.

    make bench-scaling

`manage.py up` runs the first of each; this starts the second with the same commands, and the client splits its requests
over both addresses. Runs a second, the tail of many streams, and what each part spends on a run: CPU time, Valkey's
commands and memory, PostgreSQL's transactions and log. docs/scaling.md calculates with these. The table goes to the
terminal and to benchmarks/results/scaling.md.
"""

import argparse
import asyncio
import contextlib
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from assistant_site.embedded.process import spawn, wait_gone
from benchmarks.bench import settled
from benchmarks.load import figures, tables, talk
from benchmarks.load.checkout import PROJECT, Checkout, Model, free_port
from benchmarks.load.client import Client, clock, gathered
from benchmarks.load.filling import sql
from benchmarks.load.loop import run_loop
from benchmarks.load.meter import Meter
from benchmarks.load.processes import Processes
from benchmarks.load.report import Report, say, write
from benchmarks.paced_model import INSTANT, USUAL, Pace

ONE, TWO = "1 web, 1 worker", "2 webs, 2 workers"
LONG = Pace(0.05, 256, 50)
PARTS = ("web", "worker", "postgres", "valkey")
TITLES = {
    "runs": "runs without a stream, model at once",
    "short": f"streams of {USUAL.tokens} tokens",
    "long": f"streams of {LONG.tokens} tokens",
}
MS = 1_000
KIB = 1_024


class Second:
    """A second web process and a second worker, started as `up` has started the first ones."""

    def __init__(self, checkout: Checkout) -> None:
        self._checkout = checkout
        self.port = free_port()
        self.base = f"http://127.0.0.1:{self.port}/v1"
        self._started: list[subprocess.Popen[bytes]] = []
        first = Processes(*checkout.processes.roots).by_part()
        self._commands = {part: self._like(first[part][0].pid) for part in ("web", "worker")}

    def _like(self, pid: int) -> tuple[list[str], dict[str, str]]:
        """Command and environment of a process, with the second's port for the first's."""
        program, _, arguments = Path(f"/proc/{pid}/cmdline").read_text().strip("\0").partition(" manage.py ")
        given = Path(f"/proc/{pid}/environ").read_bytes().decode().split("\0")
        environment = dict(pair.split("=", 1) for pair in given if "=" in pair)
        return [program, "manage.py", *arguments.split()], environment | {"PORT": str(self.port)}

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        for part, (command, environment) in self._commands.items():
            log = self._checkout.folder / "log" / f"second-{part}.log"
            self._started.append(
                spawn(
                    command,
                    log=log,
                    death_signal=signal.SIGTERM,
                    environment=environment,
                    folder=self._checkout.path,
                )
            )
        self._checkout.processes.roots = (*self._checkout.processes.roots, *(each.pid for each in self._started))
        try:
            self._wait()
            yield
        finally:
            self._checkout.processes.roots = self._checkout.processes.roots[:1]
            for process in self._started:
                process.terminate()
            for process in self._started:
                if not wait_gone(process.pid, 40, process):
                    process.kill()
            self._started.clear()

    def _wait(self) -> None:
        deadline = time.monotonic() + 60
        while True:
            with contextlib.suppress(OSError, urllib.error.HTTPError):
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/readyz", timeout=5).close()
                break
            if time.monotonic() > deadline:
                sys.exit("The second web process does not start.")
            time.sleep(0.1)
        time.sleep(5)  # the second worker says nothing of when it is there


class Scaling:
    def __init__(self, checkout: Checkout, report: Report, options: argparse.Namespace) -> None:
        self.checkout, self.report, self.options = checkout, report, options
        self.model = Client(checkout.model.base)
        self.assistants: dict[Pace, str] = {}

    async def run(self) -> None:
        first = self.checkout.client()
        for pace in (INSTANT, USUAL, LONG):
            self.assistants[pace] = await talk.new_assistant(first, pace)
        second = Second(self.checkout)
        for number in range(self.options.rounds):
            say(f"round {number + 1} of {self.options.rounds}: {ONE}")
            await self._all(ONE, [first])
            say(f"round {number + 1} of {self.options.rounds}: {TWO}")
            with second.running():
                client = Client(second.base, self.checkout.token)
                await self._all(TWO, [first, client])
                client.close()

    async def _all(self, column: str, clients: list[Client]) -> None:
        for client in clients:  # warm
            await self._streams("", column, [client], USUAL, 16)
        for callers in (16, 64):
            await self._runs(column, clients, callers)
        await self._streams("short", column, clients, USUAL, self.options.streams)
        await self._streams("long", column, clients, LONG, self.options.streams)

    async def _threads(self, clients: list[Client], count: int) -> list[tuple[Client, str, str]]:
        tags = [talk.new_tag() for _ in range(count)]
        of = [clients[number % len(clients)] for number in range(count)]
        made = await gathered(talk.new_thread(client, f"tag:{tag}") for client, tag in zip(of, tags, strict=True))
        await settled(self.model)
        return list(zip(of, made, tags, strict=True))

    async def _runs(self, column: str, clients: list[Client], callers: int) -> None:
        threads = await self._threads(clients, self.options.runs)
        assistant = self.assistants[INSTANT]

        async def one(client: Client, thread: str) -> float:
            began = clock()
            run = await talk.wait_for(client, await talk.new_run(client, thread, assistant))
            if run["status"] != "completed":
                self.report.problem("runs", column, f"a run is {run['status']}")
            return clock() - began

        costs, meter = Costs(self.checkout), Meter(self.checkout)
        times = await gathered((one(client, thread) for client, thread, _ in threads), callers)
        used = meter.stop()
        for client, thread, tag in threads[:: max(1, len(threads) // 32)]:
            if await talk.answers_of(client, thread) != [talk.expected(INSTANT, tag)]:
                self.report.problem("runs", column, "another text")
        self.report.note("runs", f"runs a second, {callers} at once", column, len(threads) / used["seconds"])
        self.report.note("runs", f"p95 of {callers} at once, ms", column, [MS * value for value in times], "p95")
        self._note_costs("runs", column, used, costs, len(threads))

    async def _streams(self, section: str, column: str, clients: list[Client], pace: Pace, count: int) -> None:
        threads = await self._threads(clients, count)
        costs, meter, began = Costs(self.checkout), Meter(self.checkout), clock()
        runs = await asyncio.gather(
            *(
                talk.stream_run(client, thread, self.assistants[pace], talk.expected(pace, tag))
                for client, thread, tag in threads
            )
        )
        wall, used = clock() - began, meter.stop()
        if not section:
            return
        for run in runs:
            if run.problem:
                self.report.problem(section, column, run.problem)
        right = [run for run in runs if not run.problem]
        self.report.note(section, "right", column, len(right), "least")
        self.report.note(section, "wall / ideal", column, wall / pace.seconds)
        for share, word in ((0.5, "p50"), (0.95, "p95"), (0.99, "p99")):
            value = figures.percentile([run.first for run in right], share)
            self.report.note(section, f"first token, {word}, ms", column, MS * (value or 0.0))
        self._note_costs(section, column, used, costs, count)

    def _note_costs(self, section: str, column: str, used: dict[str, float], costs: "Costs", count: int) -> None:
        self.report.others[section] = max(self.report.others.get(section, 0.0), used["other_cores"])
        for part in (*PARTS, "client", "model"):
            self.report.note(section, f"CPU of {part} per run, ms", column, MS * used.get(part, 0.0) / count)
        for name, value in costs.stop().items():
            self.report.note(section, f"{name} per run", column, value / count)


class Costs:
    """What PostgreSQL and Valkey count themselves, between two points."""

    def __init__(self, checkout: Checkout) -> None:
        self._checkout = checkout
        self._start = self._read()

    def _read(self) -> dict[str, float]:
        with self._checkout.database() as database:
            ((transactions, log),) = sql(
                database,
                "SELECT xact_commit + xact_rollback, pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0') "
                "FROM pg_stat_database WHERE datname = current_database()",
            )
        held = tables.valkey(self._checkout.folder)
        return {
            "transactions": float(transactions),
            "PostgreSQL's log, KiB": float(log) / KIB,
            "Valkey's commands": held["commands"],
            "Valkey's memory, KiB": held["MiB"] * KIB,
        }

    def stop(self) -> dict[str, float]:
        time.sleep(1)  # PostgreSQL's counts come up to a second late
        now = self._read()
        return {name: now[name] - self._start[name] for name in now}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--runs", type=int, default=240, help="without a stream, in a round")
    arguments.add_argument("--streams", type=int, default=128, help="at once")
    arguments.add_argument("--port", type=int, default=0)
    arguments.add_argument("--no-file", action="store_true", help="print only")
    options = arguments.parse_args()
    model = Model()
    checkout = Checkout(PROJECT, name="Holdfast", model=model, port=options.port)
    report = Report([ONE, TWO])
    checkout.start()
    try:
        run_loop(Scaling(checkout, report, options).run())
    finally:
        checkout.remove()
        model.stop()
    lines = [
        f"{options.streams} streams at once; client, model, PostgreSQL, Valkey and Holdfast share the machine: where "
        "it is full with one of each, two of each cannot be faster, but must cost the same per run. PostgreSQL's "
        "checkpoints and vacuums are in its figures.",
        "",
        *report.lines(list(TITLES), TITLES, (ONE, TWO)),
        *report.ending(),
    ]
    write("scaling", "More processes", "`make bench-scaling`", lines, file=not options.no_file)
    sys.exit(1 if report.problems else 0)


if __name__ == "__main__":
    main()
