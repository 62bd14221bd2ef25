"""Talking to an MCP server: its tools are listed, or one is called, each over a connection of its own.

A connection lives as long as one listing or one call. So nothing of one tenant, run or worker is ever found by another,
a worker's death leaves nothing open, and there is no state that could be stale. What that costs is written in
docs/mcp.md. Servers of the protocol's newer kind need no handshake: a call is one request.

This module loads the protocol's package (35 MB): import it where it is used (`loading`), not where the server starts.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar, cast

import httpx2
from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError
from mcp_types import (
    CONNECTION_CLOSED,
    HEADER_MISMATCH,
    PARSE_ERROR,
    CallToolRequest,
    CallToolRequestParams,
    CallToolResult,
    Implementation,
    InputRequiredResult,
    PaginatedRequestParams,
    RequestParamsMeta,
    Tool,
)
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import TypeAdapter, ValidationError
from pydantic_core import to_json

from assistant_site.fetching import CannotFetch, GuardedTransport
from tools.mcp import failures
from tools.mcp.failures import McpFailed
from tools.mcp.listing import Told
from tools.mcp.meta import DEPTH, IDEMPOTENCY_KEY
from tools.mcp.reach import TooManyParts, Watched
from tools.mcp.servers import Server

MEGABYTE = 1024 * 1024
LIST_BYTES = 4 * MEGABYTE  # of one answer to a request for tools
CALL_BYTES = 16 * MEGABYTE  # of the answer to a call: with files in it, as text
MOST_PAGES = 20
MOST_LISTED = 512  # tools that are remembered of a server; fewer are offered

T = TypeVar("T")

_RESULT: TypeAdapter[CallToolResult | InputRequiredResult] = TypeAdapter(CallToolResult | InputRequiredResult)
# What the client says itself of an answer without an error in the protocol's terms.
_OF_STATUS = {"Not Found", "Session terminated", "Server returned an error response"}
_BROKEN_OFF = ("Connection closed", "SSE stream")


async def list_tools(server: Server, *, seconds: float) -> tuple[list[Told], str]:
    """The server's tools, as it tells of them, and the protocol's version that it speaks. Raises `McpFailed`."""

    async def walk(client: Client) -> tuple[list[Told], str]:
        return [_as_told(tool) for tool in await _pages(client)], client.protocol_version

    return await _using(server, "", LIST_BYTES, seconds, walk)


async def call_tool(
    server: Server, version: str, name: str, arguments: dict[str, Any], *, key: str, depth: int = 1, seconds: float
) -> CallToolResult:
    """What the tool gives, which may be an error of its own (`is_error`). Raises `McpFailed`.

    `version` is the protocol's that the server was found to speak; empty if nobody knows. `key` goes out with the call,
    as does `depth`: how many assistants have called each other, with this one.
    """
    try:
        to_json(arguments)
    except (ValueError, RecursionError):
        raise McpFailed(failures.unwritable()) from None
    meta = cast(RequestParamsMeta, {IDEMPOTENCY_KEY: key, DEPTH: depth})
    request = CallToolRequest(params=CallToolRequestParams(name=name, arguments=arguments, _meta=meta))

    async def call(client: Client) -> CallToolResult:
        try:
            result = await client.session.send_request(request, _RESULT)
        except MCPError as refused:
            if refused.code != HEADER_MISMATCH:
                raise
            # Some arguments must be repeated in headers, as the tool's listing says: it is refused before it is begun.
            await _pages(client)
            result = await client.session.send_request(request, _RESULT)
        if isinstance(result, InputRequiredResult):
            raise McpFailed(failures.wants_input(server.label, name))
        return result

    return await _using(server, version, CALL_BYTES, seconds, call)


def _as_told(tool: Tool) -> Told:
    hints = tool.annotations
    return Told(
        name=tool.name,
        title=tool.title or (hints.title if hints else None) or "",
        description=tool.description or "",
        schema=tool.input_schema,
        read_only=hints is not None and hints.read_only_hint is True,
        idempotent=hints is not None and hints.idempotent_hint is True,
        is_callable=tool.execution is None or tool.execution.task_support != "required",
    )


async def _pages(client: Client) -> list[Tool]:
    tools: list[Tool] = []
    cursor, seen = None, set()
    for _ in range(MOST_PAGES):
        page = await client.session.list_tools(params=PaginatedRequestParams(cursor=cursor))
        tools += page.tools
        cursor = page.next_cursor
        if not cursor or cursor in seen or len(tools) >= MOST_LISTED:
            break
        seen.add(cursor)
    return tools[:MOST_LISTED]


async def _using(
    server: Server, version: str, max_bytes: int, seconds: float, use: Callable[[Client], Awaitable[T]]
) -> T:
    """Connects, does this, and ends the connection, in so many seconds as a whole. Raises `McpFailed`."""
    deadline = asyncio.get_running_loop().time() + seconds
    guarded = GuardedTransport(max_bytes=max_bytes, allowed_hosts=server.allowed_hosts)
    watched = Watched(guarded, deadline)
    used = False
    got: list[T] = []
    try:
        async with asyncio.timeout_at(deadline):
            async with _connected(server, version, watched, max_bytes) as client:
                used = True
                got.append(await use(client))
    except TimeoutError:
        if not got:  # what goes wrong behind the answer takes nothing from it
            raise McpFailed(failures.too_slow(server.label, seconds), was_sent=used) from None
    except Exception as error:
        if not got:
            raise _told(server, watched, error, used) from error
    if not got:
        raise McpFailed(failures.broken_off(server.label), was_sent=used)
    return got[0]


@asynccontextmanager
async def _connected(server: Server, version: str, watched: Watched, max_bytes: int) -> AsyncIterator[Client]:
    if not version:
        mode: str = "auto"
    elif version in MODERN_PROTOCOL_VERSIONS:
        mode = version
    else:
        mode = "legacy"
    headers = httpx2.Headers({"User-Agent": "Holdfast"})
    headers.update(server.headers)
    # `timeout`: the whole is bounded instead. `trust_env`: no proxies, no credentials of a .netrc.
    http = httpx2.AsyncClient(transport=watched, headers=headers, timeout=None, trust_env=False, follow_redirects=False)
    transport = streamable_http_client(server.url, http_client=http, max_sse_event_size=max_bytes)
    client = Client(transport, mode=mode, cache=None, client_info=Implementation(name="Holdfast", version="1"))
    async with http, client:
        yield client


def _told(server: Server, watched: Watched, error: Exception, used: bool) -> McpFailed:
    """The failure in our words."""
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    label = server.label
    if isinstance(error, McpFailed):
        return error
    if watched.failure is not None:
        return _unanswered(server, watched, used)
    if isinstance(error, MCPError):
        return _refused(server, watched, error, used)
    if isinstance(error, ValidationError | RuntimeError):
        return McpFailed(failures.no_protocol(label), was_sent=used)
    return McpFailed(failures.unreachable(label), was_sent=used)


def _unanswered(server: Server, watched: Watched, used: bool) -> McpFailed:
    failure = watched.failure
    if isinstance(failure, TooManyParts):
        return McpFailed(failures.too_many_parts(server.label), was_sent=used)
    message = failures.unreadable(server.label) if watched.has_begun else failures.unreachable(server.label)
    if isinstance(failure, CannotFetch) and not server.is_registered:
        message += f" {failure.message}"
    return McpFailed(message, was_sent=used and (watched.has_begun or getattr(failure, "was_sent", True)))


def _refused(server: Server, watched: Watched, error: MCPError, used: bool) -> McpFailed:
    label, status = server.label, watched.status
    if 300 <= status < 400 or (status >= 400 and error.message in _OF_STATUS):
        is_refused = failures.certainly_refused(status)
        return McpFailed(failures.of_status(label, status), was_sent=used and not is_refused, is_refusal=is_refused)
    if error.message.startswith("Unexpected content type:"):
        return McpFailed(failures.no_protocol(label, watched.content_type), was_sent=used)
    if error.code == PARSE_ERROR and error.message.startswith("Failed to parse"):
        return McpFailed(failures.no_protocol(label), was_sent=used)
    if status == 202 and error.message.startswith("server answered a request with 202"):
        return McpFailed(failures.no_protocol(label), was_sent=used)
    if error.code == CONNECTION_CLOSED and error.message.startswith(_BROKEN_OFF):
        return McpFailed(failures.broken_off(label), was_sent=used)
    return McpFailed(failures.said(label, server.without_secrets(error.message)), is_quoted=True, is_refusal=True)
