"""Large files through running processes: flat memory, no harm to others, nothing for strangers."""

import asyncio
import hashlib
import json
import os
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests
from django.core.files.storage import storages
from django.db import connections

from assistant_site.handler import Handler
from assistant_site.tests.callers import LiveCaller
from assistant_site.tests.stack import Stack
from files.models import File, UnclaimedBlob

MEGABYTE = 1024 * 1024
HEAD = (
    b'--line\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nuser_data\r\n'
    b'--line\r\nContent-Disposition: form-data; name="file"; filename="large.bin"\r\n\r\n'
)
TAIL = b"\r\n--line--\r\n"
FORM = "multipart/form-data; boundary=line"


class Memory:
    """The most that a process has had more than at the beginning, in bytes, looked at every 20 ms."""

    def __init__(self, pid: int) -> None:
        self.process = psutil.Process(pid)
        self.before = self.most = self.process.memory_info().rss
        self.over = threading.Event()
        self.watching = threading.Thread(target=self.watch)

    def watch(self) -> None:
        while not self.over.wait(0.02):
            self.most = max(self.most, self.process.memory_info().rss)

    def __enter__(self) -> "Memory":
        self.watching.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.over.set()
        self.watching.join()

    @property
    def grown(self) -> int:
        return self.most - self.before


def form_of(size: int, block: bytes) -> Iterator[bytes]:
    yield HEAD
    for _ in range(size // len(block)):
        yield block
    yield TAIL


class Sized:
    """A generated body with a length, so that it is not sent in chunks."""

    def __init__(self, pieces: Iterator[bytes], length: int) -> None:
        self.pieces, self.length = pieces, length

    def __iter__(self) -> Iterator[bytes]:
        return self.pieces

    def __len__(self) -> int:
        return self.length


def send(lena: LiveCaller, size: int, *, token: str = "", chunked: bool = False, **headers: str) -> requests.Response:
    block = os.urandom(MEGABYTE)
    pieces = form_of(size, block)
    body: Any = pieces if chunked else Sized(pieces, len(HEAD) + size // MEGABYTE * MEGABYTE + len(TAIL))
    sent = {"Authorization": f"Bearer {token or lena.token}", "Content-Type": FORM, **headers}
    return requests.post(f"{lena.base_url}/files", data=body, headers=sent, timeout=110)


@pytest.mark.slow
def test_512_megabytes_pass_with_flat_memory(live: Stack, lena: LiveCaller, capsys: pytest.CaptureFixture[str]) -> None:
    lena.upload("warm.txt", b"warm")
    slowest = 0.0
    with Memory(live.pid("web-1")) as up:
        started = time.monotonic()
        answers: list[requests.Response] = []
        sending = threading.Thread(target=lambda: answers.append(send(lena, 512 * MEGABYTE)))
        sending.start()
        while sending.is_alive():
            asked = time.monotonic()
            assert lena.get("assistants").status == 200
            slowest = max(slowest, time.monotonic() - asked)
            time.sleep(0.05)
        sending.join()
        up_seconds = time.monotonic() - started
    assert answers[0].status_code == 200, answers[0].text
    made = answers[0].json()
    assert made["bytes"] == 512 * MEGABYTE
    with Memory(live.pid("web-1")) as down:
        started = time.monotonic()
        digest = hashlib.sha256()
        headers = {"Authorization": f"Bearer {lena.token}"}
        with requests.get(f"{lena.base_url}/files/{made['id']}/content", headers=headers, stream=True) as response:
            for piece in response.iter_content(MEGABYTE):
                digest.update(piece)
        down_seconds = time.monotonic() - started
    assert digest.hexdigest() == File.objects.of(lena.tenant).get(pk=made["id"]).sha256
    with capsys.disabled():
        print(
            f"\n512 MB up: {512 / up_seconds:.0f} MB/s, memory +{up.grown / MEGABYTE:.0f} MB, slowest other request "
            f"{slowest * 1000:.0f} ms; down: {512 / down_seconds:.0f} MB/s, memory +{down.grown / MEGABYTE:.0f} MB"
        )
    assert up.grown < 60 * MEGABYTE
    assert down.grown < 60 * MEGABYTE
    assert slowest < 2
    assert lena.delete(f"files/{made['id']}").status == 200


def test_a_large_file_with_and_without_a_length(lena: LiveCaller) -> None:
    for chunked in (False, True):
        answer = send(lena, 40 * MEGABYTE, chunked=chunked)
        assert answer.status_code == 200, answer.text
        assert answer.json()["bytes"] == 40 * MEGABYTE


@pytest.mark.parametrize("over", [-1, 0, 1, 1_000, 70_000])
def test_bodies_that_end_about_where_the_question_is_asked(lena: LiveCaller, over: int) -> None:
    size = 32 * MEGABYTE + over - len(HEAD) - len(TAIL)
    form = HEAD + b"x" * size + TAIL
    for token, status in ((lena.token, 200), ("sk-wrong", 401)):
        headers = {"Authorization": f"Bearer {token}", "Content-Type": FORM}
        with requests.Session() as session:
            answer = session.post(f"{lena.base_url}/files", data=form, headers=headers, timeout=20)
            assert answer.status_code == status, answer.text
            again = session.get(f"{lena.base_url}/files", headers=headers, timeout=20)  # on the same connection
            assert again.status_code == status
        assert status == 401 or answer.json()["bytes"] == size


def test_a_stranger_fills_no_disk(live: Stack, lena: LiveCaller) -> None:
    from django.conf import settings

    with Memory(live.pid("web-1")) as memory:
        most = 0
        answers: list[requests.Response] = []
        strangers = threading.Thread(
            target=lambda: answers.append(send(lena, 200 * MEGABYTE, token="sk-holdfast-" + "x" * 40))
        )
        strangers.start()
        web = Path(f"/proc/{live.pid('web-1')}/fd")
        while strangers.is_alive():
            for entry in web.iterdir():
                try:
                    if str(settings.BODIES_DIR) in os.readlink(entry):
                        most = max(most, entry.stat().st_size)
                except OSError:  # closed meanwhile
                    continue
        strangers.join()
    assert (answers[0].status_code, answers[0].json()["error"]["code"]) == (401, "invalid_api_key")
    assert 0 < most < 34 * MEGABYTE
    assert memory.grown < 60 * MEGABYTE


def test_a_part_may_have_64_megabytes_and_no_more(lena: LiveCaller) -> None:
    body = {"filename": "a", "purpose": "batch", "bytes": 64 * MEGABYTE, "mime_type": "text/plain"}
    upload = lena.post("uploads", body)["id"]
    part = lena.post_form(f"uploads/{upload}/parts", "data", "blob", b"x" * 64 * MEGABYTE)
    assert part.status == 200
    for size in (64 * MEGABYTE + 1, 70 * MEGABYTE):
        refused = lena.post_form(f"uploads/{upload}/parts", "data", "blob", b"x" * size)
        assert (refused.status, refused.error["message"]) == (413, "The file is too large: at most 64 MB are accepted.")
    done = lena.post(f"uploads/{upload}/complete", {"part_ids": [part["id"]]})
    assert done["file"]["bytes"] == 64 * MEGABYTE
    assert not UnclaimedBlob.objects.exists()


def test_every_other_path_keeps_its_limit(lena: LiveCaller) -> None:
    for path in ("files/file-x/content", "threads", "uploads", "uploads/upload_x/complete"):
        refused = lena.call("POST", path, b"x" * (33 * MEGABYTE))
        assert (refused.status, refused.error["message"]) == (
            413,
            "The request body is too large: at most 32 MB are accepted.",
        )


def test_a_sender_that_leaves_leaves_nothing(live: Stack, lena: LiveCaller) -> None:
    def broken() -> Iterator[bytes]:
        yield HEAD
        for _ in range(40):
            yield b"x" * MEGABYTE
        raise RuntimeError("pulled the plug")

    headers = {"Authorization": f"Bearer {lena.token}", "Content-Type": FORM}
    with pytest.raises(RuntimeError, match="pulled the plug"):
        requests.post(f"{lena.base_url}/files", data=broken(), headers=headers, timeout=20)
    assert lena.get("files")["data"] == []
    assert not UnclaimedBlob.objects.exists()
    deadline = time.monotonic() + 60  # the server sees the end of a connection when it comes to it
    while any(is_body(entry) for entry in Path(f"/proc/{live.pid('web-1')}/fd").iterdir()):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_download_that_breaks_off_is_seen_to(lena: LiveCaller) -> None:
    id = lena.upload("a.bin", os.urandom(4 * MEGABYTE))
    os.truncate(storages["blobs"].path(File.objects.of(lena.tenant).get(pk=id).blob), 3 * MEGABYTE)
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        lena.get(f"files/{id}/content")
    assert lena.get("files").status == 200


def is_body(entry: Path) -> bool:
    try:
        return "/bodies/" in os.readlink(entry)
    except OSError:
        return False


# --- Repeated uploads -------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_repeated_upload_makes_no_twin(live: Stack, lena: LiveCaller) -> None:
    """Each attempt of a client draws a new boundary; it is the same request all the same."""
    content = os.urandom(100 * MEGABYTE)
    answers = []
    with Memory(live.pid("web-1")) as memory:
        for _ in range(2):
            answers.append(
                requests.post(
                    f"{lena.base_url}/files",
                    data={"purpose": "user_data"},
                    files={"file": ("a.bin", content)},
                    headers={"Authorization": f"Bearer {lena.token}", "Idempotency-Key": "upload"},
                    timeout=60,
                )
            )
    first, second = answers
    assert first.status_code == second.status_code == 200, first.text
    assert first.json() == second.json()
    assert second.headers["Idempotent-Replayed"] == "true"
    assert memory.grown < 60 * MEGABYTE
    assert File.objects.of(lena.tenant).count() == 1
    other = requests.post(
        f"{lena.base_url}/files",
        data={"purpose": "user_data"},
        files={"file": ("a.bin", content[:-1] + b"?")},
        headers={"Authorization": f"Bearer {lena.token}", "Idempotency-Key": "upload"},
        timeout=60,
    )
    assert (other.status_code, other.json()["error"]["code"]) == (400, "idempotency_key_in_use")
    refused = requests.post(
        f"{lena.base_url}/files",
        data={"purpose": "nonsense"},
        files={"file": ("a.bin", b"x")},
        headers={"Authorization": f"Bearer {lena.token}", "Idempotency-Key": "refused"},
        timeout=60,
    )
    assert refused.status_code == 400
    assert not UnclaimedBlob.objects.exists()


# --- Any other ASGI server --------------------------------------------------------------------------------------------


def asked(handler: Handler, path: str, pieces: Iterator[bytes], token: str) -> tuple[int, Any]:
    """The answer to a POST whose body comes through `receive`."""
    answers: list[Mapping[str, Any]] = []

    async def receive() -> Mapping[str, Any]:
        piece = next(pieces, None)
        return {"type": "http.request", "body": piece or b"", "more_body": piece is not None}

    async def send(message: Mapping[str, Any]) -> None:
        answers.append(message)

    headers = {"authorization": f"Bearer {token}", "content-type": FORM, "host": "localhost"}
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "POST",
        "path": path,
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }
    asyncio.run(handler(scope, receive, send))
    return answers[0]["status"], json.loads(b"".join(answer.get("body", b"") for answer in answers))


@pytest.fixture
def handler(settings: Any) -> Iterator[Handler]:
    """With one thread, whose connection is closed in the end."""
    settings.WEB_THREADS = 1
    made = Handler()
    yield made
    made.threads.submit(connections.close_all).result()
    made.threads.shutdown()


def test_servers_that_hand_a_body_over_in_pieces(lena: LiveCaller, handler: Handler, settings: Any) -> None:
    settings.MAX_BODY_BYTES = 2 * MEGABYTE
    settings.MAX_FILE_BYTES = 8 * MEGABYTE
    block = os.urandom(MEGABYTE)
    status, made = asked(handler, "/api/v1/files", form_of(8 * MEGABYTE, block), lena.token)
    assert (status, made["bytes"]) == (200, 8 * MEGABYTE)
    assert lena.get(f"files/{made['id']}/content").body == block * 8
    status, refused = asked(handler, "/v1/files", form_of(10 * MEGABYTE, block), lena.token)
    assert (status, refused["error"]["message"]) == (413, "The file is too large: at most 8 MB are accepted.")
    status, refused = asked(handler, "/v1/files", form_of(8 * MEGABYTE, block), "sk-wrong")
    assert (status, refused["error"]["code"]) == (401, "invalid_api_key")
    status, refused = asked(handler, "/v1/threads", form_of(3 * MEGABYTE, block), lena.token)
    assert (status, refused["error"]["message"]) == (413, "The request body is too large: at most 2 MB are accepted.")


def test_no_room_for_a_body(
    lena: LiveCaller, handler: Handler, settings: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings.BODIES_DIR = tmp_path / "file"
    settings.BODIES_DIR.write_text("in the way")
    status, refused = asked(handler, "/v1/files", form_of(8 * MEGABYTE, b"x" * MEGABYTE), lena.token)
    assert (status, refused["error"]["type"]) == (503, "server_error")
    assert "set HOLDFAST_VAR to another folder" in caplog.text
