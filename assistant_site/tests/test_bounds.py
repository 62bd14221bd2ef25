"""Bodies that are too large, forms, readers that do not read: no harm to anybody else."""

import threading
import time

import psutil
import pytest
import requests

from assistant_site.llm.tests.quirk_server import HANG, Answer, QuirkServer, delta, streaming
from assistant_site.tests.callers import LiveCaller
from assistant_site.tests.stack import Stack
from runs import events
from runs.tests.test_endings import run_of

MEGABYTE = 1024 * 1024


def test_a_large_form_from_a_stranger_harms_nobody(live: Stack, lena: LiveCaller) -> None:
    web = psutil.Process(live.pid("web-1"))
    before = web.memory_info().rss
    part = b'--x\r\nContent-Disposition: form-data; name="f"; filename="f"\r\n\r\n' + b"a" * (100 * MEGABYTE)
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    answers: list[requests.Response] = []

    def send() -> None:
        answers.append(
            requests.post(f"{lena.base_url}/threads", data=part + b"\r\n--x--\r\n", headers=headers, timeout=30)
        )

    stranger = threading.Thread(target=send)
    stranger.start()
    slowest = 0.0
    while stranger.is_alive():
        started = time.monotonic()
        assert lena.get("assistants").status == 200
        slowest = max(slowest, time.monotonic() - started)
    stranger.join()

    assert answers[0].status_code == 413
    assert "at most 32 MB" in answers[0].json()["error"]["message"]
    assert slowest < 2
    assert web.memory_info().rss - before < 80 * MEGABYTE


def test_a_form_is_no_json(lena: LiveCaller) -> None:
    for files in ({"f": b"x"}, {"f": b"\xff" * 1000}):
        answer = requests.post(
            f"{lena.base_url}/threads", files=files, headers={"Authorization": f"Bearer {lena.token}"}, timeout=10
        )
        assert answer.status_code == 400
        assert answer.json()["error"]["message"].startswith("We could not parse the JSON body")


@pytest.mark.slow
def test_readers_that_do_not_read_fill_no_memory(live: Stack, lena: LiveCaller) -> None:
    """They have what the connection holds; the rest waits in Valkey, for when they read."""
    with QuirkServer(Answer((*streaming(delta(content="Half"), done=False).pieces, HANG))) as provider:
        lena.provided_by(provider.base_url)
        thread = lena.thread("Hello")
        lena.post(f"threads/{thread}/runs", {"assistant_id": lena.assistant()})
        run = run_of(lena, thread, "in_progress")
        for number in range(20):
            more = [("thread.message.delta", {"filler": "x" * 4_000})] * 250
            events.append(run, 1_000 + 250 * number, more, wait=False)
        web = psutil.Process(live.pid("web-1"))
        before = web.memory_info().rss
        address = f"{lena.base_url}/threads/{thread}/runs/{run}/events"
        headers = {"Authorization": f"Bearer {lena.token}"}
        readers = [requests.get(address, headers=headers, stream=True, timeout=20) for _ in range(16)]  # 320 MB in all
        time.sleep(3)
        assert web.memory_info().rss - before < 48 * MEGABYTE
        assert lena.get("assistants").status == 200
        raw = b""
        for piece in readers[0].iter_content(None):
            raw += piece
            if b"id: 6000\n" in piece:
                break
        assert raw.count(b"filler") == 5_000
        for reader in readers:
            reader.close()
        lena.post(f"threads/{thread}/runs/{run}/cancel")
