"""Holdfast under many streams for minutes: does it stay as it is, and is each stream whole?

    make bench-steady MINUTES=10 STREAMS=300 TENANTS=20

So many streams are open at any time: when one ends, another begins. Answers take 2 to 30 s, at the rates and with the
pauses of real models. Some readers read slowly, some runs call a function, some readers leave and come back by
`GET …/events`. Each stream's text, events and positions are checked. A row a minute, as it happens; the document
benchmarks/results/steady.md is written anew each minute, so that nothing is lost if it is stopped.
"""

import argparse
import asyncio
import random
import sys
from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from benchmarks.load import figures, tables, talk
from benchmarks.load.checkout import PROJECT, Checkout, Model
from benchmarks.load.client import Client, Pieces, Refused, clock
from benchmarks.load.events import ANSWERED_AFTER_OUTPUTS, ASKING, Story
from benchmarks.load.loop import run_loop
from benchmarks.load.meter import Meter
from benchmarks.load.processes import SERVERS, app
from benchmarks.load.report import say, write
from benchmarks.paced_model import Pace

KINDS = {"plain": 0.65, "slow": 0.1, "calls": 0.15, "leaves": 0.1}
EVEN = 0.4  # of the plain ones: of these it is known when each token was due
SHORTEST, LONGEST = 2.0, 30.0
MS = 1_000
HEAD = (
    *("minute", "ended", "not right", "first token late by, ms: p50", "p95", "p99", "token late by, ms: p50", "p99"),
    *("Holdfast, MiB", "web", "worker", "postgres", "valkey", "CPU of Holdfast, cores", "of servers", "of client"),
    *("Valkey, keys",),
)


def any_pace(chance: random.Random, is_even: bool) -> Pace:
    """Short answers are more frequent than long ones."""
    seconds = min(LONGEST, SHORTEST + chance.expovariate(1 / 7))
    rate = chance.uniform(20, 60)
    token = 1 / rate if is_even else 1 / rate + 0.015
    return Pace(round(chance.uniform(0.2, 1.2), 3), max(8, int(seconds / token)), float(round(rate)), not is_even)


@dataclass
class Minute:
    """What has ended since the last row."""

    ended: Counter[str] = field(default_factory=Counter)
    firsts: list[float] = field(default_factory=list)  # seconds that first tokens came late
    lags: list[float] = field(default_factory=list)  # and those after them, of even streams
    problems: Counter[str] = field(default_factory=Counter)


class Steady:
    def __init__(self, checkout: Checkout, clients: list[Client], options: argparse.Namespace) -> None:
        self.checkout, self.clients, self.options = checkout, clients, options
        self.minute = Minute()
        self.total = Minute()
        self.assistants: dict[Client, dict[bool, str]] = {}
        self.rows: list[list[Any]] = []
        self.until = 0.0

    async def run(self) -> None:
        for client in self.clients:
            usual = Pace()
            self.assistants[client] = {
                calls: await talk.new_assistant(client, usual, calls=calls) for calls in (False, True)
            }
        with self.checkout.database() as database:
            before = tables.tables(database)
        began = clock()
        self.until = began + 60 * self.options.minutes
        seats = [asyncio.ensure_future(self._seat(number)) for number in range(self.options.streams)]
        number = 0
        while clock() < self.until:
            number += 1
            meter = Meter(self.checkout)
            await asyncio.sleep(max(0.0, min(began + 60 * number, self.until) - clock()))
            await self._row(number, meter)
            self._write(before)
        say("the last streams end")
        meter = Meter(self.checkout)
        await asyncio.wait(seats, timeout=2 * LONGEST + 30)
        for seat in seats:
            if not seat.done():
                seat.cancel()
                self.minute.problems["did not end"] += 1
        await self._row("end", meter)
        self._write(before)

    async def _row(self, name: int | str, meter: Meter) -> None:
        used, minute = meter.stop(), self.minute
        self.minute = Minute()
        self.total.ended += minute.ended
        self.total.problems += minute.problems
        memory = await asyncio.to_thread(self.checkout.processes.memory)
        seconds = used["seconds"]
        late = [figures.percentile(minute.firsts, share) for share in (0.5, 0.95, 0.99)]
        lag = [figures.percentile(minute.lags, share) for share in (0.5, 0.99)]
        row = [
            name,
            sum(minute.ended.values()),
            sum(minute.problems.values()),
            *(None if value is None else MS * value for value in late + lag),
            app(memory),
            *(memory.get(part, 0.0) for part in ("web", "worker", "postgres", "valkey")),
            app(used) / seconds,
            sum(used.get(part, 0.0) for part in SERVERS) / seconds,
            (used["client"] + used["model"]) / seconds,
            int((await asyncio.to_thread(tables.valkey, self.checkout.folder))["keys"]),
        ]
        self.rows.append(row)
        say("  ".join(f"{head}: {figures.shown(cell)}" for head, cell in zip(HEAD, row, strict=True)))
        for problem, count in minute.problems.most_common(5):
            say(f"  {count} × {problem}")

    # --- Streams -----------------------------------------------------------------------------------------------------

    async def _seat(self, number: int) -> None:
        chance = random.Random(number)
        client = self.clients[number % len(self.clients)]
        await asyncio.sleep(chance.uniform(0, min(20.0, 15 * self.options.minutes)))  # not all at the same moment
        while clock() < self.until:
            (kind,) = chance.choices(list(KINDS), list(KINDS.values()))
            try:
                problem = await self._stream(client, kind, chance)
            except (Refused, OSError, TimeoutError, KeyError, ValueError) as error:
                problem = f"{type(error).__name__} {error}".strip()
                await asyncio.sleep(0.5)
            self.minute.ended[kind] += 1
            if problem:
                self.minute.problems[f"{kind}: {problem}"] += 1

    async def _stream(self, client: Client, kind: str, chance: random.Random) -> str:
        is_even = kind == "plain" and chance.random() < EVEN
        pace, tag = any_pace(chance, is_even), talk.new_tag()
        call = " call:lookup" if kind == "calls" else ""
        thread = await talk.new_thread(client, f"tag:{tag} {pace}{call}")
        asked = {"assistant_id": self.assistants[client][kind == "calls"], "stream": True}
        pieces, story = Pieces(), Story()
        path = f"/threads/{thread}/runs"
        if kind == "leaves":
            return await self._leave_and_come_back(client, path, asked, chance, talk.expected(pace, tag))
        await client.stream(
            "POST",
            path,
            asked,
            pieces,
            seconds=4 * LONGEST,
            watch=_reads_slowly(chance) if kind == "slow" else None,
            small=kind == "slow",
        )
        story.read(pieces.data)
        if kind != "calls":
            if kind == "plain":
                self._note_times(pieces, pace)
            return story.problem(talk.expected(pace, tag))
        calls = story.action["required_action"]["submit_tool_outputs"]["tool_calls"]
        await asyncio.sleep(chance.uniform(0.05, 2))
        outputs = [{"tool_call_id": each["id"], "output": f"found-{tag}"} for each in calls]
        pieces = Pieces()
        path += f"/{story.action['id']}/submit_tool_outputs"
        await client.stream("POST", path, {"tool_outputs": outputs, "stream": True}, pieces, seconds=4 * LONGEST)
        story.read(pieces.data)
        self._note_times(pieces, pace)
        return story.problem(talk.expected(pace, tag, f"found-{tag}"), ASKING, ANSWERED_AFTER_OUTPUTS)

    async def _leave_and_come_back(
        self, client: Client, path: str, asked: dict[str, Any], chance: random.Random, text: str
    ) -> str:
        pieces, story = Pieces(), Story()

        async def leave(transport: asyncio.Transport) -> None:
            while not pieces.parts:  # noqa: ASYNC110 there is nobody to tell it
                await asyncio.sleep(0.05)
            await asyncio.sleep(chance.uniform(0, 6))
            transport.abort()

        try:
            await client.stream("POST", path, asked, pieces, seconds=4 * LONGEST, watch=leave)
        except ConnectionError:
            if not pieces.parts:
                raise
        story.read(pieces.data)
        if not story.is_done:
            await asyncio.sleep(chance.uniform(0, 4))
            pieces = Pieces()
            back = f"{path}/{story.last['id']}/events?after={story.position}"
            await client.stream("GET", back, None, pieces, seconds=4 * LONGEST)
            story.read(pieces.data)
        return story.problem(text)

    def _note_times(self, pieces: Pieces, pace: Pace) -> None:
        self.minute.firsts.append(pieces.seconds_to_first - pace.first)
        if not pace.is_uneven:
            gap = 1 / pace.rate
            times = pieces.times
            self.minute.lags += [max(0.0, b - a - gap) for a, b in pairwise(times)]

    # --- The document ------------------------------------------------------------------------------------------------

    def _write(self, before: dict[str, tables.Table]) -> None:
        with self.checkout.database() as database:
            after = tables.tables(database)
        ended = sum(self.total.ended.values())
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in self.total.ended.most_common())
        lines = [
            f"{self.options.streams} streams of {self.options.tenants} tenants are open at any time, of 2 to 30 s. "
            f"Ended: {ended:,} ({kinds}); not right: {sum(self.total.problems.values())}.",
            "",
            *(f"- {count} × {problem}" for problem, count in self.total.problems.most_common()),
            "*Late*: a first token, beyond the model's own time for it; a later one, beyond the model's rate (of even "
            "streams; tokens that were gathered under load count with the gap before them). Memory is PSS at the "
            "minute's end. Servers: PostgreSQL and Valkey; client: with the fake model.",
            "",
            *figures.table(HEAD, self.rows),
            "",
            "Tables that were written to, since the beginning:",
            "",
            *figures.table(tables.GROWTH_HEAD, tables.growth(before, after, ended)),
        ]
        how = f"`make bench-steady MINUTES={self.options.minutes:g} STREAMS={self.options.streams}`"
        write("steady", "Many streams for minutes", how, lines, file=not self.options.no_file, shown=False)


def _reads_slowly(chance: random.Random) -> Any:
    async def watch(transport: asyncio.Transport) -> None:
        while True:
            await asyncio.sleep(0.3)
            transport.pause_reading()
            await asyncio.sleep(chance.uniform(1, 5))
            transport.resume_reading()

    return watch


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--minutes", type=float, default=10)
    arguments.add_argument("--streams", type=int, default=300)
    arguments.add_argument("--tenants", type=int, default=20)
    arguments.add_argument("--port", type=int, default=0)
    arguments.add_argument("--no-file", action="store_true", help="print only")
    options = arguments.parse_args()
    options.tenants = min(options.tenants, options.streams)
    model = Model()
    checkout = Checkout(PROJECT, name="Holdfast", model=model, port=options.port)
    checkout.start()
    right = False

    async def measure() -> None:
        nonlocal right
        steady = Steady(checkout, await checkout.tenants(options.tenants), options)
        await steady.run()
        right = not steady.total.problems

    try:
        run_loop(measure())
    finally:
        checkout.remove()
        model.stop()
    sys.exit(0 if right else 1)


if __name__ == "__main__":
    main()
