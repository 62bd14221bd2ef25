"""The same figures on empty and on grown tables, in turns: nothing may become slower with what is stored.

    make bench-growth                                    10,000 tenants, 1,000,000 runs, 10,000,000 messages; 15 GB
    make bench-growth TENANTS=100 RUNS=10000 MESSAGES=100000 LONG=1000

Two installations beside each other. One is filled by PostgreSQL itself, with copies of rows that Holdfast has made: a
few huge tenants, many small ones, over the last ninety days, ids in the order of time. Then both are measured in turns.
Which statements took longest on the grown one, how PostgreSQL carried them out, and whether any table was read from end
to end stands below the figures, in benchmarks/results/growth.md.
"""

import argparse
import asyncio
import re
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import psycopg

from benchmarks.bench import TITLES, Bench, Site, settled
from benchmarks.load import figures, tables, talk
from benchmarks.load.checkout import PROJECT, Checkout, Model
from benchmarks.load.client import Client, clock
from benchmarks.load.filling import SECOND, Connection, at, copies, lengthen, sql, wire_id
from benchmarks.load.loop import run_loop
from benchmarks.load.processes import app
from benchmarks.load.report import Report, say, write
from benchmarks.paced_model import INSTANT, USUAL

EMPTY, GROWN = "empty", "grown"
ALLOWED = 1.3
SECTIONS = ("latency", "runs", "crud", "lists")
GROWING = (
    *("tenants_tenant", "tenants_apitoken", "assistants_assistant", "threads_thread", "threads_message"),
    *("runs_run", "runs_runstep", "metering_ledgerentry"),
)
DAYS = 90
APART = 40 * SECOND  # between two messages of a thread
BATCHES = 40
HALVES = 2  # sessions that fill at once


# --- Filling ---------------------------------------------------------------------------------------------------------


@dataclass
class Template:
    """A run that Holdfast has carried out, whose rows are copied; its tenant is to be the largest."""

    tenant: str
    assistant: str
    thread: str
    run: str


async def make_template(site: Site) -> Template:
    assistant = await site.assistant(INSTANT)
    ((thread, _),) = await site.tagged(1)
    run = await talk.wait_for(site.client, await talk.new_run(site.client, thread, assistant))
    await asyncio.sleep(5)  # until it is settled and summed up
    with site.checkout.database() as database:
        ((tenant,),) = sql(database, "SELECT tenant_id FROM runs_run WHERE id = %s", run["id"])
    return Template(tenant, assistant, thread, run["id"])


def fill(checkout: Checkout, template: Template, options: argparse.Namespace) -> None:
    """All rows but those of the long thread; indexes are dropped meanwhile and made again as they were."""
    with checkout.database() as database:
        sql(database, "ALTER SYSTEM SET max_wal_size = '8GB'")
        sql(database, "SELECT pg_reload_conf()")
        definitions = _drop_indexes(database)
        _fast(database)
        _tenants(database, template, options.tenants)
        _plan(database, template, options)
    threads = max(1, options.runs // 2)
    step = -(-threads // BATCHES)
    ranges = [(first, min(first + step, threads)) for first in range(0, threads, step)]
    for what, insert in (("threads", _threads), ("runs", _runs), ("messages", _messages)):
        began = time.monotonic()

        def batch(range_: tuple[int, int], insert: Callable[[Connection, Template, str], None] = insert) -> None:
            with checkout.database() as database:
                _fast(database)
                insert(database, template, f"n >= {range_[0]} AND n < {range_[1]}")

        with ThreadPoolExecutor(HALVES) as pool:
            list(pool.map(batch, ranges))
        say(f"{what} in {time.monotonic() - began:.0f} s")

    def build(definition: str) -> None:
        with checkout.database() as database:
            sql(database, "SET maintenance_work_mem = '512MB'")
            sql(database, definition)

    began = time.monotonic()
    with ThreadPoolExecutor(HALVES) as pool:
        list(pool.map(build, definitions))
    with checkout.database() as database:
        sql(database, "DROP TABLE bench_tenants, bench_plan")
        for table in GROWING:
            sql(database, f"VACUUM (ANALYZE) {table}")
        sql(database, "ALTER SYSTEM RESET max_wal_size")
        sql(database, "SELECT pg_reload_conf()")
        sql(database, "CHECKPOINT")
    say(f"indexes and statistics in {time.monotonic() - began:.0f} s")


def _fast(database: Connection) -> None:
    """For this session: rows that are right by construction are not looked up, and a commit is not waited for."""
    sql(database, "SET session_replication_role = replica")
    sql(database, "SET synchronous_commit = off")


def _drop_indexes(database: Connection) -> list[str]:
    """All but those of keys and constraints; what makes them again, the largest first."""
    found = sql(
        database,
        "SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid) FROM pg_index "
        "WHERE indrelid = ANY(%s::regclass[]) AND NOT indisunique",
        list(GROWING),
    )
    for name, _ in found:
        sql(database, f"DROP INDEX {name}")
    return sorted((definition for _, definition in found), key=lambda text: "threads_message" not in text)


def _tenants(database: Connection, template: Template, count: int) -> None:
    """Number 0 is the tenant that is there already."""
    now = int(time.time()) * SECOND
    first = now - (DAYS + 30) * 86_400 * SECOND
    moment = f"({first}::bigint + n * {20 * 86_400 * SECOND // max(count, 1)}::bigint)"
    sql(database, "CREATE UNLOGGED TABLE bench_tenants (n int PRIMARY KEY, id text, token text, assistant text)")
    ids = ", ".join(wire_id(prefix, moment) for prefix in ("tenant_", "token_", "asst_"))
    sql(database, f"INSERT INTO bench_tenants SELECT n, {ids} FROM generate_series(1, {count - 1}) AS n")
    source = "SELECT * FROM bench_tenants ORDER BY n"
    own = {"id": "made.id", "name": "'Customer ' || made.n", "created_at": at(moment)}
    copies(database, "tenants_tenant", f"id = '{template.tenant}'", own, source)
    own = {
        "id": "made.token",
        "tenant_id": "made.id",
        "digest": "md5(random()::text) || md5(random()::text)",
        "created_at": at(moment),
        "last_used_at": "NULL",
    }
    copies(database, "tenants_apitoken", f"tenant_id = '{template.tenant}'", own, source)
    own = {"id": "made.assistant", "tenant_id": "made.id", "created_at": at(moment)}
    copies(database, "assistants_assistant", f"id = '{template.assistant}'", own, source)
    sql(
        database,
        "INSERT INTO bench_tenants SELECT 0, %s, id, %s FROM tenants_apitoken WHERE tenant_id = %s LIMIT 1",
        template.tenant,
        template.assistant,
        template.tenant,
    )
    sql(database, "ANALYZE bench_tenants")


def _plan(database: Connection, template: Template, options: argparse.Namespace) -> None:
    """Whose threads there are, when, with how many messages; two runs answer the last two questions of each.

    By the fourth power the largest of 10,000 tenants has a tenth of everything, and half of them have a sixth.
    """
    threads = max(1, options.runs // 2)
    mean = options.messages / threads
    last = int(time.time()) * SECOND - 86_400 * SECOND
    first = last - DAYS * 86_400 * SECOND
    step = (last - first) / threads
    run = [wire_id("run_", f"(us + (size - {back}) * {APART}::bigint - {12 * SECOND})") for back in (3, 1)]
    sql(
        database,
        "CREATE UNLOGGED TABLE bench_plan AS "
        "SELECT planned.n, us, size, tenant.id AS tenant, tenant.token, tenant.assistant, "
        f"{wire_id('thread_', 'us')} AS thread, {run[0]} AS run_a, {run[1]} AS run_b FROM ("
        f"SELECT n, ({first} + n * {step!r} + random() * {step!r} * 0.9)::bigint AS us, "
        f"4 + 2 * floor(-ln(1 - random()) * {max(0.0, (mean - 4) / 2)!r} + 0.5)::int AS size, "
        f"floor({options.tenants} * power(random(), 4))::int AS tenant_n "
        f"FROM generate_series(0, {threads - 1}) AS n OFFSET 0) AS planned "
        "JOIN bench_tenants AS tenant ON tenant.n = tenant_n ORDER BY planned.n",
    )
    sql(database, "CREATE INDEX ON bench_plan (n)")
    sql(database, "ANALYZE bench_plan")


def _threads(database: Connection, template: Template, where: str) -> None:
    own = {
        "id": "made.thread",
        "tenant_id": "made.tenant",
        "created_at": at("made.us"),
        "message_count": "made.size",
        "active_run_id": "NULL",
    }
    source = f"SELECT * FROM bench_plan WHERE {where} ORDER BY n"
    copies(database, "threads_thread", f"id = '{template.thread}'", own, source)


def _runs(database: Connection, template: Template, where: str) -> None:
    """Each with its step and its entry of the ledger."""
    source = (
        f"SELECT plan.*, run, plan.us + (size - back) * {APART}::bigint - {12 * SECOND} AS at FROM bench_plan AS plan "
        f"CROSS JOIN LATERAL (VALUES (run_a, 3), (run_b, 1)) AS run (run, back) WHERE {where} ORDER BY n, back DESC"
    )
    whose = {"tenant_id": "made.tenant", "thread_id": "made.thread", "assistant_id": "made.assistant"}
    whose |= {"token_id": "made.token", "created_at": at("made.at")}
    ended = at(f"made.at + {9 * SECOND}")
    times = {"queued_at": at("made.at"), "started_at": at("made.at + 50000"), "completed_at": ended}
    times |= {"expires_at": at(f"made.at + {600 * SECOND}"), "run_expires_at": at(f"made.at + {600 * SECOND}")}
    own = whose | times | {"id": "made.run", "lease_until": "NULL"}
    copies(database, "runs_run", f"id = '{template.run}'", own, source)
    own = whose | times | {"id": wire_id("step_", "(made.at + 500000)"), "run_id": "made.run"}
    copies(database, "runs_runstep", f"run_id = '{template.run}'", own, source)
    own = whose | {"key": "made.run || '/1'", "run_id": "made.run", "settled_at": ended, "is_rolled_up": "true"}
    own |= {"id": "nextval(pg_get_serial_sequence('metering_ledgerentry', 'id'))"}
    copies(database, "metering_ledgerentry", f"run_id = '{template.run}'", own, source)


def _messages(database: Connection, template: Template, where: str) -> None:
    """Questions and answers in turn, of some fifty to some four hundred characters."""
    moment = f"(made.us + made.number * {APART}::bigint)"
    text = "repeat('this is what somebody has said about it, ', 1 + (made.n + made.number) % 9)"
    own = {
        "id": wire_id("msg_", moment),
        "tenant_id": "made.tenant",
        "thread_id": "made.thread",
        "created_at": at(moment),
        "completed_at": at(moment),
        "role": "CASE made.number % 2 WHEN 0 THEN 'user' ELSE 'assistant' END",
        "content": "jsonb_build_array(jsonb_build_object('type', 'text', 'text', "
        f"jsonb_build_object('value', {text}, 'annotations', '[]'::jsonb)))",
        "assistant_id": "CASE made.number % 2 WHEN 1 THEN made.assistant END",
        "run_id": "CASE made.number WHEN made.size - 3 THEN made.run_a WHEN made.size - 1 THEN made.run_b END",
    }
    source = (
        "SELECT plan.*, number FROM bench_plan AS plan CROSS JOIN LATERAL generate_series(0, size - 1) AS number "
        f"WHERE {where} ORDER BY n, number"
    )
    copies(database, "threads_message", f"thread_id = '{template.thread}' AND role = 'user'", own, source)


# --- Measuring -------------------------------------------------------------------------------------------------------


class Growth(Bench):
    """The sections of `make bench`, and the lists of the largest tenant."""

    def __init__(self, sites: list[Site], report: Report, options: argparse.Namespace) -> None:
        super().__init__(sites, report, options)
        self.long: dict[str, str] = {}  # the long thread; on the empty tables it has a thousand messages

    async def run(self) -> None:
        for site in self.sites:
            await self._streams_at_once(site, 32)  # warm
        await self._know_model()
        for number in range(self.options.rounds):
            for name in SECTIONS:
                say(f"{name}, round {number + 1} of {self.options.rounds}")
                for site in self.sites if number % 2 == 0 else reversed(self.sites):
                    await settled(self.model)
                    await getattr(self, name)(site)

    async def lists(self, site: Site) -> None:
        thread = self.long[site.name]
        await self._runs_on(site, thread)
        middle = await self._middle(site, thread)
        pages = {
            "first page of the long thread": f"/threads/{thread}/messages?limit=20",
            "oldest page of the long thread": f"/threads/{thread}/messages?limit=20&order=asc",
            "a page from its middle": f"/threads/{thread}/messages?limit=20&after={middle}",
            "the page before that": f"/threads/{thread}/messages?limit=20&before={middle}",
            "runs of the long thread": f"/threads/{thread}/runs?limit=20",
            "threads of the largest tenant": "/threads?limit=20",
            "its oldest threads": "/threads?limit=20&order=asc",
            "runs of the largest tenant": "/runs?limit=20",
            "assistants of the largest tenant": "/assistants?limit=20",
        }
        for name, path in pages.items():
            times = []
            for _ in range(15):
                began = clock()
                page = await site.client.call("GET", path)
                times.append(1_000 * (clock() - began))
                if page["object"] != "list" or not page["data"]:
                    self.report.problem("lists", site.name, f"{name}: nothing came")
            self.report.note("lists", name, site.name, times)

    async def _runs_on(self, site: Site, thread: str) -> None:
        assistant = await site.assistant(USUAL)
        for _ in range(4):
            tag = talk.new_tag()
            began = clock()
            await talk.add_message(site.client, thread, f"tag:{tag}")
            self.report.note("lists", "a message more in the long thread", site.name, 1_000 * (clock() - began))
            meter = self._meter(site)
            run = await talk.stream_run(site.client, thread, assistant, talk.expected(USUAL, tag))
            used = self._used("lists", meter)
            if run.problem:
                self.report.problem("lists", site.name, f"run on the long thread: {run.problem}")
                continue
            over = 1_000 * (run.first - self.first)
            self.report.note("lists", "run on the long thread: first-token overhead", site.name, over)
            self.report.note("lists", "run on the long thread: CPU of Holdfast", site.name, 1_000 * app(used))

    async def _middle(self, site: Site, thread: str) -> str:
        with site.checkout.database() as database:
            ((count,),) = sql(database, "SELECT count(*) FROM threads_message WHERE thread_id = %s", thread)
            ((found,),) = sql(
                database,
                "SELECT id FROM threads_message WHERE thread_id = %s ORDER BY id OFFSET %s LIMIT 1",
                thread,
                count // 2,
            )
        return str(found)


# --- Statements ------------------------------------------------------------------------------------------------------

_LOGGED = re.compile(r"duration: ([\d.]+) ms  (?:statement|execute [^:]*): (.*)", re.DOTALL)
_ENTRY = re.compile(r"^\d{4}-\d\d-\d\d [\d:.]+ \S+ \[\d+\] ", re.MULTILINE)
_TELLING = re.compile(r"^SET ROLE [^;]*; SET [^;]*; ")


@dataclass
class Statement:
    """All statements that differ in their values only."""

    text: str
    example: str
    times: list[float] = field(default_factory=list)  # ms


def form_of(text: str) -> str:
    """A statement without its values."""
    text = re.sub(r"'(?:[^']|'')*'(::\w+(\[\])?)?", "?", " ".join(text.split()))
    text = re.sub(r"\b\d+(\.\d+)?\b", "?", text)
    text = re.sub(r"\(\?(, \?)+\)", "(…)", text)
    return re.sub(r'"\w+"\."(\w+)"', r"\1", text).replace('"', "")


def statements_of(log: str) -> list[Statement]:
    """What PostgreSQL has logged, those first that took longest together."""
    found: dict[str, Statement] = {}
    for entry in _ENTRY.split(log):
        if logged := _LOGGED.search(entry):
            text = _TELLING.sub("", logged[2].strip())
            if text.startswith(("SELECT", "INSERT", "UPDATE", "DELETE", "WITH")):
                made = found.setdefault(form_of(text), Statement(form_of(text), text))
                made.times.append(float(logged[1]))
    return sorted(found.values(), key=lambda each: -sum(each.times))


def plan_of(database: Connection, tenant: str, statement: str) -> str:
    """How PostgreSQL carries it out for a tenant: how it finds rows, and the pages that it touches; undone."""
    if statement.startswith("INSERT"):
        return "–"  # it is there already
    sql(database, "BEGIN")
    try:
        sql(database, "SET LOCAL ROLE holdfast_app")
        sql(database, "SELECT set_config('holdfast.tenant', %s, true)", tenant)
        cursor = database.execute(f"EXPLAIN (ANALYZE, BUFFERS, COSTS OFF) {statement}")
        lines = [str(line) for (line,) in cursor.fetchall()]
    except psycopg.Error as error:
        return f"not explained ({type(error).__name__})"
    finally:
        sql(database, "ROLLBACK")
    ways = [re.sub(r" \(actual.*| \(never.*", "", line.strip(" ->")) for line in lines]
    ways = [way for way in ways if "Scan" in way and not way.startswith(("Bitmap Heap", "Function", "Result"))]
    pages = next((sum(map(int, re.findall(r"(?:hit|read)=(\d+)", line))) for line in lines if "Buffers:" in line), 0)
    return f"{'; '.join(dict.fromkeys(ways)) or 'no table read'}: {pages} pages"


async def watched(growth: Growth, site: Site, options: argparse.Namespace) -> list[str]:
    """One more round on the grown tables, with every statement logged."""
    log = site.checkout.folder / "log" / "postgres.log"
    begin = log.stat().st_size
    with site.checkout.database() as database:
        sql(database, "ALTER SYSTEM SET log_min_duration_statement = 0")
        sql(database, "SELECT pg_reload_conf()")
        before = tables.tables(database)
    growth.report.columns, kept = [], growth.report.columns  # this round's figures are not shown
    rows = growth.report.rows
    growth.report.rows = {}
    try:
        for name in SECTIONS:
            await getattr(growth, name)(site)
    finally:
        growth.report.columns, growth.report.rows = kept, rows
    await asyncio.sleep(2)
    with site.checkout.database() as database:
        sql(database, "ALTER SYSTEM RESET log_min_duration_statement")
        sql(database, "SELECT pg_reload_conf()")
        after = tables.tables(database)
        ((tenant,),) = sql(database, "SELECT tenant_id FROM threads_thread WHERE id = %s", growth.long[site.name])
        with log.open("rb") as file:
            file.seek(begin)
            found = statements_of(file.read().decode(errors="replace"))
        body: list[list[float | int | str | None]] = []
        for each in found[: options.statements]:
            short = each.text if len(each.text) < 230 else f"{each.text[:110]} … {each.text[-110:]}"
            plan = plan_of(database, tenant, each.example)
            mean = sum(each.times) / len(each.times)
            body.append([short.replace("|", "¦"), len(each.times), mean, max(each.times), plan.replace("|", "¦")])
    read = [
        (name, after[name].scans - before[name].scans, after[name].scanned - before[name].scanned)
        for name in after
        if name in before and after[name].live > 5_000 and after[name].scans > before[name].scans
    ]
    lines = ["Tables of more than 5,000 rows that were read from end to end meanwhile: "]
    lines[0] += ", ".join(f"{name} ({scans} times, {rows:,} rows)" for name, scans, rows in read) or "none"
    lines[0] += "."
    head = ("statement", "times", "mean, ms", "longest, ms", "how")
    return [*lines, "", "The statements that took longest together:", "", *figures.table(head, body), ""]


def verdict(report: Report) -> str:
    """Which figures became worse by more than is allowed."""
    worse = []
    for section, rows in report.rows.items():
        for name in rows:
            ratio = figures.ratio(report.figure(section, name, GROWN), report.figure(section, name, EMPTY))
            if ratio and "second" in name:
                ratio = 1 / ratio
            if ratio and ratio > ALLOWED and "p95" not in name:
                worse.append(f"{name.replace('*', '')} ({ratio:.2f})")
    return f"Worse by more than {ALLOWED}: " + (", ".join(worse) or "nothing") + "."


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--tenants", type=int, default=10_000)
    arguments.add_argument("--runs", type=int, default=1_000_000)
    arguments.add_argument("--messages", type=int, default=10_000_000)
    arguments.add_argument("--long", type=int, default=99_000, help="messages of the long thread (100,000 are allowed)")
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--statements", type=int, default=20, help="how many are shown")
    arguments.add_argument("--port", type=int, default=0, help="of the empty installation; the grown one has the next")
    arguments.add_argument("--no-file", action="store_true", help="print only")
    options = arguments.parse_args()
    options.quick = False
    model = Model()
    checkouts = [
        Checkout(PROJECT, name=name, model=model, port=options.port + number if options.port else 0)
        for number, name in enumerate((EMPTY, GROWN))
    ]
    report = Report([EMPTY, GROWN])
    lines: list[str] = []
    for checkout in checkouts:
        checkout.start()

    async def measure() -> None:
        client = Client(model.base)
        sites = [Site(checkout, client) for checkout in checkouts]
        growth = Growth(sites, report, options)
        template = await make_template(sites[1])
        began = time.monotonic()
        await asyncio.to_thread(fill, checkouts[1], template, options)
        took = time.monotonic() - began
        for site, count in zip(sites, (min(1_000, options.long), options.long), strict=True):
            growth.long[site.name] = await talk.new_thread(site.client, "hello")
            with site.checkout.database() as database:
                lengthen(database, growth.long[site.name], count - 1)
                sql(database, "VACUUM (ANALYZE) threads_message")
        with checkouts[1].database() as database:
            found = tables.tables(database)
            rows = {name: sql(database, f"SELECT count(*) FROM {name}")[0][0] for name in GROWING}
        size = sum(each.total_bytes for each in found.values())
        lines.append(
            "Grown: "
            + ", ".join(f"{count:,} rows in {name}" for name, count in rows.items())
            + f"; the long thread has {options.long:,} messages, on the empty tables {min(1_000, options.long):,}. "
            f"{size / 2**30:.1f} GB, made in {took:.0f} s."
        )
        await growth.run()
        lines.append("")
        lines.append(verdict(report))
        lines.append("")
        lines.extend(report.lines(SECTIONS, TITLES | {"lists": "lists and the long thread, ms"}, (EMPTY, GROWN)))
        lines.extend(await watched(growth, sites[1], options))

    try:
        run_loop(measure())
    finally:
        for checkout in checkouts:
            checkout.remove()
        model.stop()
    how = f"`make bench-growth TENANTS={options.tenants} RUNS={options.runs} MESSAGES={options.messages}`"
    write("growth", "Empty and grown tables", how, [*lines, *report.ending()], file=not options.no_file)
    sys.exit(1 if report.problems else 0)


if __name__ == "__main__":
    main()
