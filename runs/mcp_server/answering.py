"""The answers to what was posted: at once, or when runs have come to rest, as an event stream or as JSON."""

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.http import HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from mcp_types import (
    INTERNAL_ERROR,
    METHOD_NOT_FOUND,
    SERVER_INFO_META_KEY,
    CallToolRequest,
    CallToolResult,
    DiscoverRequest,
    DiscoverResult,
    EmptyResult,
    Implementation,
    InitializeRequest,
    InitializeResult,
    ListToolsRequest,
    PingRequest,
    ProgressNotification,
    Result,
    ServerCapabilities,
    ToolsCapability,
)
from mcp_types.version import KNOWN_PROTOCOL_VERSIONS
from rest_framework.request import Request

from assistant_site.wire import sse
from assistant_site.wire.errors import WireError
from assistant_site.wire.grammar import Fault
from assistant_site.wire.late import LateResponse
from assistant_site.wire.rendering import dumps
from assistant_site.wire.rest import raw_body
from assistants.models import Assistant
from runs.mcp_server import calls, protocol
from runs.mcp_server.calls import Arguments, Call, Progress, failed
from runs.mcp_server.protocol import Asked, Posted, Refused, agreed
from runs.mcp_server.toolbox import Toolbox
from tenants import end_users
from tenants.models import ApiToken
from threads import waiting
from threads.actions import ThreadBusy

logger = logging.getLogger(__name__)

JSON = "application/json"
BROKE = Refused(INTERNAL_ERROR, "The answer broke off. The run goes on.")


@dataclass(frozen=True)
class Wanted:
    """A call that is in order so far."""

    assistant: Assistant
    arguments: Arguments
    depth: int


class Answering:
    """Answers one body that came with a token. `files_at`: the address under which files have theirs."""

    def __init__(self, request: Request, token: ApiToken, toolbox: Toolbox, files_at: str) -> None:
        self.request = request
        self.token = token
        self.tenant = token.tenant
        self.user = end_users.named(request)
        self.toolbox = toolbox
        self.files_at = files_at

    def respond(self) -> HttpResponseBase:
        try:
            posted = protocol.read(raw_body(self.request._request), self.request.headers)
        except Refused as problem:
            return _json(Asked(None).refusal(problem), problem.status)
        if not posted.requests:
            return HttpResponse(status=202)
        return self._batch(posted) if posted.is_batch else self._single(posted.requests[0])

    def _single(self, asked: Asked) -> HttpResponseBase:
        try:
            wanted = self._prepared(asked)
        except Refused as problem:
            return _json(asked.refusal(problem), asked.status_of(problem))
        if not isinstance(wanted, Wanted):
            return _json(asked.answer(wanted))
        thread_id = wanted.arguments.thread_id
        if thread_id and (wait := waiting.behind_others(self.request, self.tenant, thread_id)):
            return wait
        try:
            call = self._begun(asked, wanted)
        except ThreadBusy as busy:
            try:
                return waiting.when_busy(self.request, self.tenant, busy)
            except ThreadBusy:
                return _json(asked.answer(failed(busy.message)))
        except WireError as refused:
            return _json(asked.answer(failed(refused.message)))
        if sse.CONTENT_TYPE.partition(";")[0] in self.request.headers.get("Accept", ""):
            return _Stream(asked, call)
        return LateResponse(_later([(asked, call)], is_batch=False))

    def _batch(self, posted: Posted) -> HttpResponseBase:
        answers: list[tuple[Asked, Call | dict[str, Any]]] = []
        for asked in posted.requests:
            try:
                wanted = self._prepared(asked)
                begun = self._begun(asked, wanted) if isinstance(wanted, Wanted) else asked.answer(wanted)
            except Refused as problem:
                begun = asked.refusal(problem)
            except WireError as refused:
                begun = asked.answer(failed(refused.message))
            answers.append((asked, begun))
        return LateResponse(_later(answers, is_batch=True))

    def _prepared(self, asked: Asked) -> Result | Wanted:
        """The result of what needs no run. Raises `Refused`."""
        if asked.fault is not None:
            raise asked.fault
        match asked.parsed():
            case CallToolRequest(params=params):
                return self._wanted(asked, params.name, params.arguments or {})
            case ListToolsRequest(params=page):
                return self.toolbox.page(page.cursor if page else None)
            case InitializeRequest(params=client):
                return InitializeResult(
                    protocol_version=agreed(client.protocol_version),
                    capabilities=_capabilities(),
                    server_info=_ourselves(),
                )
            case DiscoverRequest():
                us = _ourselves().model_dump(mode="json", by_alias=True, exclude_none=True)
                return DiscoverResult(
                    supported_versions=list(KNOWN_PROTOCOL_VERSIONS),
                    capabilities=_capabilities(),
                    _meta={SERVER_INFO_META_KEY: us},
                )
            case PingRequest():
                return EmptyResult()
        raise Refused(METHOD_NOT_FOUND, f"Method not found: {asked.method}")

    def _wanted(self, asked: Asked, name: str, arguments: dict[str, Any]) -> CallToolResult | Wanted:
        assistant = self.toolbox.assistant(name)
        if asked.depth > calls.MOST_DEEP:
            return failed(calls.TOO_DEEP)
        try:
            return Wanted(assistant, calls.arguments_of(arguments), asked.depth)
        except Fault as fault:
            return failed(fault.error().message)
        except WireError as refused:
            return failed(refused.message)

    def _begun(self, asked: Asked, wanted: Wanted) -> Call:
        run = calls.start(self.token, wanted.assistant, wanted.arguments, depth=wanted.depth, user=self.user)
        files_at = self.files_at if asked.knows(calls.LINKS_SINCE) else ""
        return Call(self.tenant, run.pk, run.thread_id, files_at)


def _capabilities() -> ServerCapabilities:
    return ServerCapabilities(tools=ToolsCapability())


def _ourselves() -> Implementation:
    return Implementation(name="Holdfast", version=settings.VERSION)


# --- Answers that are waited for -------------------------------------------------------------------------------------


def _json(answer: Any, status: int = 200) -> HttpResponse:
    return HttpResponse(dumps(answer), content_type=JSON, status=status)


def _later(answers: list[tuple[Asked, Call | dict[str, Any]]], *, is_batch: bool) -> Any:
    async def finished(asked: Asked, begun: Call | dict[str, Any]) -> dict[str, Any]:
        if isinstance(begun, dict):
            return begun
        try:
            return asked.answer(await begun.settled())
        except Exception:
            return broke(asked, begun)

    async def make() -> HttpResponseBase:
        all_of_them = await asyncio.gather(*(finished(asked, begun) for asked, begun in answers))
        return _json(all_of_them if is_batch else all_of_them[0])

    return make


class _Stream(StreamingHttpResponse):
    """What is told of a call while it is under way, if the client wants it told, and its result. Holds no thread."""

    def __init__(self, asked: Asked, call: Call) -> None:
        super().__init__(_frames(asked, call), content_type=sse.CONTENT_TYPE)
        self.headers["Cache-Control"] = "no-cache"
        self.headers["X-Accel-Buffering"] = "no"


async def _frames(asked: Asked, call: Call) -> AsyncIterator[bytes]:
    token = asked.progress_token
    progress = None if token is None else Progress(token)
    try:
        async for batch in call.batches():
            if not batch:
                yield sse.KEEP_ALIVE
            for news in progress.of(batch) if progress is not None else ():
                told = ProgressNotification(params=news).model_dump(mode="json", by_alias=True, exclude_none=True)
                yield _frame({"jsonrpc": "2.0", **told})
        assert call.result is not None
        yield _frame(asked.answer(call.result))
    except Exception:  # the status line is out: all that is left is to tell it in the stream
        yield _frame(broke(asked, call))


def broke(asked: Asked, call: Call) -> dict[str, Any]:
    """For the handler of an exception."""
    logger.exception("The answer to an MCP call, %s, broke.", call.run_id)
    return asked.refusal(BROKE)


def _frame(message: dict[str, Any]) -> bytes:
    return sse.frame(b"message", dumps(message))
