"""Bodies that are too large, or forms: refused without harm to anybody else."""

import threading
import time

import psutil
import requests

from assistant_site.tests.callers import LiveCaller
from assistant_site.tests.stack import Stack

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
