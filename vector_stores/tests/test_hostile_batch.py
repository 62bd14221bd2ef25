"""The hostile files once more, as a tenant would send them: each ends with its reason, the worker is none the worse."""

import time

import psutil
import pytest

from assistant_site.tests.callers import LiveCaller
from assistant_site.tests.stack import Stack
from vector_stores.tests.extraction.hostile import HOSTILE_FILES

SECONDS = 240
GROWTH_MEGABYTES = 250  # two texts of the longest length at a time, with their passages
# Ingestion bounds the text by its tokens, where the reader by itself bounds its characters.
BY_TOKENS = {"too-long.txt": None, "as-long-as-allowed.txt": "invalid_file"}


@pytest.mark.slow
@pytest.mark.timeout(SECONDS + 60)
def test_a_batch_of_hostile_files(lena: LiveCaller, live: Stack) -> None:
    store = lena.store()
    names, expected = {}, {}
    for hostile in HOSTILE_FILES:
        content = hostile.make()
        if not content:  # refused at the door
            continue
        file = lena.upload(hostile.filename, content)
        names[file], expected[file] = hostile.filename, BY_TOKENS.get(hostile.filename, hostile.code)
    workers = psutil.Process(live.pid("ingestion-1")).children(recursive=True)
    before = {process.pid: process.memory_info().rss for process in workers}
    batch = lena.post(f"vector_stores/{store}/file_batches", {"file_ids": list(names)})["id"]

    deadline = time.monotonic() + SECONDS
    most = 0
    while lena.get(f"vector_stores/{store}/file_batches/{batch}")["file_counts"]["in_progress"]:
        assert time.monotonic() < deadline
        grown = [process.memory_info().rss - before[process.pid] for process in workers if process.is_running()]
        most = max([most, *grown])
        time.sleep(0.1)

    found = {}
    for file in names:
        row = lena.get(f"vector_stores/{store}/files/{file}")
        found[file] = row["last_error"]["code"] if row["last_error"] else None
        assert (row["status"] == "completed") == (found[file] is None), row.body
        if row["last_error"]:
            assert row["last_error"]["message"].startswith("The file "), row.body
    assert {names[file]: code for file, code in found.items()} == {names[file]: expected[file] for file in names}
    assert sum(code is not None for code in found.values()) >= 50
    assert most < GROWTH_MEGABYTES * 1024 * 1024
    # The same processes go on working.
    alive = {p.pid for p in psutil.Process(live.pid("ingestion-1")).children(recursive=True)}
    assert set(before) <= alive
    good = lena.upload("good.txt", b"All is well.")
    lena.post(f"vector_stores/{store}/files", {"file_id": good})
    assert lena.indexed(store, good)["status"] == "completed"
