"""Stores that many use at once, and workers that die: counts stay exact and nothing is indexed twice."""

import random
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db.models import Count

from assistant_site.tests.callers import LiveCaller
from assistant_site.tests.stack import Stack
from vector_stores.models import Chunk, ParsedText, StoreFile

pytestmark = pytest.mark.slow


@pytest.fixture
def mortals(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Two ingestion processes with short leases; the session's own rests meanwhile."""
    stack.stop("ingestion-1")
    env = {"INGESTION_LEASE_SECONDS": "3", "WORKER_DRAIN_SECONDS": "1"}
    folder = tmp_path_factory.mktemp("mortals")
    with Stack(folder=folder, webs=0, workers=0, ingestions=2, env=env) as running:
        yield running
    stack.start("ingestion-1")
    stack.wait_ready()


def uploaded(caller: LiveCaller, count: int) -> list[str]:
    """Files of some passages each."""
    with ThreadPoolExecutor(4) as pool:
        callers = [LiveCaller(caller.tenant, caller.token, caller.url) for _ in range(4)]
        texts = [f"File number {number}. " * 300 for number in range(count)]
        return list(pool.map(lambda at: callers[at % 4].upload(f"{at}.txt", texts[at].encode()), range(count)))


def rested(caller: LiveCaller, store: str, seconds: float = 150) -> dict[str, int]:
    """The store's counts once nothing is in progress."""
    deadline = time.monotonic() + seconds
    while (found := caller.get(f"vector_stores/{store}"))["file_counts"]["in_progress"]:
        assert time.monotonic() < deadline, found.body
        time.sleep(0.1)
    counts: dict[str, int] = found["file_counts"]
    return counts


def is_whole(caller: LiveCaller, store: str) -> None:
    """What is completed is there once, and of all else there is nothing."""
    rows = {row.pk: row for row in StoreFile.objects.of(caller.tenant).filter(vector_store_id=store)}
    completed = {pk: row.chunk_count for pk, row in rows.items() if row.status == "completed"}
    kept = dict(
        Chunk.objects.of(caller.tenant)
        .filter(vector_store_id=store)
        .order_by()
        .values_list("store_file_id")
        .annotate(Count("pk"))
    )
    assert kept == completed
    texts = ParsedText.objects.of(caller.tenant).filter(store_file__vector_store_id=store)
    assert set(texts.values_list("pk", flat=True)) == set(completed)


def test_counts_are_exact_whatever_meets(lena: LiveCaller) -> None:
    """Eight callers add, cancel, take out, delete and look, all in one store."""
    store, files = lena.store(), uploaded(lena, 32)

    def act(number: int) -> None:
        chance = random.Random(number)
        caller = LiveCaller(lena.tenant, lena.token, lena.url)
        batches: list[str] = []
        for _ in range(20):
            file = chance.choice(files)
            match chance.randrange(6):
                case 0:
                    answer = caller.post(f"vector_stores/{store}/files", {"file_id": file})
                case 1 | 2:
                    some = {"file_ids": chance.sample(files, 6)}
                    answer = caller.post(f"vector_stores/{store}/file_batches", some)
                    batches.append(answer["id"])
                case 3 if batches:
                    answer = caller.post(f"vector_stores/{store}/file_batches/{chance.choice(batches)}/cancel")
                case 4:
                    answer = caller.delete(f"vector_stores/{store}/files/{file}")
                case _:
                    answer = caller.get(f"vector_stores/{store}")
                    counts = dict(answer["file_counts"])
                    assert counts.pop("total") == sum(counts.values())
            assert answer.status in (200, 404), answer.body

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(act, range(8)))
    counts = rested(lena, store)
    rows = StoreFile.objects.of(lena.tenant).filter(vector_store_id=store)
    assert counts["total"] == rows.count()
    assert counts["completed"] == rows.filter(status="completed").count()
    is_whole(lena, store)


def test_many_adding_the_same_file_make_one(lena: LiveCaller) -> None:
    store, [file] = lena.store(), uploaded(lena, 1)

    def add(number: int) -> str:
        caller = LiveCaller(lena.tenant, lena.token, lena.url)
        return str(caller.post(f"vector_stores/{store}/files", {"file_id": file})["status"])

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(add, range(16))) <= {"in_progress", "completed"}
    assert rested(lena, store)["total"] == 1
    is_whole(lena, store)


def test_deletions_in_the_middle_of_ingestion_leave_nothing(lena: LiveCaller) -> None:
    files = uploaded(lena, 12)
    doomed, kept = lena.store(file_ids=files), lena.store(file_ids=files)
    with ThreadPoolExecutor(3) as pool:
        callers = [LiveCaller(lena.tenant, lena.token, lena.url) for _ in range(3)]
        gone = pool.submit(callers[0].delete, f"vector_stores/{doomed}")
        some = [pool.submit(callers[1].delete, f"files/{file}") for file in files[:6]]
        assert {each.result().status for each in [gone, *some]} == {200}
    counts = rested(lena, kept)
    assert (counts["completed"], counts["total"]) == (6, 6)
    is_whole(lena, kept)
    deadline = time.monotonic() + 60
    while Chunk.objects.of(lena.tenant).filter(vector_store_id=doomed).exists():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_worker_killed_in_mid_batch(mortals: Stack, lena: LiveCaller) -> None:
    """Twice, with the other going on; then both, and one comes back."""
    store, files = lena.store(), uploaded(lena, 60)
    batch = lena.post(f"vector_stores/{store}/file_batches", {"file_ids": files})["id"]
    for name, after in (("ingestion-1", 5), ("ingestion-2", 15)):
        while lena.get(f"vector_stores/{store}/file_batches/{batch}")["file_counts"]["completed"] < after:
            time.sleep(0.02)
        mortals.kill(name)
        mortals.start(name)
    mortals.kill("ingestion-1")
    mortals.kill("ingestion-2")
    mortals.start("ingestion-1")
    counts = rested(lena, store)
    assert counts == {"in_progress": 0, "completed": 60, "failed": 0, "cancelled": 0, "total": 60}
    done = lena.get(f"vector_stores/{store}/file_batches/{batch}")
    assert (done["status"], done["file_counts"]) == ("completed", counts)
    is_whole(lena, store)


def test_a_worker_that_is_stopped_hands_its_files_back(mortals: Stack, lena: LiveCaller) -> None:
    store, files = lena.store(), uploaded(lena, 30)
    lena.post(f"vector_stores/{store}/file_batches", {"file_ids": files})
    mortals.stop("ingestion-1")
    mortals.restart("ingestion-2")
    assert rested(lena, store)["completed"] == 30
    assert set(StoreFile.objects.of(lena.tenant).values_list("attempt", flat=True)) == {0}
    is_whole(lena, store)


def test_a_file_whose_wake_up_was_lost_is_found(lena: LiveCaller) -> None:
    store, [file] = lena.store(), uploaded(lena, 1)
    StoreFile.objects.create(tenant=lena.tenant, vector_store_id=store, file_id=file)
    assert rested(lena, store)["completed"] == 1


def test_runs_do_not_wait_behind_hundreds_of_files(lena: LiveCaller) -> None:
    store = lena.store()
    [file] = uploaded(lena, 1)
    with ThreadPoolExecutor(4) as pool:
        callers = [LiveCaller(lena.tenant, lena.token, lena.url) for _ in range(4)]
        files = list(pool.map(lambda at: callers[at % 4].upload(f"{at}.txt", b"some words"), range(400)))
    lena.post(f"vector_stores/{store}/file_batches", {"file_ids": files})
    assistant, thread = lena.assistant(), lena.thread("hello")
    for _ in range(3):
        assert lena.run(thread, assistant)["status"] == "completed"
    assert lena.get(f"vector_stores/{store}")["file_counts"]["in_progress"] > 0
    assert rested(lena, store, 150)["completed"] == 400
    assert lena.get(f"files/{file}").status == 200
