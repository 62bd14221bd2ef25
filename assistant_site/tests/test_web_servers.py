"""What each of the web servers must do by itself; every other live test runs with one of them (WEB_SERVER)."""

import itertools
import os
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests

from assistant_site.llm.tests.quirk_server import QuirkServer
from assistant_site.tests.callers import LiveCaller, new_tenant, read_events
from assistant_site.tests.stack import Stack
from audit.models import AuditEntry
from runs.tests.test_rejoining import slowly
from runs.tests.test_sockets import page_of

MEGABYTE = 1024 * 1024
OTHER = "daphne" if os.environ.get("WEB_SERVER") == "uvicorn" else "uvicorn"


@pytest.fixture(scope="module")
def other_stack(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A web process with the server that the session's stack does not have, beside its worker."""
    folder: Path = tmp_path_factory.mktemp("other")
    environment = {"WEB_SERVER": OTHER, "WEB_PROCESSES": "1"}
    with Stack(folder=folder, workers=0, ingestions=0, env=environment) as running:
        yield running


@pytest.fixture(params=["daphne", "uvicorn"])
def server(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def web(server: str, live: Stack, other_stack: Stack) -> Stack:
    return other_stack if server == OTHER else live


@pytest.fixture
def caller(web: Stack) -> LiveCaller:
    return LiveCaller(*new_tenant("Wendy"), web.url)


def test_a_run_is_streamed_and_its_connection_used_again(caller: LiveCaller) -> None:
    assistant, thread = caller.assistant(), caller.thread("Hello")
    for _ in range(2):
        events = caller.stream(f"threads/{thread}/runs", {"assistant_id": assistant})
        assert events[-1].name == "done"
        assert events[-2].name == "thread.run.completed"


def test_a_socket_follows_a_run(caller: LiveCaller) -> None:
    thread = caller.thread("Hello")
    with page_of(caller, f"threads/{thread}/ws") as page:
        page.say(type="create_run", id="1", body={"assistant_id": caller.assistant(), "instructions": "x" * 1_500_000})
        assert page.answer_to("1")["status"] == 400  # too long for instructions, and not for a message
        page.say(type="create_run", id="2", body={"assistant_id": caller.assistant()})
        page.until(event="done")
    assert "thread.run.completed" in [event.name for event in page.events]


def test_a_body_that_is_too_large_is_refused_and_not_kept(web: Stack, caller: LiveCaller) -> None:
    process = psutil.Process(web.pid("web-1"))
    before = process.memory_info().rss
    answer = requests.post(f"{caller.base_url}/threads", data=(b"x" * MEGABYTE for _ in range(64)), timeout=30)
    assert answer.status_code == 413
    assert "at most 32 MB" in answer.json()["error"]["message"]
    assert process.memory_info().rss - before < 16 * MEGABYTE


def test_a_head_without_end_is_not_read(web: Stack) -> None:
    host, port = web.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Endless: ")
        with pytest.raises(OSError, match=r"."):  # the other side has closed
            send_on(connection, 64 * MEGABYTE)


def send_on(connection: socket.socket, size: int) -> None:
    for _ in range(size // 65_536):
        connection.sendall(b"x" * 65_536)
        time.sleep(0.001)


def test_a_forwarded_address_is_not_believed(caller: LiveCaller) -> None:
    headers = {"Authorization": f"Bearer {caller.token}", "X-Forwarded-For": "203.0.113.9"}
    made = requests.post(f"{caller.base_url}/tokens", json={"name": "mine"}, headers=headers, timeout=10)
    assert made.status_code == 200, made.text
    assert AuditEntry.objects.filter(tenant_id=caller.tenant.pk).latest("pk").address == "127.0.0.1"


def following(caller: LiveCaller, provider: QuirkServer) -> Any:
    """An open stream of a run, and its beginning."""
    caller.provided_by(provider.base_url)
    answer = requests.post(
        f"{caller.base_url}/threads/{caller.thread('Hello')}/runs",
        json={"assistant_id": caller.assistant(), "stream": True},
        headers={"Authorization": f"Bearer {caller.token}"},
        stream=True,
        timeout=20,
    )
    raw = b""
    while b"thread.message.delta" not in raw:
        raw += answer.raw.read1()
    return answer, raw


def test_a_reader_that_leaves_ends_its_stream_only(web: Stack, caller: LiveCaller) -> None:
    with QuirkServer(slowly(60, 0.05)) as provider:
        answer, raw = following(caller, provider)
        connections = psutil.Process(web.pid("web-1")).net_connections
        [port] = {answer.raw.connection.sock.getsockname()[1]}
        answer.raw.connection.sock.shutdown(socket.SHUT_RDWR)
        answer.close()
        deadline = time.monotonic() + 5
        while [each for each in connections() if each.raddr[1:] == (port,)]:
            assert time.monotonic() < deadline, "the connection is still held"
            time.sleep(0.05)
        thread, run = (re.findall(rb'"(%s_\w{24})"' % word, raw)[0].decode() for word in (b"thread", b"run"))
        assert caller.settled(thread, run)["status"] == "completed"


def test_many_who_come_at_once_are_let_in(web: Stack) -> None:
    """Also while the process does something else: with room for 50, the 51st would try again a second later."""
    host, port = web.url.removeprefix("http://").split(":")
    process = psutil.Process(web.pid("web-1"))
    process.suspend()
    try:
        connections = [socket.create_connection((host, int(port)), timeout=20) for _ in range(500)]
    finally:
        process.resume()
    for connection in connections:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    for connection in connections:
        assert connection.recv(65_536).startswith(b"HTTP/1.1 200")
        connection.close()


def test_a_server_that_is_told_to_stop_lets_answers_end(web: Stack, caller: LiveCaller) -> None:
    with QuirkServer(slowly(30, 0.05)) as provider:
        answer, raw = following(caller, provider)
        psutil.Process(web.pid("web-1")).terminate()
        try:
            raw += b"".join(iter(answer.raw.read1, b""))
            assert read_events(raw)[-1].name == "done"
        finally:
            web.restart("web-1")
            web.wait_ready()


@pytest.mark.slow
def test_a_web_process_that_is_stopped_lets_its_stream_end(server: str, live: Stack, tmp_path: Path) -> None:
    environment = {"WEB_SERVER": server, "WEB_PROCESSES": "1", "DEMO_BASE_URL": f"{live.url}/demo/v1"}
    environment |= {"WEB_DRAIN_SECONDS": "30"}
    with Stack(folder=tmp_path, workers=0, ingestions=0, env=environment) as stopping:
        caller = LiveCaller(*new_tenant("Wendy"), stopping.url)
        thread = caller.thread("Hello " + "dear " * 400)
        assistant = caller.assistant(model="demo")
        response = caller.session.post(
            f"{caller.base_url}/threads/{thread}/runs",
            json={"assistant_id": assistant, "stream": True},
            headers={"Authorization": f"Bearer {caller.token}"},
            stream=True,
            timeout=30,
        )
        pieces = response.iter_content(None)
        raw = b"".join(itertools.islice(pieces, 2))
        process = psutil.Process(stopping.pid("web-1"))

        process.terminate()

        assert b"thread.run.completed" not in raw
        assert any(is_refused(stopping.url) for _ in range(100)), "it still takes connections"
        assert process.is_running()
        events = read_events(raw + b"".join(pieces))
        assert [event.name for event in events[-2:]] == ["thread.run.completed", "done"]
        process.wait(10)


def is_refused(url: str) -> bool:
    time.sleep(0.02)
    try:
        requests.get(f"{url}/healthz", timeout=5)
    except requests.ConnectionError:
        return True
    return False


@pytest.mark.slow
def test_a_stream_that_does_not_end_in_time_is_cut(live: Stack, tmp_path: Path) -> None:
    environment = {"WEB_SERVER": "daphne", "WEB_PROCESSES": "1", "WEB_DRAIN_SECONDS": "0"}
    environment |= {"DEMO_BASE_URL": f"{live.url}/demo/v1"}
    with Stack(folder=tmp_path, workers=0, ingestions=0, env=environment) as stopping:
        caller = LiveCaller(*new_tenant("Wendy"), stopping.url)
        thread = caller.thread("fail:hang")
        response = caller.session.post(
            f"{caller.base_url}/threads/{thread}/runs",
            json={"assistant_id": caller.assistant(model="demo"), "stream": True},
            headers={"Authorization": f"Bearer {caller.token}"},
            stream=True,
            timeout=30,
        )
        process = psutil.Process(stopping.pid("web-1"))
        process.terminate()
        with pytest.raises(requests.RequestException):
            b"".join(response.iter_content(None))
        process.wait(10)
