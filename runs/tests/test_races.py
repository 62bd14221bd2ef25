"""Several at once: exactly one wins, nothing is lost, nothing comes twice."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from assistant_site.llm.tests.quirk_server import QuirkServer, said
from assistant_site.tests.callers import LiveCaller
from runs import tasks
from runs.models import Run, RunStep
from runs.tests.folding import Folded
from threads.models import Message, Thread

pytestmark = pytest.mark.slow

FUNCTION = {"type": "function", "function": {"name": "f"}}


def callers(lena: LiveCaller, count: int) -> list[LiveCaller]:
    return [LiveCaller(lena.tenant, lena.token, lena.url) for _ in range(count)]


def test_of_two_runs_on_a_thread_exactly_one_wins(lena: LiveCaller) -> None:
    assistant = lena.assistant(tools=[FUNCTION])
    pair = callers(lena, 2)
    with ThreadPoolExecutor(2) as both:
        for _ in range(200):
            thread = lena.thread("call:f {}")  # waits for its outputs, so the loser cannot come afterwards
            answers = list(
                both.map(lambda c, t=thread: c.send("POST", f"/v1/threads/{t}/runs", {"assistant_id": assistant}), pair)
            )
            won = [answer.body["id"] for answer in answers if answer.status == 200]
            lost = [answer for answer in answers if answer.status != 200]
            assert len(won) == len(lost) == 1, answers
            assert lost[0].status == 400
            assert lost[0].error["message"] == f"Thread {thread} already has an active run {won[0]}."


def test_messages_made_at_once_are_all_there_in_one_order(lena: LiveCaller) -> None:
    thread = lena.thread()
    message = {"role": "user", "content": "x"}

    def five(caller: LiveCaller) -> list[str]:
        return [caller.post(f"threads/{thread}/messages", message)["id"] for _ in range(5)]

    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(five, callers(lena, 8)))
    listed = [message["id"] for message in lena.messages(thread)]
    assert sorted(listed) == listed
    assert set(listed) == {id for ids in made for id in ids}
    for ids in made:
        assert ids == sorted(ids)
    assert Thread.objects.of(lena.tenant).get(pk=thread).message_count == 40


def test_many_readers_and_many_runs_at_once(lena: LiveCaller) -> None:
    assistant = lena.assistant(model="demo")
    threads = [lena.thread(f"tag:n{number}") for number in range(24)]
    with ThreadPoolExecutor(24) as pool:
        streams = list(
            pool.map(
                lambda c, t: c.stream(f"threads/{t}/runs", {"assistant_id": assistant}), callers(lena, 24), threads
            )
        )
    for number, events in enumerate(streams):
        folded = Folded(events)
        assert folded.run["status"] == "completed"
        assert next(iter(folded.messages.values()))["content"][0]["text"]["value"].startswith(f"[n{number}]")


def test_a_task_that_comes_twice_changes_nothing(lena: LiveCaller) -> None:
    with QuirkServer(said("Once")) as provider:
        lena.provided_by(provider.base_url)
        thread = lena.thread("Hello")
        run = lena.post(f"threads/{thread}/runs", {"assistant_id": lena.assistant()})["id"]
        for _ in range(3):
            tasks.enqueue_run(run, lena.tenant.pk)
        ended = lena.settled(thread, run)
        for _ in range(3):
            tasks.enqueue_run(run, lena.tenant.pk)
        other = lena.thread("Hello")
        lena.run(other, lena.assistant())  # the queue is in order: the repeats have been through
        assert len(provider.requests) == 2
    assert lena.get(f"threads/{thread}/runs/{run}").body == ended
    assert [message["role"] for message in lena.messages(thread)] == ["user", "assistant"]
    assert len(lena.steps(thread, run)) == 1


def test_a_task_that_never_comes_is_found(lena: LiveCaller) -> None:
    thread = lena.thread("call:f {}")
    run = lena.run(thread, lena.assistant(tools=[FUNCTION]))
    # What submit_tool_outputs does, had the queue entry been lost.
    row = Run.objects.of(lena.tenant).get(pk=run["id"])
    step = RunStep.objects.of(lena.tenant).get(run=row)
    step.step_details["tool_calls"][0]["function"]["output"] = "found"
    step.status = "completed"
    step.save()
    Run.objects.of(lena.tenant).filter(pk=row.pk).update(status="queued", required_action=None)
    ended = lena.settled(thread, run["id"], beyond="requires_action")
    assert ended["status"] == "completed"
    assert "found" in lena.last_text(thread)


def test_outputs_that_come_twice_are_taken_once(lena: LiveCaller) -> None:
    assistant = lena.assistant(tools=[FUNCTION])
    pair = callers(lena, 2)
    with ThreadPoolExecutor(2) as both:
        for _ in range(10):
            thread = lena.thread("call:f {}")
            run = lena.run(thread, assistant)
            [call] = run["required_action"]["submit_tool_outputs"]["tool_calls"]
            body = {"tool_outputs": [{"tool_call_id": call["id"], "output": "x"}]}
            path = f"/v1/threads/{thread}/runs/{run['id']}/submit_tool_outputs"
            answers = list(both.map(lambda c, p=path, b=body: c.send("POST", p, b).status, pair))
            assert sorted(answers) == [200, 400]
            assert lena.settled(thread, run["id"], beyond="requires_action")["status"] == "completed"


def test_a_thread_is_deleted_in_the_middle_of_everything(lena: LiveCaller) -> None:
    """Nobody gets a 5xx, whoever comes first."""
    assistant = lena.assistant(tools=[FUNCTION])
    deleter, runner, writer = callers(lena, 3)
    seen: Counter[int] = Counter()

    def write(thread: str) -> None:
        for _ in range(4):
            for path, body in (
                (f"threads/{thread}", {"metadata": {"a": "b"}}),
                (f"threads/{thread}/messages", {"role": "user", "content": "x"}),
                (f"threads/{thread}/runs", {"assistant_id": assistant}),
            ):
                seen[writer.post(path, body).status] += 1

    def run(thread: str) -> None:
        seen[runner.post(f"threads/{thread}/runs", {"assistant_id": assistant}).status] += 1
        for found in runner.get(f"threads/{thread}/runs").body.get("data", []):
            seen[runner.post(f"threads/{thread}/runs/{found['id']}/cancel").status] += 1

    with ThreadPoolExecutor(3) as pool:
        for number in range(40):
            thread = lena.thread("call:f {}")
            both = [pool.submit(run, thread), pool.submit(write, thread)]
            for _ in range(number % 8):
                deleter.get("assistants?limit=1")  # a few milliseconds
            assert deleter.delete(f"threads/{thread}").status == 200
            for done in both:
                done.result(60)
            assert deleter.get(f"threads/{thread}").status == 404
    assert set(seen) <= {200, 400, 404}, seen


def test_a_cancel_and_the_engine_meet(lena: LiveCaller) -> None:
    """Whatever the moment, the stream is in order and tells what was stored, and the thread is free."""
    assistant = lena.assistant(model="demo")
    reader, canceller = callers(lena, 2)
    seen: Counter[str] = Counter()
    with ThreadPoolExecutor(1) as pool:
        for number in range(30):
            thread = lena.thread("Hello")
            stream = pool.submit(reader.stream, f"threads/{thread}/runs", {"assistant_id": assistant})
            while not (runs := canceller.get(f"threads/{thread}/runs")["data"]):
                pass
            for _ in range(number % 10):
                canceller.get(f"threads/{thread}")  # a few milliseconds
            canceller.send("POST", f"/v1/threads/{thread}/runs/{runs[0]['id']}/cancel")
            folded = Folded(stream.result(60))
            folded.equals_rest(lena)
            seen[folded.run["status"]] += 1
            assert not Message.objects.of(lena.tenant).filter(thread_id=thread, status="in_progress").exists()
            assert lena.post(f"threads/{thread}/messages", {"role": "user", "content": "next"}).status == 200
    assert set(seen) <= {"cancelled", "completed"}
    assert seen["cancelled"] >= 15
