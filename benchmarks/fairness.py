"""Ten tenants at once, one of which has 2,000 runs queued: how long the others wait for their first token.

    make bench-fairness

A web process, a worker, PostgreSQL, Valkey and a model provider at a model's pace (benchmarks/paced_model.py) on this
machine. Nine tenants make a streamed run now and then: alone, beside the runs of the tenth, and alone again.
Takes some four minutes. The table goes to the terminal and to benchmarks/results/fairness.md.
"""

import argparse
import asyncio
import contextlib
import random
import signal
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import httpx2

from benchmarks import installation
from benchmarks.paced_model import SECONDS

FIRST_TOKEN = b"event: thread.message.delta"
COMPLETED = b"event: thread.run.completed"
HELLO = {"messages": [{"role": "user", "content": "Hello"}]}


class Caller:
    def __init__(self, client: httpx2.AsyncClient, token: str) -> None:
        self.client = client
        self.headers = {"Authorization": f"Bearer {token}"}
        self.assistant = ""
        self.first_tokens: list[float] = []
        self.whole: list[float] = []
        self.failed = 0

    async def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        response = await self.client.post(path, json=body, headers=self.headers)
        response.raise_for_status()
        made: dict[str, Any] = response.json()
        return made

    async def prepare(self) -> None:
        self.assistant = (await self.post("assistants", {"model": "paced", "instructions": "Be brief."}))["id"]

    async def queue_run(self) -> None:
        await self.post("threads/runs", {"assistant_id": self.assistant, "thread": HELLO})

    async def stream_run(self) -> None:
        body = {"assistant_id": self.assistant, "thread": HELLO, "stream": True}
        began, first, seen = time.perf_counter(), 0.0, b""
        async with self.client.stream("POST", "threads/runs", json=body, headers=self.headers) as response:
            async for piece in response.aiter_bytes():
                seen += piece
                if not first and FIRST_TOKEN in seen:
                    first = time.perf_counter() - began
        if COMPLETED in seen and first:
            self.first_tokens.append(first)
            self.whole.append(time.perf_counter() - began)
        else:
            self.failed += 1

    async def now_and_then(self, seconds: float, pause: float, chance: random.Random) -> None:
        until = time.perf_counter() + seconds
        await asyncio.sleep(chance.uniform(0, pause))
        while time.perf_counter() < until:
            await self.stream_run()
            await asyncio.sleep(chance.expovariate(1 / pause))


@contextlib.contextmanager
def processes() -> Iterator[str]:
    """A web process, whose address it gives, a worker and the model, until the block ends."""
    from django.conf import settings

    from assistant_site.embedded.process import spawn, wait_gone
    from assistant_site.tests.stack import Stack, free_port

    port = free_port()
    model = spawn(
        [sys.executable, "-m", "benchmarks.paced_model", str(port)],
        log=settings.VAR_DIR / "model.log",
        death_signal=signal.SIGTERM,
        folder=installation.PROJECT,
    )
    settings_of_both = {"OPENAI_BASE_URL": f"http://127.0.0.1:{port}/v1", "OPENAI_API_KEY": "sk-none"}
    env = settings_of_both | {"RUN_SECONDS": "3600"}
    try:
        with Stack(folder=settings.VAR_DIR, env=env) as stack:
            yield stack.base_url
    finally:
        model.terminate()
        wait_gone(model.pid, 5, model)


def waiting_runs(tenant_id: str) -> tuple[int, int]:
    """Of a tenant: queued runs, completed runs."""
    from runs.models import Run

    runs = Run.objects.across_tenants().filter(tenant_id=tenant_id)
    return runs.filter(status="queued").count(), runs.filter(status="completed").count()


def forget_queue(tenant_id: str) -> None:
    """Without its queued runs the tenth is quiet."""
    from runs.models import Run

    Run.objects.across_tenants().filter(tenant_id=tenant_id, status="queued").delete()


async def phase(callers: list[Caller], options: argparse.Namespace) -> dict[str, list[float]]:
    chance = random.Random(7)
    for caller in callers:
        caller.first_tokens, caller.whole, caller.failed = [], [], 0
    await asyncio.gather(*(caller.now_and_then(options.seconds, options.pause, chance) for caller in callers))
    return {
        "first": [value for caller in callers for value in caller.first_tokens],
        "whole": [value for caller in callers for value in caller.whole],
        "failed": [caller.failed for caller in callers],
    }


async def measure(base_url: str, tenants: list[tuple[str, str]], options: argparse.Namespace) -> list[str]:
    limits = httpx2.Limits(max_connections=200)
    async with httpx2.AsyncClient(base_url=base_url, timeout=120, limits=limits) as client:
        *callers, greedy = [Caller(client, token) for _, token in tenants]
        greedy_id = tenants[-1][0]
        for caller in [*callers, greedy]:
            await caller.prepare()
        await asyncio.gather(*(caller.stream_run() for caller in callers for _ in range(3)))  # warm
        quiet = await phase(callers, options)
        began = time.perf_counter()
        limit = asyncio.Semaphore(16)

        async def one() -> None:
            async with limit:
                await greedy.queue_run()

        await asyncio.gather(*(one() for _ in range(options.runs)))
        queueing = time.perf_counter() - began
        queued, done = await asyncio.to_thread(waiting_runs, greedy_id)
        at = time.perf_counter()
        busy = await phase(callers, options)
        seconds = time.perf_counter() - at
        left, done_now = await asyncio.to_thread(waiting_runs, greedy_id)
        await asyncio.to_thread(forget_queue, greedy_id)
        await asyncio.sleep(5)
        again = await phase(callers, options)  # the machine may have become slower or quicker meanwhile
        quiet = {of: quiet[of] + again[of] for of in quiet}
    return [*table(quiet, busy), "", *told(options, queueing, queued, left, (done_now - done) / seconds)]


def table(quiet: dict[str, list[float]], busy: dict[str, list[float]]) -> list[str]:
    lines = ["| | runs | first token p50 | p95 | whole run p50 | p95 |", "| --- | --- | --- | --- | --- | --- |"]
    figures = []
    for name, found in (("quiet: nine tenants alone", quiet), ("beside the tenth's queue", busy)):
        row = [1_000 * installation.percentile(found[of], share) for of in ("first", "whole") for share in (0.5, 0.95)]
        figures.append(row)
        failed = f" ({sum(found['failed']):.0f} failed)" if sum(found["failed"]) else ""
        lines.append(f"| {name} | {len(found['first'])}{failed} | " + " | ".join(f"{ms:.0f} ms" for ms in row) + " |")
    ratios = [b / a for a, b in zip(*figures, strict=True)]
    lines.append("| times as long | | " + " | ".join(f"{ratio:.2f}" for ratio in ratios) + " |")
    return lines


def told(options: argparse.Namespace, queueing: float, queued: int, left: int, rate: float) -> list[str]:
    return [
        f"The tenth queued {options.runs:,} runs in {queueing:.0f} s, of which {queued:,} waited when the measurement "
        f"began and {left:,} when it ended; meanwhile {rate:.1f} of them were completed in a second."
    ]


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--runs", type=int, default=2_000, help="that the tenth tenant queues")
    arguments.add_argument("--seconds", type=float, default=45.0, help="of each phase")
    arguments.add_argument("--pause", type=float, default=2.0, help="seconds between two runs of a tenant, on average")
    arguments.add_argument("--no-file", action="store_true", help="print only")
    options = arguments.parse_args()
    installation.prepare()
    from tenants import actions

    tenants = []
    for number in range(10):
        tenant = actions.ensure_tenant(f"Tenant {number}")
        tenants.append((tenant.pk, actions.issue_token(tenant=tenant, name="bench")[1]))
    with processes() as base_url:
        lines = asyncio.run(measure(base_url, tenants, options))
    today = datetime.now(UTC).date().isoformat()
    text = "\n".join(
        [
            "# Fairness: nine tenants beside one with a long queue",
            "",
            f"`make bench-fairness` on {today}, revision {installation.revision()}: {installation.machine()}.",
            "",
            f"Each of the nine makes a streamed run every {options.pause + SECONDS:.1f} s or so; the model takes "
            f"{SECONDS:.2f} s for an answer, 50 ms of them for its first token. From the request to the first "
            "`thread.message.delta`, and to the stream's end.",
            "",
            *lines,
            "",
        ]
    )
    sys.stdout.write(text)
    if not options.no_file:
        (installation.RESULTS / "fairness.md").write_text(text)


if __name__ == "__main__":
    main()
