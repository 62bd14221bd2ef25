"""The WebSocket of a thread's runs, over a live server."""

import contextlib
import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.utils import timezone
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from assistant_site.llm.tests.quirk_server import Answer, QuirkServer, delta, streaming
from assistant_site.tests.callers import Event, LiveCaller, new_tenant
from runs import consumers
from runs.tests.folding import Folded, shape
from runs.tests.test_endings import FUNCTION
from runs.tests.test_rejoining import slowly
from tenants.models import Tenant

Message = dict[str, Any]


class Page:
    """A page with one socket."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.events: list[Event] = []

    def say(self, **message: Any) -> None:
        self.socket.send(json.dumps(message))

    def hear(self) -> Message:
        message: Message = json.loads(self.socket.recv(timeout=20))
        if message["type"] == "event":
            data = None if message["event"] == "done" else message["data"]
            self.events.append(Event(message["event"], data, message.get("position")))
        return message

    def until(self, **wanted: Any) -> Message:
        """The next message that has these fields; events on the way are kept."""
        while True:
            message = self.hear()
            if all(message.get(name) == value for name, value in wanted.items()):
                return message

    def answer_to(self, id: str) -> Message:
        return self.until(type="answer", id=id)


@contextmanager
def page_of(lena: LiveCaller, path: str, *, token: str | None = "own") -> Iterator[Page]:
    """`token` None: the page says nothing at its opening."""
    protocols = ["holdfast"]
    if token is not None:
        protocols.append(f"holdfast-token.{lena.token if token == 'own' else token}")
    url = f"{lena.base_url.replace('http', 'ws', 1)}/{path}"
    with connect(url, subprotocols=protocols, max_size=None) as socket:  # type: ignore[arg-type]
        assert socket.subprotocol == "holdfast"
        yield Page(socket)


def closing_code(page: Page) -> int | None:
    """The code with which the server closes; what it said before is heard."""
    try:
        while True:
            page.hear()
    except ConnectionClosed as closed:
        return closed.rcvd.code if closed.rcvd else None


def test_a_page_needs_one_socket(lena: LiveCaller) -> None:
    """A run is created, answered, and followed to its end; a second one is cancelled."""
    thread, assistant = lena.thread("call:lookup {}"), lena.assistant(tools=[FUNCTION])
    with page_of(lena, f"threads/{thread}/ws") as page:
        assert page.hear() == {"type": "authenticated"}
        page.say(type="create_run", id="1", body={"assistant_id": assistant})
        answer = page.answer_to("1")
        assert (answer["status"], answer["body"]["status"]) == (200, "queued")
        waiting = page.until(event="thread.run.requires_action")["data"]
        [call] = waiting["required_action"]["submit_tool_outputs"]["tool_calls"]
        page.say(
            type="submit_tool_outputs", id="2", body={"tool_outputs": [{"tool_call_id": call["id"], "output": "7"}]}
        )
        page.until(event="done")
        assert shape(page.events)[-5:] == [
            "message.delta", "message.completed", "run.step.completed", "run.completed", "done",
        ]  # fmt: skip
        Folded(page.events).equals_rest(lena)
        page.say(type="create_run", id="3", body={"assistant_id": assistant})
        second = page.answer_to("3")["body"]["id"]
        page.until(event="thread.run.requires_action")
        page.say(type="cancel_run", id="4")
        page.until(event="thread.run.cancelled")
    assert lena.get(f"threads/{thread}/runs/{second}")["status"] == "cancelled"


def test_it_tells_what_the_event_stream_tells(lena: LiveCaller) -> None:
    with QuirkServer(slowly(30, 0.03)) as provider:
        lena.provided_by(provider.base_url)
        thread = lena.thread("Hello")
        run = lena.post(f"threads/{thread}/runs", {"assistant_id": lena.assistant()})["id"]
        seen: list[Event] = []
        last = 0
        while not seen or seen[-1].name != "done":  # it drops the connection again and again
            with page_of(lena, f"threads/{thread}/runs/{run}/ws?after={last}") as page:
                until = time.monotonic() + 0.2
                while time.monotonic() < until and not (page.events and page.events[-1].name == "done"):
                    page.hear()
            seen += page.events
            last = max([last, *(event.position or 0 for event in seen)])
        with page_of(lena, f"threads/{thread}/runs/{run}/ws") as page:
            page.until(event="done")
    assert seen == page.events
    Folded(seen).equals_rest(lena)


def test_the_token_may_come_as_the_first_message(lena: LiveCaller) -> None:
    thread = lena.thread("Hello")
    with page_of(lena, f"threads/{thread}/ws", token=None) as page:
        page.say(type="authenticate", token=lena.token)
        assert page.hear() == {"type": "authenticated"}
        page.say(type="create_run", id=1, body={"assistant_id": lena.assistant()})
        page.until(event="done")
    url = f"{lena.base_url.replace('http', 'ws', 1)}/threads/{thread}/ws"
    with connect(url, additional_headers={"Authorization": f"Bearer {lena.token}"}) as socket:
        assert json.loads(socket.recv(timeout=10)) == {"type": "authenticated"}


def test_who_may_not(lena: LiveCaller) -> None:
    thread = lena.thread("Hello")
    for token, code in (("sk-wrong", consumers.NOT_AUTHENTICATED), (new_tenant("Bob")[1], consumers.NOT_FOUND)):
        with page_of(lena, f"threads/{thread}/ws", token=token) as page:
            assert page.hear()["type"] == "error"
            assert closing_code(page) == code
    with page_of(lena, f"threads/{thread}/runs/run_none/ws") as page:
        assert closing_code(page) == consumers.NOT_FOUND
    with page_of(lena, f"threads/{thread}/ws", token=None) as page:
        page.say(type="create_run", body={})
        assert closing_code(page) == consumers.NOT_AUTHENTICATED
    Tenant.objects.filter(pk=lena.tenant.pk).update(suspended_at=timezone.now())
    time.sleep(0.6)  # a token's row is kept for half a second
    with page_of(lena, f"threads/{thread}/ws") as page:
        assert closing_code(page) == consumers.SUSPENDED
    with pytest.raises(InvalidStatus), page_of(lena, "threads/x/y/z"):
        pass


@pytest.mark.parametrize("path", ["threads/foo/ws", "threads/runs/ws", "threads/{thread}/runs/foo/ws"])
def test_ids_that_are_none(lena: LiveCaller, path: str) -> None:
    with page_of(lena, path.format(thread=lena.thread("Hello"))) as page:
        assert closing_code(page) == consumers.NOT_FOUND


def test_a_tenant_that_is_suspended_meanwhile(lena: LiveCaller) -> None:
    with page_of(lena, f"threads/{lena.thread('Hello')}/ws") as page:
        page.hear()
        Tenant.objects.filter(pk=lena.tenant.pk).update(suspended_at=timezone.now())
        time.sleep(0.6)  # a token's row is kept for half a second
        page.say(type="cancel_run", id="1", run_id="run_x")
        assert page.answer_to("1")["status"] == 403
        assert closing_code(page) == consumers.SUSPENDED


def test_nothing_is_done_behind_a_refusal(lena: LiveCaller) -> None:
    thread = lena.thread("Hello")
    with page_of(lena, f"threads/{thread}/ws") as page:
        page.hear()
        assistant = lena.assistant()
        page.socket.send("{")
        with contextlib.suppress(ConnectionClosed):
            page.say(type="create_run", body={"assistant_id": assistant})
        assert closing_code(page) == consumers.NOT_UNDERSTOOD
    assert lena.get(f"threads/{thread}/runs")["data"] == []


def test_a_repeated_message_about_a_run_that_is_gone(lena: LiveCaller) -> None:
    thread, body = lena.thread("Hello"), {"assistant_id": lena.assistant()}
    with page_of(lena, f"threads/{thread}/ws") as page:
        page.say(type="create_run", id="1", body=body, idempotency_key="k")
        page.until(event="done")
        assert lena.delete(f"threads/{thread}").status == 200
        page.say(type="create_run", id="2", body=body, idempotency_key="k")
        assert page.answer_to("2")["status"] == 200
        page.until(event="done")


def test_a_message_that_is_too_large(lena: LiveCaller) -> None:
    with page_of(lena, f"threads/{lena.thread('Hello')}/ws") as page:
        page.hear()
        with contextlib.suppress(ConnectionClosed):  # it is told at its head, before all of it was sent
            page.socket.send("x" * (33 * 1024 * 1024))
        # Where the server closes while more is on its way, TCP may throw its last word away.
        assert closing_code(page) == 1009


@pytest.mark.slow
def test_who_takes_long_to_send_too_much_is_told_why(lena: LiveCaller) -> None:
    """The reason waits until the sender looks: a connection closed with bytes unread would take it away."""
    address = urlsplit(lena.base_url)
    length = 33 * 1024 * 1024
    with socket.create_connection((address.hostname, address.port), timeout=20) as connection:
        opening = f"GET {address.path}/threads/{lena.thread('Hello')}/ws HTTP/1.1\r\nHost: {address.netloc}\r\n"
        opening += "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        opening += "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
        opening += f"Sec-WebSocket-Protocol: holdfast, holdfast-token.{lena.token}\r\n\r\n"
        connection.sendall(opening.encode())
        assert b" 101 " in connection.recv(4096)
        connection.sendall(b"\x81\xff" + length.to_bytes(8, "big") + bytes(4))  # one message; its mask is zeros
        for _ in range(11):
            connection.sendall(b"x" * (length // 11))
            time.sleep(0.25)
        heard = b""
        while b"exceeds payload limit" not in heard:
            more = connection.recv(65536)
            assert more, heard
            heard += more
    assert (1009).to_bytes(2, "big") in heard


@pytest.mark.slow
def test_who_says_nothing(lena: LiveCaller) -> None:
    with page_of(lena, f"threads/{lena.thread('Hello')}/ws", token=None) as page:
        assert closing_code(page) == consumers.TOO_LATE


def test_too_much_at_a_time(lena: LiveCaller) -> None:
    """Messages that wait for a busy thread are bounded."""
    thread, assistant = lena.thread("call:lookup {}"), lena.assistant(tools=[FUNCTION])
    lena.run(thread, assistant)
    with page_of(lena, f"threads/{thread}/ws") as page:
        for _ in range(consumers.AT_WORK + 1):
            page.say(type="create_run", body={"assistant_id": assistant}, when_busy="queue")
        assert closing_code(page) == consumers.TOO_MANY


def test_a_token_in_the_address_is_none(lena: LiveCaller) -> None:
    thread = lena.thread("Hello")
    with page_of(lena, f"threads/{thread}/ws?token={lena.token}&api_key={lena.token}", token=None) as page:
        page.say(type="follow", run_id="run_x")
        assert closing_code(page) == consumers.NOT_AUTHENTICATED


@pytest.mark.parametrize(
    "text",
    [
        "x",
        "[]",
        "{}",
        '{"type": "dance"}',
        '{"type": "create_run", "body": 1}',
        '{"type": "cancel_run"}',
        '{"type": "follow", "run_id": "a/b"}',
        '{"type": "follow", "run_id": "run_a", "after": "x"}',
        '{"type": "create_run", "body": {}, "when_busy": 5}',
    ],
)
def test_what_is_not_understood(lena: LiveCaller, text: str) -> None:
    with page_of(lena, f"threads/{lena.thread('x')}/ws") as page:
        page.hear()
        page.socket.send(text)
        told = page.hear()
        assert (told["type"], told["code"]) == ("error", consumers.NOT_UNDERSTOOD)
        assert told["message"]
        assert closing_code(page) == consumers.NOT_UNDERSTOOD


def test_what_the_api_refuses_is_an_answer(lena: LiveCaller) -> None:
    thread = lena.thread("Hello")
    with page_of(lena, f"threads/{thread}/ws") as page:
        page.say(type="create_run", id="a", body={"assistant_id": "asst_none"})
        refused = page.answer_to("a")
        assert refused["status"] == 404
        assert refused["body"]["error"]["message"] == "No assistant found with id 'asst_none'."
        page.say(type="create_run", id="b", body={"assistant_id": lena.assistant()})  # and the socket goes on
        page.until(event="done")


def test_a_cancel_overtakes_who_waits_for_the_thread(lena: LiveCaller) -> None:
    """And a repeated message makes no twin."""
    forever = Answer((*streaming(delta(content="On and on "), done=False).pieces, 30.0))
    with QuirkServer(forever, *[slowly(3, 0)] * 3) as provider:
        lena.provided_by(provider.base_url)
        thread, body = lena.thread("Hello"), {"assistant_id": lena.assistant()}
        with page_of(lena, f"threads/{thread}/ws") as page:
            page.say(type="create_run", id="1", body=body)
            first = page.answer_to("1")["body"]["id"]
            page.until(event="thread.message.delta")
            page.say(type="create_run", id="2", body=body, when_busy="queue", idempotency_key="k")
            page.say(type="cancel_run", id="3", run_id=first)
            assert page.answer_to("3")["status"] == 200
            second = page.answer_to("2")["body"]
            page.until(event="done", run_id=second["id"])
            page.say(type="create_run", id="4", body=body, when_busy="queue", idempotency_key="k")
            assert page.answer_to("4")["body"]["id"] == second["id"]
    assert len(lena.get(f"threads/{thread}/runs")["data"]) == 2


@pytest.mark.slow
def test_a_slow_reader_gets_everything(lena: LiveCaller) -> None:
    """More than any buffer holds; meanwhile the server stays quick for others."""
    big = streaming(*(delta(content=f"{number:06d}" + "x" * 4000) for number in range(1500)), delta("stop"))
    with QuirkServer(big) as provider:
        lena.provided_by(provider.base_url)
        thread = lena.thread("Hello")
        with page_of(lena, f"threads/{thread}/ws") as page:
            page.say(type="create_run", id="1", body={"assistant_id": lena.assistant()})
            time.sleep(3)
            started = time.monotonic()
            assert lena.get("assistants").status == 200
            assert time.monotonic() - started < 10
            page.until(event="done")
    Folded(page.events).equals_rest(lena)
