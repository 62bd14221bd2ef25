"""What is done to the site in a round, drawn from the seed, and doing it."""

import asyncio
import random
import signal
import time
from dataclasses import dataclass, field

from runs.tests.chaos.points import DRAIN_POINTS, WEB_POINTS, WORKER_POINTS, Arm, How, armed_file, fired
from runs.tests.chaos.report import Report
from runs.tests.chaos.rows import Rows
from runs.tests.chaos.site import Site
from runs.tests.chaos.stories import Story

LEASE_SECONDS = 3
FROZEN_SECONDS = LEASE_SECONDS + 5.0  # beyond the lease, and until a ticker has looked; at most
LOOK_SECONDS = 0.05
ARMS = 24
ARMED_SECONDS = 1.0  # then the next point is tried
FREEZING_SECONDS = 8.0  # seldom and slow, so one that is planned shall happen
RARE_SECONDS = 3.0
KILLED_UNMET = 0.25  # or the worker is killed wherever it is

# Points that each run passes are drawn more often than those of rare ends.
RARE = {"claimed with outputs", "message closed", "calls answered", "failed", "before cancelled", "cancelled"}
# Where a sleeper wakes up to write for a run that is somebody else's by then, or has written already.
FREEZING = ("before message opened", "before calls recorded", "before finish", "mid-text", "claimed", "inside finish")
SITE_FAULTS = (
    "Valkey killed",
    "Valkey emptied",
    "PostgreSQL killed",
    "PostgreSQL restarted",
    "queue entries dropped",
    "queue entries doubled",
    "worker killed at any moment",
    "web killed at any moment",
    "worker frozen at any moment",
)


@dataclass
class Plan:
    """A round's faults: where workers and webs are to die, one point after the other, and what happens when.

    A point that nobody passes is given up for the next one, so there are more of them than will be met.
    """

    arms: dict[str, list[Arm]] = field(default_factory=dict)
    drains: list[tuple[float, str, Arm | None]] = field(default_factory=list)
    others: list[tuple[float, str, str]] = field(default_factory=list)  # when, what, to which member


def draw(chance: random.Random, *, workers: list[str], webs: list[str], window: float) -> Plan:
    plan = Plan({worker: [_worker_arm(chance) for _ in range(ARMS)] for worker in workers})
    for web in webs:
        points = chance.sample(list(WEB_POINTS), 2)
        plan.arms[web] = [
            Arm(point, chance.randint(1, 40) if point == "mid-stream" else 1, "process") for point in points
        ]
    frozen = chance.choice(workers) if chance.random() < 0.5 else ""
    if frozen:
        plan.arms[frozen].insert(chance.randint(0, 1), Arm(chance.choice(FREEZING), 1, "freeze"))
    if chance.random() < 0.4:
        arm = Arm(chance.choice(list(DRAIN_POINTS)), 1, "group") if chance.random() < 0.8 else None
        plan.drains.append((chance.uniform(1.0, window), chance.choice([w for w in workers if w != frozen]), arm))
    for _ in range(chance.choice([0, 1, 1, 2])):
        what = chance.choice(SITE_FAULTS)
        member = chance.choice(webs) if what.startswith("web") else ""
        if what.startswith("worker"):
            member = chance.choice([worker for worker in workers if worker != frozen])
        plan.others.append((chance.uniform(0.5, window), what, member))
    return plan


def _patience(arm: Arm) -> float:
    if arm.how == "freeze":
        return FREEZING_SECONDS
    return RARE_SECONDS if arm.point in RARE or arm.point in WEB_POINTS else ARMED_SECONDS


def _worker_arm(chance: random.Random) -> Arm:
    point = chance.choice([name for name in WORKER_POINTS for _ in range(2 if name in RARE else 3)])
    nth = chance.randint(1, 15) if point in ("mid-text", "mid-arguments") else chance.choice([1, 1, 1, 1, 2])
    how: How = "group" if chance.random() < 0.75 else "process"
    return Arm(point, nth, how)


class Fate:
    """Carries a plan out, and notes in the report what really happened and which runs it touched."""

    def __init__(self, site: Site, rows: Rows, report: Report, plan: Plan, stories: list[Story], seed: float) -> None:
        self.site, self.rows, self.report, self.plan, self.stories = site, rows, report, plan, stories
        self.chance = random.Random(seed)
        self.valkey_lost = self.frozen = False
        self.happened: list[str] = []
        self._began = time.monotonic()
        self._tasks: list[asyncio.Task[None]] = []
        self._thaws: list[asyncio.Task[None]] = []
        self._sleepers = 0  # meanwhile nobody else dies, so that somebody takes up what the sleeper held
        self._busy: set[str] = set()  # members that are frozen or drain: their arms wait

    async def strike(self, window: float) -> None:
        """Until everything has happened, or the window closes; then everybody is disarmed and awake."""
        self._tasks = [asyncio.create_task(self._arm_in_turn(member)) for member in self.plan.arms]
        self._tasks += [asyncio.create_task(self._at(at, what, member)) for at, what, member in self.plan.others]
        self._tasks += [asyncio.create_task(self._drain(*drain)) for drain in self.plan.drains]
        _, late = await asyncio.wait(self._tasks, timeout=window)
        for task in late:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for member in self.site.members:
            armed_file(self.site.points, member).unlink(missing_ok=True)
        for member in self.site.members:  # one may have gone off in the last moment
            await self._notice(member)
        await asyncio.gather(*self._thaws)
        for task in self._tasks:
            if not task.cancelled() and (error := task.exception()) is not None:
                raise error

    async def _touch(self, fault: str, *, runs: set[str] | None = None, kills: int = 1, member: str = "") -> None:
        self.happened.append(f"{time.monotonic() - self._began:.1f} s {fault} {member}".rstrip())
        touched = await self.rows.active() if runs is None else runs
        hit = [story for story in self.stories if story.run in touched]
        for story in hit:
            story.touched.add(fault)
        self.report.happened(fault, len(hit), kills=kills)

    async def _arm_in_turn(self, member: str) -> None:
        file = armed_file(self.site.points, member)
        for arm in self.plan.arms[member]:
            while member in self._busy or self._sleepers:  # noqa: ASYNC110
                await asyncio.sleep(LOOK_SECONDS)
            arm.write(file)
            for _ in range(int(_patience(arm) / LOOK_SECONDS)):
                if await self._notice(member) or member in self._busy:  # it drains, and has met another arm by then
                    break
                await asyncio.sleep(LOOK_SECONDS)
            else:
                file.unlink(missing_ok=True)
                unmet = not await self._notice(member) and member in self.site.workers and member not in self._busy
                if unmet and self.chance.random() < KILLED_UNMET and self.site.signal(member, signal.SIGKILL):
                    await self._touch("worker killed at any moment", member=member)

    async def _notice(self, member: str) -> bool:
        found = fired(self.site.points, member)
        if found is None:
            return False
        arm = found.arm
        fault = f"{'worker' if member in self.site.workers else 'web'}: {arm.point}"
        runs = await self.rows.held_by(found.pid) if member in self.site.workers else None
        if arm.how == "freeze":
            await self._touch(f"frozen, {fault}", runs=runs, kills=0, member=member)
            self._freeze(member, found.pid, runs or set())
        else:
            await self._touch(f"{fault}", runs=runs, member=f"{member} {arm.how}")
        return True

    def _freeze(self, member: str, pid: int, held: set[str]) -> None:
        """It sleeps already; it wakes up as soon as others have taken the runs it held, and are at work on them."""
        self.frozen = True
        self._busy.add(member)
        self._sleepers += 1

        async def thaw() -> None:
            until = time.monotonic() + FROZEN_SECONDS
            while time.monotonic() < until:
                await asyncio.sleep(LOOK_SECONDS)
                taken = held - await self.rows.held_by(pid) if held else set()
                if held and taken >= held and taken & await self.rows.held():
                    break
            self.site.signal(member, signal.SIGCONT)
            self._sleepers -= 1
            self._busy.discard(member)

        self._thaws.append(asyncio.create_task(thaw()))

    async def _drain(self, at: float, member: str, arm: Arm | None) -> None:
        await asyncio.sleep(at)
        self._busy.add(member)
        if arm is not None:
            arm.write(armed_file(self.site.points, member))
        if self.site.signal(member, signal.SIGTERM, group=False):
            await self._touch("worker stopped (SIGTERM)", kills=0, member=member)
            pid = self.site.pids.get(member)
            while self.site.pids.get(member) in (pid, None):
                await self._notice(member)
                await asyncio.sleep(LOOK_SECONDS)
        self._busy.discard(member)

    async def _at(self, at: float, what: str, member: str) -> None:
        await asyncio.sleep(at)
        down = self.chance.choice([0.0, 0.0, 1.0])
        match what:
            case "Valkey killed":
                self.valkey_lost = True
                self.site.kill_server(self.site.valkey, down=down)
                await self._touch(what)
            case "Valkey emptied":
                self.valkey_lost = True
                await self.rows.empty_valkey()
                await self._touch(what, kills=0)
            case "PostgreSQL killed":
                self.site.kill_server(self.site.postgres, down=down)
                await self._touch(what)
            case "PostgreSQL restarted":
                self.site.restart_server(self.site.postgres, down=down)
                await self._touch(what, kills=0)
            case "queue entries dropped":
                dropped = await self.rows.steal_from_queue(1.5)
                await self._touch(f"{what}" if dropped else "queue entries dropped (there were none)", kills=0)
            case "queue entries doubled":
                await self.rows.double_queue()
                await self._touch(what, kills=0)
            case "worker frozen at any moment":
                if member not in self._busy and self.site.signal(member, signal.SIGSTOP):
                    await self._touch(what, kills=0, member=member)
                    self._freeze(member, 0, set())
            case _:
                if self.site.signal(member, signal.SIGKILL):
                    await self._touch(what, member=member)
