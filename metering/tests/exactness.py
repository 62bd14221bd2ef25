"""A budget under fire: many runs at once, workers killed meanwhile, and the books read at every moment.

`python -m metering.tests.exactness` does it on an installation of its own, for as long as is wanted; the test beside
this file does a short one.
"""

import argparse
import random
import shutil
import sys
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

PROMPT = 25  # tokens that the model says it read; less than is reserved for such a prompt
PATIENCE_SECONDS = 120.0
ENVIRONMENT = {
    "RUN_LEASE_SECONDS": "3",
    "RUN_ATTEMPTS": "50",
    "WORKER_DRAIN_SECONDS": "1",
    "RUN_SECONDS": "600",
    "WORKER_DATABASE_THREADS": "4",
}
FUNCTION = {"type": "function", "function": {"name": "go_on", "parameters": {"type": "object", "properties": {}}}}
BOOKS = """
    SELECT balance.spent, balance.reserved,
        (SELECT coalesce(sum(prompt_tokens + completion_tokens), 0) FROM metering_ledgerentry AS entry
            WHERE entry.tenant_id = balance.tenant_id AND entry.state = 'settled'),
        (SELECT coalesce(sum((run.spent ->> 'total_tokens')::bigint), 0) FROM runs_run AS run
            WHERE run.tenant_id = balance.tenant_id),
        (SELECT coalesce(sum(prompt_tokens + completion_tokens), 0) FROM metering_usageday AS day
            WHERE day.tenant_id = balance.tenant_id),
        (SELECT coalesce(sum(prompt_tokens + completion_tokens), 0) FROM metering_ledgerentry AS entry
            WHERE entry.tenant_id = balance.tenant_id AND entry.state = 'settled' AND NOT entry.is_rolled_up)
    FROM metering_balance AS balance WHERE balance.budget_id = %s
"""


def answer_to(request: Any) -> Any:
    """Says what the prompt wants, but no more than it may; calls the function first where there is one."""
    from assistant_site.llm.tests.quirk_server import Answer, delta, streaming

    body = request.body
    prompt = next(message["content"] for message in reversed(body["messages"]) if message["role"] == "user")
    wanted, most = int(prompt.split()[1]), body["max_completion_tokens"]
    completion = min(wanted, most)
    usage = {"prompt_tokens": PROMPT, "completion_tokens": completion, "total_tokens": PROMPT + completion}
    calls = bool(body.get("tools")) and body["messages"][-1]["role"] == "user"
    if calls and completion == wanted:
        call = {"index": 0, "id": f"call_{time.monotonic_ns()}", "type": "function"}
        said = [delta(tool_calls=[{**call, "function": {"name": "go_on", "arguments": "{}"}}]), delta("tool_calls")]
    else:
        said = [delta(content="x "), delta(content="y"), delta("stop" if completion == wanted else "length")]
    pieces = streaming(*said, {"id": "c", "choices": [], "usage": usage}).pieces
    slow = [each for piece in pieces for each in (piece, 0.15)]
    return Answer(tuple(slow), before=0.3)


@dataclass
class Trial:
    """One budget, many runs, some kills."""

    stack: Any
    folder: Path
    amount: int = 1_000_000
    runs: int = 96
    at_once: int = 64
    kills: int = 3
    seed: int = 1
    complaints: list[str] = field(default_factory=list)
    seen: Counter[str] = field(default_factory=Counter)
    samples: int = 0
    most: Decimal = Decimal(0)  # of what was spent and reserved together, at any moment
    books: tuple[Decimal, ...] = ()  # as they were at last

    def carry_out(self) -> None:
        from assistant_site.llm.tests.quirk_server import QuirkServer
        from assistant_site.tests.callers import LiveCaller, new_tenant
        from metering.models import Budget

        self.tenant, self.token = new_tenant("Exact")
        self.over = threading.Event()
        chosen = random.Random(self.seed)
        plans = [(chosen.randrange(8_000, 20_000, 2), chosen.random(), chosen.random()) for _ in range(self.runs)]
        with QuirkServer(answer_to) as model:
            caller = LiveCaller(self.tenant, self.token, self.stack.url)
            caller.provided_by(model.base_url)
            self.assistants = [caller.assistant(model="m"), caller.assistant(model="m", tools=[FUNCTION])]
            self.budget = Budget.objects.create(tenant=self.tenant, amount=self.amount)
            time.sleep(0.6)  # until every process knows that the tenant has a budget
            sampler = threading.Thread(target=self.sample, name="sampler")
            sampler.start()
            try:
                with ThreadPoolExecutor(self.at_once) as pool:
                    carried = [pool.submit(self.carry, plan) for plan in plans]
                    self.kill(chosen)  # by this thread: processes die with the thread that has started them
                    for each in carried:
                        each.result()
                self.settle_down()
            finally:
                self.over.set()
                sampler.join()
        self.judge()

    # --- Callers ------------------------------------------------------------------------------------------------------

    def carry(self, plan: tuple[int, float, float]) -> None:
        """One run, from its creation to its end, with outputs where it wants some; some are cancelled."""
        from assistant_site.tests.callers import LiveCaller

        tokens, kind, fate = plan
        caller = LiveCaller(self.tenant, self.token, self.stack.url)
        twice = kind < 0.4
        each = tokens // 2 if twice else tokens
        content = [{"role": "user", "content": f"want {each}"}]
        body = {
            "assistant_id": self.assistants[twice],
            "thread": {"messages": content},
            "max_completion_tokens": tokens,
        }
        made = caller.send("POST", "/v1/threads/runs", body)
        if made.status == 429:
            self.seen["refused"] += 1
            if made.error["code"] != "insufficient_quota":
                self.complaints.append(f"refused with {made.error}")
            return
        if made.status != 200:
            self.complaints.append(f"not made: {made.body}")
            return
        path = f"/v1/threads/{made['thread_id']}/runs/{made['id']}"
        until = time.monotonic() + PATIENCE_SECONDS
        run = made.body
        if fate < 0.08:
            time.sleep(0.5)
            caller.send("POST", f"{path}/cancel")
        while run["status"] in ("queued", "in_progress", "cancelling", "requires_action"):
            if time.monotonic() > until:
                self.complaints.append(f"{run['id']} is still {run['status']}")
                return
            time.sleep(0.25)
            run = caller.send("GET", path).body
            if run["status"] == "requires_action":
                asked = run["required_action"]["submit_tool_outputs"]["tool_calls"]
                outputs = [{"tool_call_id": call["id"], "output": "on"} for call in asked]
                caller.send("POST", f"{path}/submit_tool_outputs", {"tool_outputs": outputs})
        self.seen[run["status"]] += 1
        self.judge_run(run, expected=(2 * (PROMPT + each) if twice else PROMPT + each))

    def judge_run(self, run: dict[str, Any], expected: int) -> None:
        used = run["usage"]["total_tokens"]
        if run["status"] == "completed" and used != expected:
            self.complaints.append(f"{run['id']} used {used} and not {expected}")
        if run["status"] == "failed":
            error = run["last_error"]
            quota = error["code"] == "rate_limit_exceeded" and error["message"].startswith("You exceeded your current")
            self.seen["failed for the quota"] += quota
            if not quota:
                self.complaints.append(f"{run['id']} failed: {error}")

    # --- Trouble ------------------------------------------------------------------------------------------------------

    def kill(self, chosen: random.Random) -> None:
        workers = [name for name in str(self.stack).split(", ") if name.startswith("worker-")]
        for number in range(self.kills):
            time.sleep(chosen.uniform(1.5, 3.0))
            worker = workers[number % len(workers)]
            self.stack.kill(worker)
            self.stack.start(worker)
            self.seen["kills"] += 1

    # --- Books --------------------------------------------------------------------------------------------------------

    def read(self) -> tuple[Decimal, ...]:
        """What the balance has as spent and reserved, the tokens of ledger, runs and days, and those of no day yet."""
        from django.db import connection

        with connection.cursor() as cursor:
            cursor.execute(BOOKS, [self.budget.pk])
            return tuple(cursor.fetchone() or [Decimal(0)] * 6)

    def sample(self) -> None:
        """At each moment, in one snapshot: balance, ledger and runs agree, and nothing is overdrawn."""
        from django.db import connection

        try:
            while not self.over.wait(0.03):
                spent, reserved, ledger, runs, days, rest = self.read()
                self.samples += 1
                self.most = max(self.most, spent + reserved)
                if not (spent == ledger == runs == days + rest) and spent + reserved:
                    told = f"balance {spent}, ledger {ledger}, runs {runs}, days {days} and {rest}"
                    self.complaints.append(f"the books disagree: {told}")
                if spent > self.amount or spent + reserved > self.amount or reserved < 0:
                    self.complaints.append(f"{spent} spent and {reserved} reserved of {self.amount}")
        finally:
            connection.close()

    def settle_down(self) -> None:
        """Waits until nothing is reserved any more."""
        from metering.models import LedgerEntry

        until = time.monotonic() + PATIENCE_SECONDS
        reserved = LedgerEntry.objects.of(self.tenant).filter(state="reserved")
        while reserved.exists() and time.monotonic() < until:
            time.sleep(0.2)

    def judge(self) -> None:
        from django.db.models import Count

        from metering.models import LedgerEntry
        from runs.models import Run

        self.books = self.read()
        spent, reserved, ledger, runs, *_ = self.books
        if not (spent == ledger == runs) or reserved:
            self.complaints.append(f"at the end: balance {spent}, ledger {ledger}, runs {runs}, reserved {reserved}")
        if not self.seen["refused"] + self.seen["failed for the quota"]:
            self.complaints.append("the budget was never used up")
        entries = LedgerEntry.objects.of(self.tenant).filter(state="settled")
        if entries.values("key").annotate(times=Count("key")).filter(times__gt=1).exists():
            self.complaints.append("a turn counts twice")
        for run in Run.objects.of(self.tenant):
            mine = sum(each.prompt_tokens + each.completion_tokens for each in entries.filter(run_id=run.pk))
            if mine != run.spent.get("total_tokens", 0):
                self.complaints.append(f"{run.pk} spent {run.spent}, and the ledger has {mine}")

    def __str__(self) -> str:
        spent, reserved, ledger, runs, *_ = self.books
        told = ", ".join(f"{count} {name}" for name, count in sorted(self.seen.items()))
        return (
            f"{self.amount:,} tokens, {self.runs} runs, {self.at_once} at once: {told}. {self.samples} samples; spent "
            f"and reserved never above {self.most:,.0f}. At the end: spent {spent:,.0f}, ledger {ledger:,}, "
            f"runs {runs:,}, reserved {reserved:,.0f}. {len(self.complaints)} complaints."
        )


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m metering.tests.exactness", description=__doc__)
    parser.add_argument("--budget", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=300)
    parser.add_argument("--at-once", type=int, default=64)
    parser.add_argument("--kills", type=int, default=15)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    from runs.tests.chaos.__main__ import settle

    folder = Path(tempfile.mkdtemp(prefix="holdfast-exactness-")).resolve()
    folder.chmod(0o711)  # as root, PostgreSQL runs as another user and must get to its data
    settle(folder)
    from django.conf import settings
    from django.core.management import call_command

    from assistant_site.embedded.services import Services
    from assistant_site.tests.stack import Stack

    services = Services.of(
        var=settings.VAR_DIR,
        sockets=settings.EMBEDDED_SOCKET_DIR,
        password=settings.EMBEDDED_DATABASE_PASSWORD,
        database=True,
        valkey=True,
    )
    services.start()
    try:
        call_command("migrate", verbosity=0, interactive=False)
        with Stack(folder=folder, workers=options.workers, env=ENVIRONMENT) as stack:
            trial = Trial(stack, folder, options.budget, options.runs, options.at_once, options.kills, options.seed)
            began = time.monotonic()
            trial.carry_out()
        print(f"{trial} {time.monotonic() - began:.0f} s.")
        for complaint in trial.complaints[:20]:
            print(complaint)
        return 1 if trial.complaints else 0
    finally:
        services.stop()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
