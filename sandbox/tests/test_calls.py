"""Executions: once per call id, in order, followed by whoever asks, interrupted when nobody does."""

import asyncio
from contextlib import aclosing
from pathlib import Path

import pytest

from sandbox import calls
from sandbox.calls import Call, Calls
from sandbox.protocol import CallLost, Done, Limits, Reason, SessionGone, Stdout
from sandbox.tests.scripted import KEY, Script, ScriptedSession, collected, serving, until

pytestmark = pytest.mark.sandbox

OVER = Done(True, Reason.COMPLETED)


def test_two_that_ask_for_a_call_get_the_same_events_and_the_code_runs_once(tmp_path: Path) -> None:
    async def main() -> None:
        script = Script()
        async with serving(tmp_path / "s", script) as (_, client):
            opened = await client.open(KEY, Limits())
            code = "print a\nwait 0.3\nprint b"

            first = asyncio.create_task(collected(client.execute(KEY, opened.generation, "c1", code)))
            await until(lambda: script.started[0].ran)
            attached = client.execute(KEY, opened.generation, "c1", "print other", attach_only=True)
            second = asyncio.create_task(collected(attached))
            expected = [Stdout("a"), Stdout("b"), OVER]
            assert await first == await second == expected
            assert await collected(client.execute(KEY, opened.generation, "c1", "")) == expected
            assert script.started[0].ran == [code]

    asyncio.run(main())


def test_the_code_goes_on_when_the_connection_is_dropped(tmp_path: Path) -> None:
    async def main() -> None:
        script = Script()
        async with serving(tmp_path / "s", script) as (daemon, client):
            opened = await client.open(KEY, Limits())
            async with aclosing(client.execute(KEY, opened.generation, "c1", "print a\nwait 0.5\nprint b")) as events:  # type: ignore[type-var]
                assert await anext(events) == Stdout("a")
            await client.disconnect()

            again = await collected(client.execute(KEY, opened.generation, "c1", ""))
            assert again == [Stdout("a"), Stdout("b"), OVER]
            assert len(script.started[0].ran) == 1
            held = daemon.pool.held[KEY]
            await until(lambda: held.calls.known["c1"].followers == 0)

    asyncio.run(main())


def test_what_nobody_follows_is_interrupted(tmp_path: Path) -> None:
    async def main() -> None:
        script = Script()
        async with serving(tmp_path / "s", script, unattended_seconds=0.4) as (daemon, client):
            opened = await client.open(KEY, Limits())
            running = asyncio.create_task(collected(client.execute(KEY, opened.generation, "c1", "print a\nwait 60")))
            await until(lambda: script.started[0].ran)
            running.cancel()
            await until(lambda: not daemon.pool.held[KEY].is_busy)
            told = await collected(client.execute(KEY, opened.generation, "c1", ""))
            assert told == [Stdout("a"), Done(False, Reason.INTERRUPTED)]

    asyncio.run(main())


def test_what_waits_and_is_followed_by_nobody_is_not_begun() -> None:
    async def main() -> None:
        session = ScriptedSession(Limits(), 1, gently=False)
        kept = Calls(session, unattended_seconds=0.2)
        first = kept.submit("c1", "wait 60")
        following = asyncio.create_task(collected_calls(kept, first))
        second = kept.submit("c2", "print b")
        [done] = await collected_calls(kept, second, after=0.4)
        assert done == Done(False, Reason.INTERRUPTED, message="Nobody waited for this code, so it was not run.")
        assert not first.is_over
        await kept.interrupt()
        assert await following == [Done(False, Reason.INTERRUPTED)]
        assert session.ran == ["wait 60"]

    asyncio.run(main())


async def collected_calls(kept: Calls, call: Call, after: float = 0.0) -> list[object]:
    await asyncio.sleep(after)
    return [event async for event in kept.follow(call, 1.0) if event is not None]


def test_a_follower_who_comes_in_time_keeps_the_code_running(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path / "s", unattended_seconds=0.6) as (_, client):
            opened = await client.open(KEY, Limits())
            for _ in range(4):
                async with aclosing(client.execute(KEY, opened.generation, "c1", "print a\nwait 1.6")) as events:  # type: ignore[type-var]
                    await anext(events)
                    await asyncio.sleep(0.3)
            assert (await collected(client.execute(KEY, opened.generation, "c1", "")))[-1] == OVER

    asyncio.run(main())


def test_executions_run_one_after_another_in_the_order_they_came(tmp_path: Path) -> None:
    async def main() -> None:
        script = Script()
        async with serving(tmp_path / "s", script) as (daemon, client):
            opened = await client.open(KEY, Limits())
            known = daemon.pool.held[KEY].calls.known
            tasks = []
            for number in range(6):
                code = f"print {number}\nwait 0.05"
                tasks.append(asyncio.create_task(collected(client.execute(KEY, opened.generation, f"c{number}", code))))
                await until(lambda number=number: f"c{number}" in known)  # type: ignore[misc]
            told = await asyncio.gather(*tasks)
            assert [events[0] for events in told] == [Stdout(str(number)) for number in range(6)]
            assert [code.splitlines()[0] for code in script.started[0].ran] == [f"print {n}" for n in range(6)]

    asyncio.run(main())


def test_an_interrupt_ends_what_runs_and_nothing_else(tmp_path: Path) -> None:
    async def main() -> None:
        script = Script()
        async with serving(tmp_path / "s", script) as (_, client):
            await client.interrupt(KEY)  # no session: nothing happens
            opened = await client.open(KEY, Limits())
            await client.interrupt(KEY)
            first = asyncio.create_task(collected(client.execute(KEY, opened.generation, "c1", "wait 60")))
            await until(lambda: script.started[0].ran)
            second = asyncio.create_task(collected(client.execute(KEY, opened.generation, "c2", "print b")))
            await client.interrupt(KEY)
            assert await first == [Done(False, Reason.INTERRUPTED)]
            assert await second == [Stdout("b"), OVER]

    asyncio.run(main())


@pytest.mark.parametrize(("code", "reason"), [("die", Reason.MEMORY), ("die quietly", Reason.DIED), ("break", "died")])
def test_a_session_that_ends_with_the_code_tells_it_once_and_refuses_what_waited(
    tmp_path: Path, code: str, reason: Reason
) -> None:
    async def main() -> None:
        script = Script()
        async with serving(tmp_path / "s", script) as (daemon, client):
            opened = await client.open(KEY, Limits())
            code_of_all = f"wait 0.2\nprint a\n{code}"
            first = asyncio.create_task(collected(client.execute(KEY, opened.generation, "c1", code_of_all)))
            await until(lambda: script.started[0].ran)
            second = asyncio.create_task(collected(client.execute(KEY, opened.generation, "c2", "print b")))
            *_, done = await first
            assert isinstance(done, Done)
            assert (done.ok, done.reason, done.restarted) == (False, reason, True)
            with pytest.raises(SessionGone):
                await second
            await until(lambda: not daemon.pool.held)

            # Its result can still be fetched, but nothing more runs under its generation.
            again = await collected(client.execute(KEY, opened.generation, "c1", "", attach_only=True))
            assert again == [Stdout("a"), done]
            with pytest.raises(SessionGone):
                await collected(client.execute(KEY, opened.generation, "c3", "print c"))
            fresh = await client.open(KEY, Limits())
            assert fresh.is_new
            assert fresh.generation != opened.generation
            assert len(script.started) == 2

    asyncio.run(main())


def test_only_attaching_begins_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        script = Script()
        async with serving(tmp_path / "s", script) as (_, client):
            opened = await client.open(KEY, Limits())
            with pytest.raises(SessionGone):
                await collected(client.execute(KEY, opened.generation, "c1", "print a", attach_only=True))
            mark = opened.generation.partition(".")[0]
            with pytest.raises(CallLost):
                await collected(client.execute(KEY, f"{mark}.other", "c1", "print a", attach_only=True))
            with pytest.raises(SessionGone):
                await collected(client.execute(KEY, f"{mark}.other", "c1", "print a"))
            assert script.started[0].ran == []

    asyncio.run(main())


def test_old_results_are_let_go_but_never_run_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "KEPT_RESULTS", 3)
    monkeypatch.setattr(calls, "KEPT_BYTES", 5_000)

    async def main() -> None:
        script = Script()
        async with serving(tmp_path / "s", script) as (daemon, client):
            opened = await client.open(KEY, Limits())
            held = daemon.pool.held[KEY].calls
            for number in range(5):
                await collected(client.execute(KEY, opened.generation, f"c{number}", f"print {number}"))
            assert [call.is_forgotten for call in held.known.values()] == [True, True, False, False, False]
            with pytest.raises(CallLost):
                await collected(client.execute(KEY, opened.generation, "c0", "print 0"))
            assert len(script.started[0].ran) == 5

            large = await collected(client.execute(KEY, opened.generation, "large", "image 8000"))
            assert await collected(client.execute(KEY, opened.generation, "large", "")) == large  # the newest is kept
            await collected(client.execute(KEY, opened.generation, "c6", "print 6"))
            assert held.bytes < 5_000
            with pytest.raises(CallLost):
                await collected(client.execute(KEY, opened.generation, "large", ""))

    asyncio.run(main())


def test_a_silent_execution_sends_empty_lines(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path / "s") as (daemon, client):
            daemon.service.alive_seconds = 0.5
            opened = await client.open(KEY, Limits())
            mark, _, own = opened.generation.partition(".")
            reader, writer = await asyncio.open_unix_connection(str(tmp_path / "s"))
            body = b'{"generation": "%s", "call_id": "c", "code": "wait 2.5\\nprint a"}' % own.encode()
            head = f"POST /v1/sessions/{KEY.tenant_id}/{KEY.thread_id}/execute HTTP/1.0\r\nContent-Length: {len(body)}"
            writer.write(head.encode() + b"\r\n\r\n" + body)
            answer = await reader.read()
            writer.close()
            assert answer.partition(b"\r\n\r\n")[2].startswith(b"\n\n")
            assert mark

    asyncio.run(main())
