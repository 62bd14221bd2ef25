"""Runs and messages at a steady rate for a long time: do tables and indexes stay as dense as they are?

    make bench-bloat MINUTES=30 RATE=10

So many runs a second, of a model that answers at once: half of them on new threads, half on threads that are there,
with a message each. Rows, dead rows, autovacuums, and bytes for each row of tables and indexes, once a minute.
PostgreSQL's own settings decide when it vacuums. The document is benchmarks/results/bloat.md, written anew each minute.
"""

import argparse
import asyncio
import random
import sys
from collections import Counter
from itertools import pairwise

from benchmarks.load import figures, tables, talk
from benchmarks.load.checkout import PROJECT, Checkout, Model
from benchmarks.load.client import Client, Refused, clock
from benchmarks.load.filling import sql
from benchmarks.load.loop import run_loop
from benchmarks.load.report import say, write
from benchmarks.paced_model import INSTANT

WATCHED = ("threads_thread", "threads_message", "runs_run", "runs_runstep", "metering_ledgerentry")
LEVEL = 1.1  # so much denser or less dense is the same


class Bloat:
    def __init__(self, checkout: Checkout, clients: list[Client], options: argparse.Namespace) -> None:
        self.checkout, self.clients, self.options = checkout, clients, options
        self.assistants: dict[Client, str] = {}
        self.threads: dict[Client, list[str]] = {client: [] for client in clients}
        self.problems: Counter[str] = Counter()
        self.begun = 0
        self.samples: list[tuple[float, dict[str, tables.Table]]] = []
        self.rows: list[list[float | int | str | None]] = []

    async def run(self) -> None:
        for client in self.clients:
            self.assistants[client] = await talk.new_assistant(client, INSTANT)
        chance, began, told = random.Random(7), clock(), 1
        under_way: set[asyncio.Task[None]] = set()
        self._sample(0.0)
        while (now := clock() - began) < 60 * self.options.minutes:
            while self.begun < now * self.options.rate and len(under_way) < 500:
                self.begun += 1
                task = asyncio.ensure_future(self._one(chance.choice(self.clients), chance))
                under_way.add(task)
                task.add_done_callback(under_way.discard)
            if now >= 60 * told:
                self._sample(told)
                self._write()
                told += 1
            await asyncio.sleep(0.02)
        if under_way:
            await asyncio.wait(under_way, timeout=60)
        self._sample(self.options.minutes)
        with self.checkout.database() as database:
            found = dict(sql(database, "SELECT status, count(*) FROM runs_run GROUP BY status"))
        for status, count in found.items():
            if status != "completed":
                self.problems[f"runs that are {status}"] += count
        self._write()

    async def _one(self, client: Client, chance: random.Random) -> None:
        """A message and a run, on a new thread or on one that is there."""
        threads = self.threads[client]
        try:
            if len(threads) < 50 or chance.random() < 0.5:
                thread = await talk.new_thread(client, f"tag:{talk.new_tag()}")
            else:
                thread = threads.pop(chance.randrange(len(threads)))
                await talk.add_message(client, thread, f"tag:{talk.new_tag()}")
            run = await talk.new_run(client, thread, self.assistants[client])
            await asyncio.sleep(1)
            run = await talk.wait_for(client, run)
            if run["status"] == "completed":
                threads.append(thread)
            else:
                self.problems[f"a run is {run['status']}"] += 1
        except (Refused, OSError, TimeoutError, ValueError) as error:
            self.problems[f"{type(error).__name__} {error}"[:120]] += 1

    def _sample(self, minute: float) -> None:
        with self.checkout.database() as database:
            found = tables.tables(database)
        self.samples.append((minute, found))
        if not minute:
            return
        row: list[float | int | str | None] = [f"{minute:g}", found["runs_run"].inserted]
        for name in WATCHED:
            table = found[name]
            rows = max(table.live, 1)
            row += [f"{table.bytes / rows:,.0f} + {table.index_bytes / rows:,.0f}", table.dead, table.autovacuums]
        self.rows.append(row)
        say("  ".join(figures.shown(cell) for cell in row))

    def _write(self) -> None:
        head = ["minute", "runs"]
        for name in WATCHED:
            head += [f"{name.split('_')[1]}: bytes a row + of indexes", "dead", "vacuums"]
        lines = [
            f"{self.options.rate:g} runs a second of {len(self.clients)} tenants; begun: {self.begun:,}; not right: "
            f"{sum(self.problems.values())}.",
            "",
            *(f"- {count} × {problem}" for problem, count in self.problems.most_common(10)),
            *(f"{line}\n" for line in verdicts(self.samples)),
            *figures.table(head, self.rows),
        ]
        how = f"`make bench-bloat MINUTES={self.options.minutes:g} RATE={self.options.rate:g}`"
        write("bloat", "Tables under a steady load", how, lines, file=not self.options.no_file, shown=False)


def verdicts(samples: list[tuple[float, dict[str, tables.Table]]]) -> list[str]:
    """Of each table: bytes that each new row took, in three parts of the time; whether the last is like the second."""
    if len(samples) < 4:
        return []
    cuts = [samples[len(samples) * part // 3 - (part == 3)][1] for part in range(4)]
    lines = []
    for name in WATCHED:
        parts = []
        for old, new in pairwise(cuts):
            rows = new[name].inserted - old[name].inserted
            parts.append((new[name].total_bytes - old[name].total_bytes) / max(rows, 1))
        worse = parts[2] > LEVEL * parts[1]
        shown = ", ".join(figures.shown(part) for part in parts)
        lines.append(
            f"{name}: {shown} bytes for each new row in the three thirds of the time: "
            f"{'it grows faster than its rows' if worse else 'it does not grow faster than its rows'}."
        )
    return lines


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--minutes", type=float, default=30)
    arguments.add_argument("--rate", type=float, default=10, help="runs a second")
    arguments.add_argument("--tenants", type=int, default=10)
    arguments.add_argument("--port", type=int, default=0)
    arguments.add_argument("--no-file", action="store_true", help="print only")
    options = arguments.parse_args()
    model = Model()
    checkout = Checkout(PROJECT, name="Holdfast", model=model, port=options.port)
    checkout.start()
    right = False

    async def measure() -> None:
        nonlocal right
        bloat = Bloat(checkout, await checkout.tenants(options.tenants), options)
        await bloat.run()
        right = not bloat.problems

    try:
        run_loop(measure())
    finally:
        checkout.remove()
        model.stop()
    sys.exit(0 if right else 1)


if __name__ == "__main__":
    main()
