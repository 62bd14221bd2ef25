"""A page's one socket: follows runs of a thread as they happen, and starts, answers and cancels them.

What a message asks for is made as an ordinary request of the API (`call`), so it is validated, refused and answered
exactly as over HTTP. docs/extensions.md describes the messages and the codes with which the socket is closed.
"""

import asyncio
import contextlib
import logging
import re
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import orjson
from channels.generic.websocket import AsyncWebsocketConsumer
from django.conf import settings
from django.db import DatabaseError

from assistant_site.db import scope
from assistant_site.db import threads as database
from assistant_site.metrics import counted
from assistant_site.wire.errors import Unauthorized, WireError
from assistant_site.wire.headers import IDEMPOTENCY_KEY, caller_address
from assistant_site.wire.rendering import dumps
from runs.events import Told
from runs.following import TO_ITS_REST, Goal, follow
from runs.models import Run
from tenants import auth, tokens
from tenants.auth import Operator, bearer_of
from tenants.models import ApiToken
from threads import waiting

logger = logging.getLogger(__name__)

SUBPROTOCOL = "holdfast"
TOKEN_PREFIX = "holdfast-token."  # noqa: S105 it comes before a token
AUTHENTICATION_SECONDS = 10.0
IDLE_SECONDS = 600.0  # without a message or an event
RECHECK_SECONDS = 30.0  # so long the socket of a deleted thread stays
TOKEN_CHECK_SECONDS = 0.4  # with the half second of `auth.KEPT_SECONDS`, a revoked token is cut off within a second

AT_WORK = 32  # messages at a time

# The codes with which a socket is closed; docs/extensions.md tells callers of them.
NOT_UNDERSTOOD = 4400
NOT_AUTHENTICATED = 4401
SUSPENDED = 4403
NOT_FOUND = 4404
TOO_LATE = 4408
GONE_QUIET = 4409
TOO_MANY = 4429
BROKEN = 4500

_CODES = {401: NOT_AUTHENTICATED, 403: SUSPENDED, 404: NOT_FOUND}

_HEADERS = {"idempotency_key": IDEMPOTENCY_KEY, "when_busy": waiting.HEADER}
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")

# method, path, body, headers, the client's address → status, body
Call = Callable[[str, str, bytes, dict[str, str], tuple[str, int] | None], Awaitable[tuple[int, bytes]]]


class NotUnderstood(Exception):
    """A message that is none of the documented ones; says why."""


class RunSocket(AsyncWebsocketConsumer):  # type: ignore[misc]
    call: Call

    @classmethod
    def over(cls, call: Call) -> Any:
        """The application, whose messages become requests through `call`."""
        made: Any = type(cls.__name__, (cls,), {"call": staticmethod(call)})
        return made.as_asgi()

    # --- Coming and going -------------------------------------------------------------------------------------------

    async def connect(self) -> None:
        scope.enter(scope.CLOSED)
        counted.WEBSOCKETS.inc()
        self.thread_id: str = self.scope["url_route"]["kwargs"]["thread_id"]
        self.run_id: str | None = self.scope["url_route"]["kwargs"].get("run_id")
        self.token = ""
        self.refused = False
        self.last_sign = asyncio.get_running_loop().time()
        self.following: asyncio.Task[None] | None = None
        self.at_work: set[asyncio.Task[None]] = {asyncio.create_task(self.watch())}
        headers = dict(self.scope["headers"])
        self.passed_on = {
            name: headers[name.encode()].decode("latin-1")
            for name in ("host", "x-forwarded-for")
            if name.encode() in headers
        }
        client: tuple[str, int] | None = self.scope.get("client")
        self.client = (str(client[0]), client[1]) if client else None
        offered: list[str] = self.scope["subprotocols"]
        await self.accept(SUBPROTOCOL if SUBPROTOCOL in offered else None)
        tokens = [name.removeprefix(TOKEN_PREFIX) for name in offered if name.startswith(TOKEN_PREFIX)]
        with contextlib.suppress(Unauthorized):  # the token may come in another way
            tokens.append(bearer_of({"Authorization": headers.get(b"authorization", b"").decode("latin-1")}))
        if tokens or not settings.AUTH_ENABLED:
            await self.authenticate(tokens[0] if tokens else "none")

    async def disconnect(self, code: int) -> None:
        counted.WEBSOCKETS.dec()
        for task in (*self.at_work, self.following):
            if task is not None:
                task.cancel()

    async def refuse(self, code: int, message: str) -> None:
        """Says why, and closes: the close frame itself carries the code only."""
        self.refused = True
        await self.tell({"type": "error", "code": code, "message": message})
        await self.close(code)

    async def watch(self) -> None:
        """Closes a socket that does not say who it is, that may not hear any more, or that nobody uses."""
        now = asyncio.get_running_loop().time
        looked_at = began_at = now()
        while (left := self.last_sign + IDLE_SECONDS - now()) > 0:
            await asyncio.sleep(min(left, TOKEN_CHECK_SECONDS))
            if not self.token:
                if now() - began_at > AUTHENTICATION_SECONDS:
                    await self.refuse(TOO_LATE, "No token came in time.")
                    return
            elif refused := await self.refusal():
                await self.refuse(_CODES.get(refused.status, BROKEN), refused.message)
                return
            elif now() - looked_at > RECHECK_SECONDS:
                looked_at = now()
                status, body = await self.request("GET", "")
                if status == 404:
                    await self.refuse(NOT_FOUND, reason_of(body))
                    return
        await self.refuse(GONE_QUIET, "The socket was not used any more.")

    async def caller(self) -> ApiToken | Operator:
        """Whose token it is; a WireError if it is not taken. Needs a query only where nobody else uses the token."""
        address = caller_address(self.passed_on.get("x-forwarded-for", ""), self.client[0] if self.client else "")
        if kept := auth.kept_token(tokens.digest(self.token)):
            return auth.opened(auth.judged(kept, self.token, address))
        headers = {"Authorization": f"Bearer {self.token}"}
        return await database.of_this_loop().run(auth.caller_of, headers, address)

    async def refusal(self) -> WireError | None:
        """Why the token may not hear any more; None if it may."""
        try:
            caller = await self.caller()
            caller.require("runs.read" if self.run_id else "threads.read")
        except WireError as refused:
            return refused
        except DatabaseError:  # it says nothing of the token; the events do not come from there
            return None
        return None

    async def authenticate(self, token: str) -> None:
        """Takes the token if it may see the thread, and the run; closes the socket if not."""
        status, body = await self.request("GET", f"/runs/{self.run_id}" if self.run_id else "", token=token)
        if status != 200:
            await self.refuse(_CODES.get(status, NOT_FOUND if status < 500 else BROKEN), reason_of(body))
            return
        self.token = token
        await self.tell({"type": "authenticated"})
        if self.run_id:
            await self.start_following(self.run_id, self.after_asked())

    def after_asked(self) -> int:
        """The position in the address (`?after=`), from which a returning page goes on."""
        for item in self.scope["query_string"].decode("latin-1").split("&"):
            name, _, value = item.partition("=")
            if name == "after" and value.isdecimal():
                return int(value[:16])
        return 0

    # --- Messages ---------------------------------------------------------------------------------------------------

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        if self.refused:
            return
        self.last_sign = asyncio.get_running_loop().time()
        try:
            message = read(text_data)
            if not self.token:
                if message["type"] != "authenticate":
                    await self.refuse(NOT_AUTHENTICATED, "Authenticate first.")
                else:
                    await self.authenticate(word(message, "token"))
                return
            await self.begin(self.errand(message))
        except NotUnderstood as problem:
            await self.refuse(NOT_UNDERSTOOD, str(problem))

    def errand(self, message: dict[str, Any]) -> Coroutine[Any, Any, None]:
        """What a message asks for; `NotUnderstood` if that is not clear."""
        match message["type"]:
            case "create_run":
                return self.create_run(message, body_of(message), headers_of(message))
            case "submit_tool_outputs":
                path = f"/runs/{self.run_meant(message)}/submit_tool_outputs"
                return self.ask(message, path, body_of(message), headers_of(message))
            case "cancel_run":
                return self.ask(message, f"/runs/{self.run_meant(message)}/cancel", {}, headers_of(message))
            case "follow":
                return self.follow_run(message, self.run_meant(message), position_of(message))
            case "authenticate":
                raise NotUnderstood("The socket is authenticated already.")
        raise NotUnderstood(f"Unknown type '{message['type']}'.")

    async def begin(self, errand: Coroutine[Any, Any, None]) -> None:
        """Each message is worked on beside the others: one that waits for a busy thread does not hold up a cancel."""
        if len(self.at_work) > AT_WORK:
            errand.close()
            await self.refuse(TOO_MANY, f"More than {AT_WORK} messages are being worked on.")
            return
        task = asyncio.create_task(errand)
        self.at_work.add(task)
        task.add_done_callback(self.done)

    def done(self, task: "asyncio.Task[None]") -> None:
        self.at_work.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("A message to the socket of %s broke.", self.thread_id, exc_info=error)

    async def create_run(self, message: dict[str, Any], body: dict[str, Any], headers: dict[str, str]) -> None:
        status, answered = await self.request("POST", "/runs", {**body, "stream": False}, headers)
        await self.answer(message, status, answered)
        if status == 200:
            await self.start_following(orjson.loads(answered)["id"], 0)

    async def follow_run(self, message: dict[str, Any], run_id: str, after: int) -> None:
        status, body = await self.request("GET", f"/runs/{run_id}")
        await self.answer(message, status, body)
        if status == 200:
            await self.start_following(run_id, after)

    async def ask(self, message: dict[str, Any], path: str, body: dict[str, Any], headers: dict[str, str]) -> None:
        body = {**body, "stream": False} if "stream" in body else body
        await self.answer(message, *await self.request("POST", path, body, headers))

    def run_meant(self, message: dict[str, Any]) -> str:
        """The run a message is about: the one it names, else the one that is followed."""
        run_id = message.get("run_id", self.run_id)
        if not isinstance(run_id, str) or not _ID.fullmatch(run_id):
            raise NotUnderstood("Name the run by its 'run_id'.")
        return run_id

    async def request(
        self,
        method: str,
        path: str,
        body: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
        *,
        token: str = "",
    ) -> tuple[int, bytes]:
        """An ordinary request to the API under the socket's thread: status and body of its answer."""
        sent = {**self.passed_on, "authorization": f"Bearer {token or self.token}", **(headers or {})}
        content = dumps(body) if body is not None else b""
        return await type(self).call(method, f"/v1/threads/{self.thread_id}{path}", content, sent, self.client)

    async def answer(self, message: dict[str, Any], status: int, body: bytes) -> None:
        head = dumps({"type": "answer", "id": message.get("id"), "status": status})
        await self.send(text_data=(head[:-1] + b',"body":' + body + b"}").decode())
        if status == 401 or (status == 403 and told(body, "code") == auth.SUSPENDED):  # meanwhile
            await self.refuse(_CODES[status], reason_of(body))

    async def tell(self, message: dict[str, Any]) -> None:
        await self.send(text_data=dumps(message).decode())

    # --- Events -----------------------------------------------------------------------------------------------------

    async def start_following(self, run_id: str, after: int) -> None:
        """Follows this run from now on, and no other."""
        if self.following is not None:
            self.following.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self.following
        self.run_id = run_id
        self.following = asyncio.create_task(self.hand_on(run_id, after))

    async def hand_on(self, run_id: str, after: int) -> None:
        """Sends the run's events up to its end; each send waits while the reader does not keep up."""
        try:
            scope.enter((await self.caller()).tenant_id)
            goal = await database.of_this_loop().run(goal_of, run_id)
            async for batch in follow(run_id, after=after, goal=goal):
                for entry in batch:
                    self.last_sign = asyncio.get_running_loop().time()
                    await self.send(text_data=as_message(run_id, entry))
            await self.tell({"type": "event", "event": "done", "run_id": run_id, "data": "[DONE]"})
        except asyncio.CancelledError:
            raise
        except Exception:
            logger.exception("The socket that followed %s broke.", run_id)
            await self.refuse(BROKEN, "The events broke. The run goes on.")


def goal_of(run_id: str) -> Goal:
    """To the run's end; of one that is gone the stream tells that."""
    run = Run.objects.across_tenants().filter(pk=run_id).first()
    return TO_ITS_REST if run is None else Goal.of(run, through_action=True)


def as_message(run_id: str, entry: Told) -> str:
    head = dumps({"type": "event", "event": entry.name.decode(), "position": entry.position, "run_id": run_id})
    return (head[:-1] + b',"data":' + entry.data + b"}").decode()


def read(text: str | None) -> dict[str, Any]:
    try:
        message = orjson.loads(text or "")
    except orjson.JSONDecodeError:
        raise NotUnderstood("A message is a JSON object in a text frame.") from None
    if not isinstance(message, dict) or not isinstance(message.get("type"), str):
        raise NotUnderstood("A message is a JSON object with a 'type'.")
    return message


def word(message: dict[str, Any], name: str) -> str:
    value = message.get(name)
    if not isinstance(value, str) or not value or not value.isascii() or not value.isprintable():
        raise NotUnderstood(f"'{name}' must be a text.")
    return value


def reason_of(body: bytes) -> str:
    """The message of an error answer."""
    return told(body, "message") or "The request was refused."


def told(body: bytes, what: str) -> str:
    """A field of an error answer; empty if there is none."""
    with contextlib.suppress(ValueError, KeyError, TypeError):
        return str(orjson.loads(body)["error"][what] or "")
    return ""


def body_of(message: dict[str, Any]) -> dict[str, Any]:
    body = message.get("body", {})
    if not isinstance(body, dict):
        raise NotUnderstood("'body' must be an object.")
    return body


def headers_of(message: dict[str, Any]) -> dict[str, str]:
    return {header: word(message, name) for name, header in _HEADERS.items() if name in message}


def position_of(message: dict[str, Any]) -> int:
    after = message.get("after", 0)
    if not isinstance(after, int) or isinstance(after, bool) or after < 0:
        raise NotUnderstood("'after' must be a position.")
    return after
