"""A run with code whose worker dies, stops or is cancelled at each of its moments, one after the other.

A moment is each visit to the database, before and after it, and each event of the sandbox. The worker is a real
execution in this process; a dead one writes and tells nothing any more, and what it told last may be lost with it.
"""

import asyncio
import contextlib
import json
import os
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from django.db import connections
from django.utils import timezone

from assistant_site import valkey
from assistant_site.db.threads import DatabaseThreads
from assistant_site.llm.tests.quirk_server import Answer, QuirkServer, Request, called, said
from assistant_site.tests.callers import Event, LocalCaller, new_tenant
from assistant_site.tests.stack import Stack
from metering.models import LedgerEntry
from runs import actions, events, recovery
from runs.events import RunLog
from runs.execution import Execution
from runs.models import Run, RunStep
from runs.tests.clockwork.sandbox import Clockwork
from runs.tests.coding import CODE, code
from runs.tests.folding import Folded
from sandbox.protocol import Done, SessionKey
from tools.code_interpreter import access

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

CALLS = called(
    code("print one", "image a", "print two", "write x.csv 1,2"),
    ("file_search", json.dumps({"queries": ["cats"]})),
    code("print three", "print four", "image b", "print five"),
)
LINK = "sandbox:/mnt/data/x.csv"
OUTPUTS = [
    [{"logs": "one\n"}, {}, {"logs": "two\n"}],
    [{"logs": "three\nfour\n"}, {}, {"logs": "five\n"}],
]


class Dead(BaseException):
    pass


class Fate:
    """What happens at the worker's n-th moment; `came` says whether it has come to that."""

    def __init__(self, moment: int, what: Callable[[], None] = lambda: None, *, is_death: bool = False) -> None:
        self.moment = moment
        self.what = what
        self.is_death = is_death
        self.moments = 0

    @property
    def came(self) -> bool:
        return 0 < self.moment <= self.moments

    def step(self) -> None:
        if self.came and self.is_death:
            raise Dead
        self.moments += 1
        if self.moments == self.moment:
            self.what()
            if self.is_death:
                raise Dead


class FatefulThreads(DatabaseThreads):
    def __init__(self, fate: Fate) -> None:
        super().__init__(1)
        self.fate = fate

    async def run(self, function: Any, *args: Any, **kwargs: Any) -> Any:
        self.fate.step()
        result = await super().run(function, *args, **kwargs)
        self.fate.step()
        return result

    async def end(self) -> None:
        await super().run(connections.close_all)
        self.close()


class FatefulClockwork(Clockwork):
    fate = Fate(0)

    async def execute(
        self, key: SessionKey, generation: str, call_id: str, code: str, *, attach_only: bool = False
    ) -> AsyncIterator[Any]:
        async for event in super().execute(key, generation, call_id, code, attach_only=attach_only):
            self.fate.step()
            yield event
            if not isinstance(event, Done):
                await asyncio.sleep(0)


class Wire:
    """Sends what is told to Valkey, `lag` events late."""

    def __init__(self, lag: int) -> None:
        self.lag = lag
        self.is_cut = False
        self.waiting: list[tuple[str, int, str, bytes]] = []

    def wake(self, log: RunLog) -> None:
        asyncio.get_running_loop().call_soon(self.collect, log)

    def collect(self, log: RunLog) -> None:
        if not self.is_cut:
            self.waiting += [(log.key, *event) for event in log.take()]
            self.send(self.lag)

    def send(self, lag: int) -> None:
        due, self.waiting = self.waiting[: len(self.waiting) - lag], self.waiting[len(self.waiting) - lag :]
        for key, position, name, data in due:
            valkey.blocking().xadd(key, {"e": name, "d": data}, id=f"{position}-0")

    def cut(self) -> None:
        self.is_cut = True


@pytest.fixture(scope="module")
def alone(stack: Stack) -> Iterator[None]:
    """No worker but the test's own."""
    stack.stop("worker-1")
    yield
    stack.start("worker-1")
    stack.wait_ready()


@pytest.fixture
def cora(live: Stack, alone: None) -> LocalCaller:
    """A caller in this process. (`live` gives the test access to the database.)"""
    return LocalCaller(*new_tenant("Cora"))


@pytest.fixture
def clockwork(tmp_path: Path) -> FatefulClockwork:
    return FatefulClockwork(tmp_path)


def model(request: Request) -> Answer:
    """Says something and calls three tools; then it sums up."""
    if request.body["messages"][-1]["role"] == "tool":
        return said("All of ", "it: ", LINK[:9], LINK[9:], ".")
    speaks = said("Let me see.")
    return Answer((*speaks.pieces[:2], *CALLS.pieces))


class Life:
    """A run from its creation to its rest, with all workers that it takes."""

    def __init__(self, cora: LocalCaller, clockwork: FatefulClockwork) -> None:
        self.cora = cora
        self.clockwork = clockwork
        self.thread = cora.thread("Go")
        assistant = cora.assistant(tools=[CODE, {"type": "file_search"}])
        self.id = str(cora.post(f"threads/{self.thread}/runs", {"assistant_id": assistant})["id"])

    @property
    def row(self) -> Run:
        run: Run = Run.objects.of(self.cora.tenant).get(pk=self.id)
        return run

    def worker(self, lag: int = 0) -> tuple[Execution, Wire]:
        wire = Wire(lag)
        execution = Execution(self.id, self.cora.tenant.pk, "somebody", None, wire)  # type: ignore[arg-type]
        return execution, wire

    async def _work(self, execution: Execution, wire: Wire, fate: Fate) -> None:
        threads, codes = FatefulThreads(fate), FatefulThreads(fate)
        access.code_threads._of_loops[asyncio.get_running_loop()] = codes
        FatefulClockwork.fate = fate
        execution.database = threads
        try:
            with contextlib.suppress(Dead, asyncio.CancelledError):
                await execution.start()
        finally:
            await asyncio.sleep(0.02)
            if not fate.is_death or not fate.came:
                wire.send(0)
            await threads.end()
            await codes.end()

    def work(self, execution: Execution, wire: Wire, fate: Fate) -> bool:
        """Until it rests, or the worker's fate has come; whether it has."""
        with access.using(self.clockwork):
            asyncio.run(self._work(execution, wire, fate))
        return fate.came

    def lose(self) -> None:
        """Its holder's lease ends, and a ticker looks."""
        Run.objects.of(self.cora.tenant).filter(pk=self.id).update(lease_until=timezone.now() - timedelta(seconds=1))
        recovery.tick()

    def judge(self) -> Folded:
        """What a reader from the start knows is what is stored."""
        told = [Event(t.name.decode(), json.loads(t.data), t.position) for t in events.told_of(self.id)]
        folded = Folded([*told, Event("done", None)])
        folded.equals_rest(self.cora)  # type: ignore[arg-type]
        steps = self.cora.get(f"threads/{self.thread}/runs/{self.id}/steps?order=asc&limit=100")["data"]
        assert all(step["status"] != "in_progress" for step in steps)
        spent = sum((step["usage"] or {}).get("total_tokens", 0) for step in steps)
        used = folded.run["usage"]["total_tokens"]
        if folded.run["status"] == "cancelled":  # a turn that was cut off before its first word has no step
            assert used >= spent
        else:
            assert used == spent
        entries = LedgerEntry.objects.of(self.cora.tenant).filter(run_id=self.id)
        assert used == sum(entry.prompt_tokens + entry.completion_tokens for entry in entries)
        begun = Counter(each["call_id"] for each in self.clockwork.executions(self.thread))
        assert set(begun.values()) <= {1}, begun
        return folded

    def judge_rows(self) -> list[str]:
        """Both calls were carried out, once; the images that they have shown."""
        [step] = RunStep.objects.of(self.cora.tenant).filter(run=self.id, type="tool_calls", status="completed")
        calls = [call for call in step.step_details["tool_calls"] if call["type"] == "code_interpreter"]
        shown = [call["code_interpreter"]["outputs"] for call in calls]
        assert [[{k: v for k, v in each.items() if k == "logs"} for each in outputs] for outputs in shown] == OUTPUTS
        images = [each["image"]["file_id"] for outputs in shown for each in outputs if each["type"] == "image"]
        assert len(set(images)) == 2
        assert len(self.clockwork.executions(self.thread)) == 2
        return images

    def judge_whole(self) -> None:
        folded = self.judge()
        assert folded.run["status"] == "completed", folded.run["last_error"]
        images = self.judge_rows()
        message = self.cora.get(f"threads/{self.thread}/messages?limit=1")["data"][0]
        assert [part["image_file"]["file_id"] for part in message["content"][:-1]] == images
        text = message["content"][-1]["text"]
        assert text["value"] == f"All of it: {LINK}."
        [link] = text["annotations"]
        assert (link["text"], link["start_index"]) == (LINK, 11)


# Deaths have every second moment, stops and cancels the others; EVERY_MOMENT=1 gives each all of them.
STEP = 1 if os.environ.get("EVERY_MOMENT") else 2


def lives(
    cora: LocalCaller, clockwork: FatefulClockwork, *, first: int = 1, step: int = 1
) -> Iterator[tuple[Life, int]]:
    """A fresh run for each moment of a run's life, until one lives to its end (whoever takes it stops then)."""
    with QuirkServer(model) as provider:
        cora.provided_by(provider.base_url)
        for moment in range(first, 400, step):
            yield Life(cora, clockwork), moment
    pytest.fail("a run had more moments than it should")


@pytest.mark.parametrize("lag", [2])
def test_a_worker_may_die_at_any_moment(cora: LocalCaller, clockwork: FatefulClockwork, lag: int) -> None:
    for life, moment in lives(cora, clockwork, step=STEP):
        execution, wire = life.worker(lag)
        came = life.work(execution, wire, Fate(moment, wire.cut, is_death=True))
        if came:
            if life.row.status == "in_progress":
                life.lose()
            if life.row.status == "queued":
                life.work(*life.worker(), Fate(0))
        if life.row.status == "completed" and came:
            tell_the_end(life)
        life.judge_whole()
        if not came:
            assert moment > 40
            return


@pytest.mark.parametrize("seed", range(6))
def test_two_workers_may_die_and_the_stream_be_lost(cora: LocalCaller, clockwork: FatefulClockwork, seed: int) -> None:
    """Where the stream is lost, too, its readers may miss something; nothing is done twice, and all is stored."""
    chance = random.Random(seed)
    with QuirkServer(model) as provider:
        cora.provided_by(provider.base_url)
        life = Life(cora, clockwork)
        for _ in range(2):
            execution, wire = life.worker(chance.choice([0, 0, 1, 3]))
            life.work(execution, wire, Fate(chance.randint(1, 70), wire.cut, is_death=True))
            if seed % 3 == 0:
                valkey.blocking().delete(events.key(life.id))
            if life.row.status == "in_progress":
                life.lose()
        while life.row.status == "queued":
            life.work(*life.worker(), Fate(0))
    tell_the_end(life)
    if seed % 3:
        life.judge_whole()
    else:
        assert life.row.status == "completed"
        life.judge_rows()


def test_calls_are_gone_on_with_though_the_tool_was_switched_off(
    cora: LocalCaller, clockwork: FatefulClockwork, settings: Any
) -> None:
    for life, moment in lives(cora, clockwork):
        execution, wire = life.worker()
        life.work(execution, wire, Fate(moment, wire.cut, is_death=True))
        if clockwork.executions(life.thread):
            break
        life.lose()
        actions.interrupt_run(cora.tenant, life.thread, life.id)
    with QuirkServer(model) as provider:
        cora.provided_by(provider.base_url)
        life.lose()
        settings.CODE_INTERPRETER = "off"
        life.work(*life.worker(), Fate(0))
        assert [tool["function"]["name"] for tool in provider.requests[-1].body["tools"]] == ["file_search"]
    life.judge_rows()
    assert life.judge().run["status"] == "completed"


def tell_the_end(life: Life) -> None:
    """What is not told of a run that rests is told to the reader who waits for it."""
    from runs import endings

    endings.from_rows(life.id, events.last_position(life.id), None, None)


def test_a_worker_may_be_stopped_at_any_moment(cora: LocalCaller, clockwork: FatefulClockwork) -> None:
    for life, moment in lives(cora, clockwork, first=STEP, step=STEP):
        execution, wire = life.worker()
        came = life.work(execution, wire, Fate(moment, partial(execution.stop, "handed_back")))
        if life.row.status == "queued":
            life.work(*life.worker(), Fate(0))
        life.judge_whole()
        if not came:
            return


def test_a_run_may_be_cancelled_at_any_moment(cora: LocalCaller, clockwork: FatefulClockwork) -> None:
    seen: Counter[str] = Counter()
    for life, moment in lives(cora, clockwork, first=STEP, step=STEP):
        execution, wire = life.worker()

        def cancel(life: Life = life, execution: Execution = execution) -> None:
            asyncio.get_running_loop().create_task(cancelled(life, execution))

        came = life.work(execution, wire, Fate(moment, cancel))
        folded = life.judge()
        seen[folded.run["status"]] += 1
        seen["interrupted"] += clockwork.interruptions(life.thread)
        if not came:
            assert seen["cancelled"] > 10
            assert seen["interrupted"] > 2
            return


async def cancelled(life: Life, execution: Execution) -> None:
    threads = DatabaseThreads(1)
    try:
        await threads.run(actions.interrupt_run, life.cora.tenant, life.thread, life.id)
        if execution.run is not None:
            execution.stop("cancelled")
    finally:
        await threads.run(connections.close_all)
        threads.close()
