"""Holdfast measured from outside, beside what the bare model does: overheads, streams at once, requests, CPU, memory.

    make bench                              four to six minutes
    make bench QUICK=1                      one minute, for a first look
    make bench ONLY=latency,runs            some sections; the others' figures stay as they were measured last
    make bench WEB_SERVER=uvicorn           with a setting
    make bench COMPARE=../other/checkout    two checkouts in turns, A, B, A, B, and their ratios
    make bench COMPARE=. OTHER="WEB_SERVER=daphne"    the same checkout with other settings

It starts Holdfast as its user does (`manage.py up`) in a folder that is thrown away, and a fake model;
docs/benchmarks.md says how to read the table. Each answer is checked. The table goes to the terminal and to
benchmarks/results/bench.md.
"""

import argparse
import asyncio
import contextlib
import itertools
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

from benchmarks.load import figures, talk
from benchmarks.load.checkout import PROJECT, Checkout, Model
from benchmarks.load.client import Client, clock, gathered
from benchmarks.load.filling import lengthen
from benchmarks.load.loop import run_loop
from benchmarks.load.meter import Meter
from benchmarks.load.processes import APP, PARTS, app
from benchmarks.load.report import BARE, Report, say, write
from benchmarks.paced_model import INSTANT, USUAL, Pace

TITLES = {
    "latency": "one streamed run at a time, ms",
    "streams": "streams at once",
    "runs": "runs without a stream, 16 at once, model at once",
    "crud": "requests, 16 at once",
    "threads": "long threads, ms",
    "memory": "at rest and under load, MiB (PSS)",
}
MS = 1_000
CALLERS = 16


class Site:
    """An installation under measurement, with what the sections need in it."""

    def __init__(self, checkout: Checkout, model: Client) -> None:
        self.checkout, self.name, self.model = checkout, checkout.name, model
        self.client = checkout.client()
        self.assistants: dict[Pace, str] = {}

    async def assistant(self, pace: Pace) -> str:
        if pace not in self.assistants:
            self.assistants[pace] = await talk.new_assistant(self.client, pace)
        return self.assistants[pace]

    async def tagged(self, count: int) -> list[tuple[str, str]]:
        """New threads with a message that is to be answered, and their tags."""
        tags = [talk.new_tag() for _ in range(count)]
        return list(zip(await gathered(talk.new_thread(self.client, f"tag:{tag}") for tag in tags), tags, strict=True))


class Bench:
    def __init__(self, sites: list[Site], report: Report, options: argparse.Namespace) -> None:
        self.sites, self.report, self.options = sites, report, options
        self.model = sites[0].model
        self.first = self.whole = 0.0  # of the bare model, at its usual pace

    async def run(self) -> None:
        for site in self.sites:
            await self._streams_at_once(site, 32)  # warm
        sections: dict[str, Callable[[Site], Awaitable[None]]] = {
            name: getattr(self, name) for name in TITLES if name in self.options.only
        }
        await self._know_model()
        for name, section in sections.items():
            self.report.forget(name)
            for number in range(self._rounds(name)):
                say(f"{name}, round {number + 1} of {self._rounds(name)}")
                for site in self.sites:
                    await settled(self.model)
                    await section(site)
            self.report.save()

    def _rounds(self, name: str) -> int:
        return 1 if self.options.quick or name == "memory" else self.options.rounds

    def _meter(self, site: Site) -> Meter:
        return Meter(site.checkout, [each.checkout for each in self.sites])

    def _used(self, section: str, meter: Meter) -> dict[str, float]:
        used = meter.stop()
        self.report.others[section] = max(self.report.others.get(section, 0.0), used["other_cores"])
        return used

    async def _know_model(self) -> None:
        times = [await talk.ask_model(self.model, USUAL) for _ in range(3 if self.options.quick else 7)]
        firsts, wholes = [first for first, _ in times], [whole for _, whole in times]
        self.first, self.whole = figures.median(firsts) or 0.0, figures.median(wholes) or 0.0
        self.bare = firsts, wholes

    def _note_latency(self, column: str, firsts: list[float], wholes: list[float], how: str) -> None:
        word = "p50" if how == "median" else how
        self.report.note("latency", f"first token, {word}", column, [MS * value for value in firsts], how)
        self.report.note("latency", f"whole answer, {word}", column, [MS * value for value in wholes], how)

    # --- The sections, each for one installation and one round -------------------------------------------------------

    async def latency(self, site: Site) -> None:
        section = "latency"
        if not self.report.rows.get(section):
            for how in ("median", "p95"):
                self._note_latency(BARE, *self.bare, how)
        assistant, first, whole = await site.assistant(USUAL), [], []
        for _ in range(4 if self.options.quick else 8):
            ((thread, tag),) = await site.tagged(1)
            await asyncio.sleep(0.05)
            meter = self._meter(site)
            run = await talk.stream_run(site.client, thread, assistant, talk.expected(USUAL, tag))
            used = self._used(section, meter)
            if run.problem:
                self.report.problem(section, site.name, run.problem)
                continue
            first.append(run.first)
            whole.append(run.whole)
            self.report.note(section, "CPU of Holdfast per run", site.name, MS * app(used))
        for how in ("median", "p95"):
            self._note_latency(site.name, first, whole, how)
        for how, word in (("median", "p50"), ("p95", "p95")):
            over = [MS * (value - self.first) for value in first]
            self.report.note(section, f"**first-token overhead, {word}**", site.name, over, how)
            over = [MS * (value - self.whole) for value in whole]
            self.report.note(section, f"**whole-run overhead, {word}**", site.name, over, how)

    async def streams(self, site: Site) -> None:
        for count in [1, 8, 64] if self.options.quick else self.options.levels:
            if site is self.sites[0]:
                self.model.close()
                began = clock()
                firsts = await asyncio.gather(*(talk.ask_model(self.model, USUAL) for _ in range(count)))
                self._note_streams(BARE, count, [first for first, _ in firsts], clock() - began)
                await settled(self.model)
            await self._streams_at_once(site, count, "streams")
            await settled(self.model)

    async def _streams_at_once(self, site: Site, count: int, section: str = "") -> None:
        assistant, threads = await site.assistant(USUAL), await site.tagged(count)
        site.client.close()  # each stream has another caller, whose connection is new
        meter, began = self._meter(site), clock()
        runs = await asyncio.gather(
            *(talk.stream_run(site.client, thread, assistant, talk.expected(USUAL, tag)) for thread, tag in threads)
        )
        wall = clock() - began
        if not section:
            return
        used = self._used(section, meter)
        for run in runs:
            if run.problem:
                self.report.problem(section, site.name, f"of {count} streams: {run.problem}")
        right = [run.first for run in runs if not run.problem]
        self._note_streams(site.name, count, right, wall)
        self.report.note(section, f"{count}: right", site.name, len(right), "least")
        self.report.note(section, f"{count}: CPU of Holdfast per run, ms", site.name, MS * app(used) / count)

    def _note_streams(self, column: str, count: int, firsts: list[float], wall: float) -> None:
        ideal = self.whole
        self.report.note("streams", f"{count}: **wall / ideal**", column, wall / ideal)
        self.report.note("streams", f"{count}: first token, p50, ms", column, MS * (figures.median(firsts) or 0))
        self.report.note(
            "streams", f"{count}: first token, p95, ms", column, MS * (figures.percentile(firsts, 0.95) or 0)
        )

    async def runs(self, site: Site) -> None:
        count = 48 if self.options.quick else 160
        assistant, threads = await site.assistant(INSTANT), await site.tagged(count)
        times: list[float] = []

        async def one(thread: str) -> None:
            began = clock()
            run = await talk.wait_for(site.client, await talk.new_run(site.client, thread, assistant))
            if run["status"] == "completed":
                times.append(clock() - began)
            else:
                self.report.problem("runs", site.name, f"a run is {run['status']}")

        meter = self._meter(site)
        await gathered(one(thread) for thread, _ in threads)
        used = self._used("runs", meter)
        for thread, tag in threads:
            if await talk.answers_of(site.client, thread) != [talk.expected(INSTANT, tag)]:
                self.report.problem("runs", site.name, "another text")
        self.report.note("runs", "**runs a second**", site.name, len(times) / used["seconds"])
        self.report.note("runs", "a run, p50, ms", site.name, [MS * value for value in times])
        self.report.note("runs", "a run, p95, ms", site.name, [MS * value for value in times], "p95")
        self.report.note("runs", "**CPU of Holdfast per run, ms**", site.name, MS * app(used) / count)
        for part in PARTS:
            if part in used:
                self.report.note("runs", f"of {part}, ms", site.name, MS * used[part] / count)

    async def crud(self, site: Site) -> None:
        client = site.client
        ((thread, _), (listed, _), *written) = await site.tagged(2 + CALLERS)
        turns = itertools.cycle(thread for thread, _ in written)  # one thread takes one message at a time
        run = await talk.wait_for(client, await talk.new_run(client, thread, await site.assistant(INSTANT)))
        with site.checkout.database() as database:
            lengthen(database, listed, 999)
        page = await client.call("GET", f"/threads/{listed}/messages?limit=20")
        ids = [each["id"] for each in page["data"]]
        if len(ids) != 20 or ids != sorted(ids, reverse=True):
            self.report.problem("crud", site.name, "a page that is not in order")

        async def create_thread() -> bool:
            return str((await client.call("POST", "/threads", {}))["id"]).startswith("thread_")

        async def create_message() -> bool:
            return bool(await talk.add_message(client, next(turns), "hello there"))

        async def list_messages() -> bool:
            page = await client.call("GET", f"/threads/{listed}/messages?limit=20")
            return [each["id"] for each in page["data"]] == ids and bool(page["has_more"])

        async def get_run() -> bool:
            found = await client.call("GET", f"/threads/{thread}/runs/{run['id']}")
            return bool(found["id"] == run["id"] and found["status"] == "completed")

        operations: dict[str, Callable[[], Awaitable[bool]]] = {
            "create thread": create_thread,
            "create message": create_message,
            "list 20 of 1,000": list_messages,
            "get run": get_run,
        }
        seconds = 1.0 if self.options.quick else 2.5
        for name, operation in operations.items():
            times: list[float] = []

            async def caller(operation: Callable[[], Awaitable[bool]], times: list[float], until: float) -> None:
                while (began := clock()) < until:
                    if not await operation():
                        self.report.problem("crud", site.name, "a wrong answer")
                    times.append(clock() - began)

            await operation()
            meter = self._meter(site)
            await asyncio.gather(*(caller(operation, times, clock() + seconds) for _ in range(CALLERS)))
            used = self._used("crud", meter)
            self.report.note("crud", f"{name}: **requests a second**", site.name, len(times) / used["seconds"])
            self.report.note("crud", f"{name}: p95, ms", site.name, [MS * value for value in times], "p95")
            self.report.note("crud", f"{name}: CPU of Holdfast, ms", site.name, MS * app(used) / len(times))
            self.report.note("crud", f"{name}: of postgres, ms", site.name, MS * used["postgres"] / len(times))

    async def threads(self, site: Site) -> None:
        assistant = await site.assistant(USUAL)
        for size in (10, 1_000, 10_000):
            thread = await talk.new_thread(site.client, "hello")
            with site.checkout.database() as database:
                lengthen(database, thread, size - 1)
            pages = []
            for _ in range(10):
                began = clock()
                page = await site.client.call("GET", f"/threads/{thread}/messages?limit=20")
                pages.append(MS * (clock() - began))
                if len(page["data"]) != min(20, size):
                    self.report.problem("threads", site.name, "a page that is not whole")
            self.report.note("threads", f"{size:,} messages: first page of 20", site.name, pages)
            for _ in range(2 if self.options.quick else 3):
                tag = talk.new_tag()
                await talk.add_message(site.client, thread, f"tag:{tag}")
                meter = self._meter(site)
                run = await talk.stream_run(site.client, thread, assistant, talk.expected(USUAL, tag))
                used = self._used("threads", meter)
                if run.problem:
                    self.report.problem("threads", site.name, f"at {size:,} messages: {run.problem}")
                    continue
                for name, value in (
                    ("**first-token overhead**", run.first - self.first),
                    ("whole-run overhead", run.whole - self.whole),
                    ("CPU of Holdfast per run", app(used)),
                ):
                    self.report.note("threads", f"{size:,} messages: {name}", site.name, MS * value)

    async def memory(self, site: Site) -> None:
        """Each alone: what two installations have in common, such as libraries, counts half for each of them."""
        others = [each for each in self.sites if each is not site]
        for other in others:
            other.checkout.stop()
            other.client.close()
        site.checkout.stop()
        site.client.close()
        site.checkout.start()
        await self._streams_at_once(site, 1)
        await asyncio.sleep(1)
        meter = self._meter(site)
        await asyncio.sleep(1 if self.options.quick else 6)
        used = self._used("memory", meter)
        self.report.note("memory", "CPU of Holdfast at rest, ms a second", site.name, MS * app(used) / used["seconds"])
        rest = site.checkout.processes.memory()
        highest = dict(rest)
        load = asyncio.ensure_future(self._streams_at_once(site, 64))
        while not load.done():
            for part, value in (await asyncio.to_thread(site.checkout.processes.memory)).items():
                highest[part] = max(highest.get(part, 0.0), value)
            await asyncio.sleep(0.2)
        await load
        counts = site.checkout.processes.counts()
        for name, found in (("at rest", rest), ("under 64 streams", highest)):
            self.report.note("memory", f"**Holdfast's own processes, {name}**", site.name, app(found))
            for part in PARTS:
                if part in found:
                    self.report.note("memory", f"{part}, {name}", site.name, found[part])
        processes = sum(counts.get(part, 0) for part in APP)
        self.report.note("memory", "Holdfast's own processes, how many", site.name, processes)
        for other in others:
            other.checkout.start()


async def settled(model: Client, seconds: float = 30) -> None:
    """Until the model has nothing to say any more, and a moment longer."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while (await model.call("GET", "/models"))["active"]:  # noqa: ASYNC110 it is another process
                await asyncio.sleep(0.05)
    await asyncio.sleep(0.25)


def sites_of(options: argparse.Namespace, model: Model) -> list[Checkout]:
    made = [Checkout(PROJECT, name="Holdfast", model=model, port=options.port)]
    if options.compare:
        given = dict(pair.split("=", 1) for pair in (options.other or "").split() if "=" in pair)
        port = options.port + 1 if options.port else 0
        made.append(Checkout(options.compare, name="the other", model=model, port=port, environment=given))
    return made


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--quick", action="store_true", help="few rounds: a first look")
    arguments.add_argument("--only", default=",".join(TITLES), help=f"of: {', '.join(TITLES)}")
    arguments.add_argument("--compare", type=Path, help="another checkout, measured in turns with this one")
    arguments.add_argument("--other", help="settings of the other one, such as WEB_SERVER=daphne")
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--levels", default="1,8,32,64,128,256", help="streams at once")
    arguments.add_argument("--port", type=int, default=0, help="of the installation (0: any); the other has the next")
    arguments.add_argument("--note", default="", help="a sentence for the table")
    arguments.add_argument("--no-file", action="store_true", help="print only")
    options = arguments.parse_args()
    options.only = [name for name in options.only.split(",") if name]
    options.levels = [int(level) for level in options.levels.split(",")]
    if unknown := set(options.only) - set(TITLES):
        arguments.error(f"no such section: {', '.join(sorted(unknown))}")

    model = Model()
    checkouts = sites_of(options, model)
    columns = [BARE, *(checkout.name for checkout in checkouts)]
    name = "compare" if options.compare else "bench"
    revisions = {checkout.name: checkout.revision() for checkout in checkouts}
    of = f"{sorted(revisions.items())} {options.quick} {options.other}"
    report = Report(columns, PROJECT / "var" / "benchmarks" / f"{name}.json", of)
    if set(options.only) != set(TITLES):
        report.load()
    for checkout in checkouts:
        say(f"starting {checkout.name}: {checkout.path}")
        checkout.start()

    async def measure() -> None:
        client = Client(model.base)
        await Bench([Site(checkout, client) for checkout in checkouts], report, options).run()

    try:
        run_loop(measure())
    finally:
        for checkout in checkouts:
            checkout.remove()
        model.stop()
    how = "`make bench COMPARE=…`" if options.compare else "`make bench`"
    lines = [*told(options, checkouts, revisions)]
    compared = (checkouts[0].name, checkouts[1].name) if options.compare else None
    lines += report.lines(list(TITLES), TITLES, compared) + report.ending()
    write(name, "Holdfast beside the bare model", how, lines, file=not options.no_file)
    sys.exit(1 if report.problems else 0)


def told(options: argparse.Namespace, checkouts: list[Checkout], revisions: dict[str, str]) -> list[str]:
    lines = [
        f"The model takes {MS * USUAL.first:.0f} ms to its first token and {USUAL.seconds:.2f} s for {USUAL.tokens} "
        "tokens. *Overhead*: what Holdfast takes longer than the model alone; *ideal*: one answer of the model alone. "
        "Client, model, PostgreSQL, Valkey and Holdfast share the machine. Bold rows are the goals' figures "
        "([how to read them](../../docs/benchmarks.md)).",
    ]
    for checkout in checkouts[1:]:
        settings = f", with {options.other}" if options.other else ""
        lines.append(f"The other is revision {revisions[checkout.name]}{settings}.")
    if not checkouts[0].has_sandbox:
        lines.append("Without the code interpreter (`make sandbox` builds it): its daemon is not in the memory.")
    return [*lines, *([options.note] if options.note else []), ""]


if __name__ == "__main__":
    main()
