"""Round after round: stories begin, faults strike, everything comes to rest, and each run is judged."""

import argparse
import asyncio
import json
import random
import time
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from django.core.management import call_command
from django.db import connection

from assistant_site.embedded import address
from assistant_site.tests.callers import new_tenant
from runs.tests.chaos import faults, judge, stories
from runs.tests.chaos.callers import Caller, NoAnswer
from runs.tests.chaos.model import Model
from runs.tests.chaos.report import Report
from runs.tests.chaos.rows import Rows
from runs.tests.chaos.site import Site
from runs.tests.chaos.stories import FUNCTIONS, Story
from tenants.models import Provider

WINDOW_SECONDS = 14.0
JUDGES = 6
READY_SECONDS = 60.0
SHOWN_VIOLATIONS = 10  # with all details


@dataclass
class Tenancy:
    token: str
    assistant: str = ""


def lacking(missing: str) -> str:
    """What /readyz misses, without an ingestion worker and a sandbox: there are no files and no code here."""
    try:
        parts = json.loads(missing)
    except ValueError:
        return missing
    runs_need = {
        name: state for name, state in parts.items() if name not in ("status", "ingestion", "code_interpreter")
    }
    return "" if set(runs_need.values()) == {"ok"} else missing


class Suite:
    def __init__(self, folder: Path, seed: int, options: argparse.Namespace) -> None:
        self.seed, self.options = seed, options
        self.site = Site(
            folder,
            var=settings.VAR_DIR,
            sockets=settings.EMBEDDED_SOCKET_DIR,
            password=settings.EMBEDDED_DATABASE_PASSWORD,
            webs=options.webs,
            workers=options.workers,
        )
        self.report = Report(seed)
        self.complaints: list[str] = []

    def run(self, began: float) -> int:
        try:
            self.site.start_servers()
            call_command("migrate", verbosity=0, interactive=False)
            connection.close()
            self.site.start_members()
            asyncio.run(self._rounds(began))
        finally:
            self.site.stop()
            print(self.report.table(time.monotonic() - began))  # also when it was interrupted
        return 1 if self.report.violations or self.site.failure else 0

    async def _rounds(self, began: float) -> None:
        self.model, self.rows = Model(), Rows()
        await self.model.start()
        self.tenants = await self.rows.call(self._tenants)
        await self._ready()
        for tenant in self.tenants:
            made = await self._caller(tenant).ask("POST", "assistants", {"model": "scripted", "tools": FUNCTIONS})
            tenant.assistant = made.body["id"]
        print(f"seed {self.seed}: ready after {time.monotonic() - began:.1f} s", flush=True)
        number = self.options.round or 1
        while True:
            await self._round(number)
            number += 1
            if self.site.failure:
                print(self.site.failure)
                return
            enough = self.report.kills >= self.options.kills
            if enough or self.options.round or time.monotonic() > began + 60 * self.options.minutes:
                break
        await self.model.stop()

    def _tenants(self) -> list[Tenancy]:
        made = []
        for name in ("Ada", "Ben"):
            tenant, token = new_tenant(name)
            Provider.objects.create(tenant=tenant, name="scripted", base_url=self.model.base_url)
            made.append(Tenancy(token))
        return made

    def _caller(self, tenant: Tenancy) -> Caller:
        return Caller(tenant.token, list(self.site.ports.values()), self.complaints)

    async def _ready(self) -> None:
        deadline = time.monotonic() + READY_SECONDS
        for port in self.site.ports.values():
            while missing := lacking(await asyncio.to_thread(address.not_ready, "127.0.0.1", port)):
                if time.monotonic() > deadline or self.site.failure:
                    raise NoAnswer(f"{missing} {self.site.failure}\n{self.site.logs()}")
                await asyncio.sleep(0.1)

    async def _round(self, number: int) -> None:
        chance = random.Random(f"{self.seed}:{number}")
        await self._ready()
        began = time.monotonic()
        calm = asyncio.Event()

        def make(**parts: object) -> Story:
            tenant = chance.choice(self.tenants)
            fixed = {"caller": self._caller(tenant), "assistant": tenant.assistant, "rows": self.rows, "calm": calm}
            return Story(**fixed, **parts)  # type: ignore[arg-type]

        webs = list(self.site.ports)
        plan = faults.draw(chance, workers=self.site.workers, webs=webs, window=WINDOW_SECONDS)
        told = stories.cast(self.model, chance, f"r{number}", self.options.runs, WINDOW_SECONDS - 2, make)
        self.rows.watched = set()
        fate = faults.Fate(self.site, self.rows, self.report, plan, told, chance.random())
        before = self.report.kills
        lives = [asyncio.create_task(story.live()) for story in told]
        await fate.strike(WINDOW_SECONDS)
        calm.set()
        struck = time.monotonic()
        outcomes = await asyncio.gather(*lives, return_exceptions=True)
        for story, outcome in zip(told, outcomes, strict=True):
            if isinstance(outcome, BaseException):
                story.problems.append(f"the story broke: {outcome!r}")
        rested = time.monotonic()
        weather = judge.Weather(valkey_lost=fate.valkey_lost, frozen=fate.frozen)
        bad = await self._judge(number, told, weather, fate.happened)
        self.report.rounds += 1
        print(
            f"round {number}: {self.report.kills - before} kills, {len(told)} runs, {bad} violated; "
            f"faults {struck - began:.1f} s, rest {rested - struck:.1f} s, judged {time.monotonic() - rested:.1f} s"
            f"{', Valkey lost its data' if weather.valkey_lost else ''}{', frozen' if weather.frozen else ''}",
            flush=True,
        )

    async def _judge(self, number: int, told: list[Story], weather: judge.Weather, happened: list[str]) -> int:
        bad = 0
        judges = asyncio.Semaphore(JUDGES)
        for story, violations, end in await asyncio.gather(*(self._judged(story, weather, judges) for story in told)):
            self.report.judged(story.kind.name, story.touched, bool(violations))
            self.report.readers += len(story.readers)
            self.report.ends[end] += 1
            if violations:
                bad += 1
                self._tell(number, story, violations)
        if self.complaints:
            bad += 1
            self.report.violations += 1
            print("\n".join(f"round {number}: {complaint}" for complaint in self.complaints))
            self.complaints.clear()
        if bad:
            print(f"what happened in round {number}: {'; '.join(happened)}")
            if self.report.violations <= SHOWN_VIOLATIONS:
                print(self.site.logs())
            print(f"again: make chaos SEED={self.seed} ROUND={number}", flush=True)
        return bad

    @staticmethod
    async def _judged(story: Story, weather: judge.Weather, judges: asyncio.Semaphore) -> tuple[Story, list[str], str]:
        """Its violations, and how the run ended."""
        async with judges:
            try:
                violations = await judge.judge(story, weather)
                stored = await story.rows.stored(story.run)
            except (NoAnswer, LookupError) as error:
                return story, [*story.problems, f"cannot be judged: {error!r}"], "unknown"
        if stored is None:
            return story, violations, "unknown"
        return story, violations, "given up" if judge.was_given_up(stored) else stored.run.status

    def _tell(self, number: int, story: Story, violations: list[str]) -> None:
        print(f"VIOLATION seed {self.seed} round {number} {story.run} ({story.kind.name}, {story.script.token})")
        print(f"  touched by: {', '.join(sorted(story.touched)) or 'nothing'}")
        for words in violations:
            print(f"  - {words}")
