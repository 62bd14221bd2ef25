"""Many tenants at few places: whose run is next, how many a tenant may have at work, and how many may wait."""

import dataclasses
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from assistant_site.llm.tests.quirk_server import QuirkServer, said
from assistant_site.tests.callers import LiveCaller, LocalCaller, new_tenant
from assistant_site.tests.stack import Stack
from runs import holding, picking
from runs.models import Run
from runs.sharing import LAG_SECONDS, LATELY_SECONDS, Places, Waiting
from tenants.models import Tenant

HELLO = {"messages": [{"role": "user", "content": "Hello"}]}


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_tenant_alone_may_have_all_places_and_a_newcomer_finds_room() -> None:
    places = Places(64, Clock())
    for _ in range(64):
        assert places.room_for("greedy")
        places.take("greedy")
    assert not places.room_for("greedy")
    assert places.room_for("new")  # one of those beyond
    places.take("new")
    for _ in range(40):  # of the greedy one's runs some end, and others take their places
        places.give_back("greedy")
    assert places.allot([Waiting("greedy"), Waiting("other"), Waiting("new")], 5) == {"other": 3, "new": 2}
    assert places.allot([Waiting("other", room=1), Waiting("new", room=0)], 5) == {"other": 1}


def test_the_capacity_follows_the_lag_while_places_are_shared() -> None:
    clock = Clock()
    places = Places(64, clock)
    places.take("one")
    assert places.capacity == 64
    places.take("other")
    first = places.capacity
    assert first < 64
    for _ in range(first):
        places.take("one")
    for _ in range(50):
        places.feel(2 * LAG_SECONDS, used=1.0)
    assert places.capacity == places.least == 2
    assert not places.room_for("one")
    assert places.room_for("other") is (places.share > 1)
    for _ in range(50):
        places.feel(0.0, used=1.0)
    assert places.capacity > first
    for _ in range(50):
        places.feel(2 * LAG_SECONDS, used=1.0)
    late = places.capacity
    places.feel(2 * LAG_SECONDS, used=0.3)  # others on this machine make us late
    assert places.capacity >= late
    for _ in range(50):
        places.feel(2 * LAG_SECONDS, used=0.3)
    assert places.capacity > first
    places.give_back("other")
    clock.now += LATELY_SECONDS + 1
    places.forget_gone()
    assert places.capacity == 64


def test_runs_that_wait_are_found_by_tenant_and_age(alice: LocalCaller, bob: LocalCaller) -> None:
    made = {}
    for caller in (alice, bob):
        assistant = caller.assistant()
        body = {"assistant_id": assistant, "thread": HELLO}
        made[caller.tenant.pk] = [caller.post("threads/runs", body)["id"] for _ in range(3)]
    Tenant.objects.filter(pk=bob.tenant.pk).update(concurrent_runs=2)
    assert holding.claim(made[bob.tenant.pk][0], "somebody", bob.tenant.pk)
    rooms = {each.tenant_id: each.room for each in picking.waiting()}
    assert (rooms[alice.tenant.pk], rooms[bob.tenant.pk]) == (None, 1)
    turns = {alice.tenant.pk: 1, bob.tenant.pk: 5}
    but = {made[alice.tenant.pk][0]}
    assert picking.oldest(turns, but=but, queued_for=0) == [
        (alice.tenant.pk, made[alice.tenant.pk][1]),
        *((bob.tenant.pk, run) for run in made[bob.tenant.pk][1:]),
    ]
    assert picking.oldest(turns, but=but, queued_for=60) == []
    assert holding.claim(made[bob.tenant.pk][1], "somebody", bob.tenant.pk)
    with pytest.raises(holding.AtLimit):
        holding.claim(made[bob.tenant.pk][2], "somebody", bob.tenant.pk)
    assert Run.objects.of(bob.tenant).get(pk=made[bob.tenant.pk][2]).status == "queued"


def test_a_tenant_may_have_so_many_runs_waiting(alice: LocalCaller) -> None:
    Tenant.objects.filter(pk=alice.tenant.pk).update(queued_runs=2)
    assistant = alice.assistant()
    thread = alice.thread("Hello")
    bodies = [("threads/runs", {"assistant_id": assistant, "thread": HELLO})] * 2
    runs = [alice.post(*body)["id"] for body in bodies]
    for path, body in (bodies[0], (f"threads/{thread}/runs", {"assistant_id": assistant})):
        refused = alice.post(path, body)
        assert (refused.status, refused.body["error"]["code"]) == (429, "rate_limit_exceeded")
        assert "Limit 2, Used 2, Requested 1" in refused.body["error"]["message"]
        assert refused.headers["retry-after"] == "1"
    assert holding.claim(runs[0], "somebody", alice.tenant.pk)
    assert alice.post(f"threads/{thread}/runs", {"assistant_id": assistant}).status == 200


@pytest.fixture(scope="module")
def few_places(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Two workers with four places each; the session's own worker rests meanwhile."""
    stack.stop("worker-1")
    env = {"RUNS_PER_WORKER": "4", "RUN_LEASE_SECONDS": "3", "WORKER_DRAIN_SECONDS": "1"}
    with Stack(folder=tmp_path_factory.mktemp("few"), webs=0, workers=2, ingestions=0, env=env) as running:
        yield running
    stack.start("worker-1")
    stack.wait_ready()


def queued(lena: LiveCaller, count: int) -> None:
    assistant = lena.assistant()

    def one(number: int) -> None:
        caller = LiveCaller(lena.tenant, lena.token, lena.url)  # a session is for one thread
        assert caller.post("threads/runs", {"assistant_id": assistant, "thread": HELLO}).status == 200

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(one, range(count)))


def counted(lena: LiveCaller, *statuses: str) -> int:
    return Run.objects.of(lena.tenant).filter(status__in=statuses).count()


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_two_hundred_runs_of_one_tenant_keep_nobody_waiting(lena: LiveCaller, few_places: Stack) -> None:
    other = LiveCaller(*new_tenant("Olga"), lena.url)
    with QuirkServer(dataclasses.replace(said("Hello"), before=0.3)) as provider:
        for caller in (lena, other):
            caller.provided_by(provider.base_url)
        queued(lena, 200)
        assert other.run(other.thread("Hello"), other.assistant())["status"] == "completed"
        assert counted(lena, "queued") > 100
        few_places.kill("worker-1")
        assert other.run(other.thread("Hello"), other.assistant())["status"] == "completed"
        assert counted(lena, "queued") > 50
        few_places.start("worker-1")
        while counted(lena, "queued", "in_progress"):
            pass
    assert counted(lena, "completed") == 200


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_tenant_has_no_more_runs_at_work_than_it_may(lena: LiveCaller, few_places: Stack) -> None:
    Tenant.objects.filter(pk=lena.tenant.pk).update(concurrent_runs=3)
    with QuirkServer(dataclasses.replace(said("Hello"), before=0.2)) as provider:
        lena.provided_by(provider.base_url)
        queued(lena, 24)
        seen = set()
        while counted(lena, "queued", "in_progress"):
            seen.add(counted(lena, "in_progress"))
    assert max(seen) == 3
    assert counted(lena, "completed") == 24
