"""Sessions by their key: shares of a tenant and of the host, ends, the warm pool, user numbers."""

import asyncio
import time
from dataclasses import replace
from pathlib import Path

import pytest

from sandbox import warm
from sandbox.pool import Bounds, Pool
from sandbox.protocol import MIB, Limits, NoRoom, SandboxUnavailable, SessionGone, SessionKey
from sandbox.tests.scripted import KEY, Script, collected, one_piece, serving, until

pytestmark = pytest.mark.sandbox

TWO = replace(Limits(), sessions=2)


def key(number: int, tenant: str = "tenant") -> SessionKey:
    return SessionKey(tenant, f"thread{number}")


def bounds(**changes: object) -> Bounds:
    return Bounds(**({"pool": 0, "room_seconds": 0.3, "fresh_seconds": 0.0} | changes))  # type: ignore[arg-type]


def idle(pool: Pool, seconds: float) -> None:
    """As if nobody had used any session for so long."""
    for held in pool.held.values():
        held.used_at -= seconds


async def work(pool: Pool, of: SessionKey, code: str) -> None:
    pool.held[of].calls.submit("c", code)
    await asyncio.sleep(0)


def test_one_key_has_one_session_and_another_key_another() -> None:
    async def main() -> None:
        script = Script(seconds=0.05)
        pool = Pool(script, bounds())
        first, same = await asyncio.gather(pool.open(key(1), TWO), pool.open(key(1), TWO))
        assert first == same
        again = await pool.open(key(1), TWO)
        assert (first.is_new, again.is_new, again.generation) == (True, False, first.generation)
        other = await pool.open(key(1, "stranger"), TWO)
        assert other.generation != first.generation
        with pytest.raises(SessionGone):
            pool.of(key(1, "stranger"), first.generation)
        await pool.close()

    asyncio.run(main())


def test_the_least_recently_used_idle_session_of_the_same_tenant_goes_first() -> None:
    async def main() -> None:
        pool = Pool(Script(), bounds())
        for number in (1, 2):
            await pool.open(key(number), TWO)
        await pool.open(key(9, "stranger"), TWO)
        await pool.open(key(1), TWO)  # used again
        await pool.open(key(3), TWO)
        assert set(pool.held) == {key(1), key(3), key(9, "stranger")}

        await work(pool, key(1), "wait 60")  # at work: not to be ended, though used longest ago
        await pool.open(key(4), TWO)
        assert set(pool.held) == {key(1), key(4), key(9, "stranger")}
        await pool.close()

    asyncio.run(main())


def test_a_tenant_whose_sessions_are_all_at_work_waits_and_then_has_no_room() -> None:
    async def main() -> None:
        pool = Pool(Script(), bounds(room_seconds=0.4))
        for number in (1, 2):
            await pool.open(key(number), TWO)
            await work(pool, key(number), "wait 60")
        started = time.monotonic()
        with pytest.raises(NoRoom, match=r"All 2 code sessions this account may have"):
            await pool.open(key(3), TWO)
        assert time.monotonic() - started >= 0.4
        await pool.open(key(1, "stranger"), TWO)  # has a share of its own
        await pool.close()

    asyncio.run(main())


def test_a_full_host_lets_wait_until_a_session_ends() -> None:
    async def main() -> None:
        pool = Pool(Script(), bounds(sessions=2, room_seconds=2.0))
        for tenant in ("a", "b"):
            await pool.open(key(1, tenant), TWO)
        waiting = asyncio.create_task(pool.open(key(1, "c"), TWO))
        await asyncio.sleep(0.2)
        assert not waiting.done()  # another tenant's idle session is not touched
        await pool.end(key(1, "a"))
        assert (await waiting).is_new
        assert len(pool.held) == 2

        with pytest.raises(NoRoom, match="All code sessions of this server"):
            await pool.open(key(1, "d"), TWO)
        await pool.close()

    asyncio.run(main())


def test_a_full_host_takes_from_whoever_has_the_most() -> None:
    async def main() -> None:
        pool = Pool(Script(), bounds(sessions=3, room_seconds=0.1, fresh_seconds=0, spare_seconds=60))
        for number in (1, 2):
            await pool.open(key(number, "a"), TWO)
        await pool.open(key(1, "b"), TWO)
        with pytest.raises(NoRoom):
            await pool.open(key(1, "c"), TWO)
        idle(pool, 60)
        await pool.open(key(1, "c"), TWO)
        assert set(pool.held) == {key(2, "a"), key(1, "b"), key(1, "c")}
        with pytest.raises(NoRoom):  # those that have one each keep it for longer
            await pool.open(key(1, "d"), TWO)
        idle(pool, 5 * 60)
        await pool.open(key(1, "d"), TWO)
        assert set(pool.held) == {key(1, "b"), key(1, "c"), key(1, "d")}
        await pool.close()

    asyncio.run(main())


def test_a_crowd_never_gets_more_than_the_host_has() -> None:
    async def main() -> None:
        script = Script(seconds=0.02)
        pool = Pool(script, bounds(sessions=3, room_seconds=0.1))
        told = await asyncio.gather(
            *(pool.open(key(number, f"t{number}"), TWO) for number in range(300)), return_exceptions=True
        )
        assert sum(isinstance(each, NoRoom) for each in told) == 297
        assert len(pool.held) == len(script.started) == 3
        await pool.close()

    asyncio.run(main())


def test_idle_and_old_sessions_end_but_not_while_they_work() -> None:
    async def main() -> None:
        script = Script()
        pool = Pool(script, bounds(idle_seconds=0.4, age_seconds=1.2))
        pool.begin()
        opened_at = time.monotonic()
        await pool.open(key(1), TWO)
        await pool.open(key(2), TWO)
        await work(pool, key(2), "wait 0.8")
        await until(lambda: key(1) not in pool.held)
        assert time.monotonic() - opened_at >= 0.4
        await until(lambda: not pool.held)
        assert time.monotonic() - opened_at >= 1.2  # idle since it ended its work
        await until(lambda: all(session.is_closed for session in script.started))

        opened_at = time.monotonic()
        generation = (await pool.open(key(3), TWO)).generation
        while (await pool.open(key(3), TWO)).generation == generation:  # noqa: ASYNC110 never idle
            await asyncio.sleep(0.05)
        assert time.monotonic() - opened_at >= 1.2
        await pool.close()

    asyncio.run(main())


def test_a_session_that_is_too_old_is_replaced_when_it_is_opened() -> None:
    async def main() -> None:
        pool = Pool(Script(), bounds(age_seconds=0.1))
        first = await pool.open(key(1), TWO)
        await asyncio.sleep(0.15)
        second = await pool.open(key(1), TWO)
        assert second.is_new
        assert second.generation != first.generation
        await pool.close()

    asyncio.run(main())


def test_a_dead_session_is_noticed_and_its_room_is_free() -> None:
    async def main() -> None:
        script = Script()
        pool = Pool(script, bounds(sessions=1, idle_seconds=1.0))
        pool.begin()
        first = await pool.open(key(1), TWO)
        script.started[0].is_alive = False
        with pytest.raises(SessionGone):
            pool.of(key(1), first.generation)
        await until(lambda: not pool.held and not len(pool.slots))
        assert (await pool.open(key(1), TWO)).is_new
        await pool.close()

    asyncio.run(main())


def test_sessions_never_share_a_user_number() -> None:
    async def main() -> None:
        script = Script()
        pool = Pool(script, bounds(sessions=50, pool=2))
        pool.begin()
        for number in range(40):
            await pool.open(key(number), replace(Limits(), sessions=30))
            alive = [session.slot for session in script.started if not session.is_closed]
            assert len(alive) == len(set(alive))
        slots = [session.slot for session in script.started]
        assert len(slots) == len(set(slots))  # nor one that was freed just now
        await pool.close()
        assert len(pool.slots) == 0

    asyncio.run(main())


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warm, "QUIET_SECONDS", 0.05)
    monkeypatch.setattr(warm, "LOOKED_SECONDS", 0.02)


@pytest.mark.usefixtures("impatient")
def test_warm_sessions_are_claimed_once_and_filled_up_one_at_a_time() -> None:
    async def main() -> None:
        script = Script(seconds=0.05)
        pool = Pool(script, bounds(pool=3, sessions=6))
        pool.begin()
        await until(lambda: pool.warm.count == 3)
        assert script.most_starting == 1
        lower = replace(Limits(), memory_bytes=300 * MIB, seconds=7.0)
        opened = await pool.open(key(1), lower)
        [session] = [each for each in script.started if each.generation == opened.generation]
        assert session.is_warm
        assert session.limits == lower
        await until(lambda: pool.warm.count == 3)
        await pool.end(key(1))
        assert session.is_closed  # never used again
        await pool.close()
        assert all(each.is_closed for each in script.started)

    asyncio.run(main())


@pytest.mark.usefixtures("impatient")
def test_a_session_with_less_room_for_data_is_started_for_itself() -> None:
    async def main() -> None:
        script = Script()
        pool = Pool(script, bounds(pool=1))
        pool.begin()
        await until(lambda: pool.warm.count == 1)
        opened = await pool.open(key(1), replace(Limits(), data_bytes=10 * MIB))
        session = next(each for each in script.started if each.generation == opened.generation)
        assert not session.is_warm
        assert session.limits.data_bytes == 10 * MIB
        await pool.close()

    asyncio.run(main())


@pytest.mark.usefixtures("impatient")
def test_warm_sessions_give_way_on_a_full_host_and_dead_ones_are_replaced() -> None:
    async def main() -> None:
        script = Script()
        pool = Pool(script, bounds(pool=2, sessions=3, idle_seconds=0.4, age_seconds=60))
        pool.begin()
        await until(lambda: pool.warm.count == 2)
        script.started[0].is_alive = False
        await until(lambda: script.started[0].is_closed)
        await until(lambda: pool.warm.count == 2)
        for number in range(3):
            await pool.open(key(number, f"t{number}"), replace(Limits(), data_bytes=10 * MIB))
            assert len(pool.held) + pool.warm.count <= 3
        assert pool.warm.count == 0
        await until(lambda: not pool.held)
        await until(lambda: pool.warm.count == 2)
        await pool.close()

    asyncio.run(main())


def test_a_start_that_fails_is_told_and_takes_no_room() -> None:
    async def main() -> None:
        troubles: list[int] = []
        script = Script(problem=OSError("no such thing"))
        pool = Pool(script, bounds(), lambda: troubles.append(1))
        with pytest.raises(SandboxUnavailable, match="could not be started"):
            await pool.open(key(1), TWO)
        assert troubles == [1]
        assert (len(pool.slots), pool._total()) == (0, 0)
        script.problem = None
        assert (await pool.open(key(1), TWO)).is_new
        await pool.close()
        with pytest.raises(SandboxUnavailable):
            await pool.open(key(1), TWO)

    asyncio.run(main())


def test_what_is_transferred_keeps_a_session_and_is_remembered(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path / "s") as (daemon, client):
            opened = await client.open(KEY, Limits())
            await client.put(KEY, opened.generation, "a/b.csv", one_piece(b"x,y"), 3, "file-1")
            with daemon.pool.held[KEY].used():
                assert daemon.pool.held[KEY].is_busy
            again = await client.open(KEY, Limits())
            assert again.files == {"a/b.csv": "file-1"}
            await client.close(KEY)
            with pytest.raises(SessionGone):
                await client.files(KEY, opened.generation)
            with pytest.raises(SessionGone):
                await collected(client.execute(KEY, opened.generation, "c", "print a"))

    asyncio.run(main())
