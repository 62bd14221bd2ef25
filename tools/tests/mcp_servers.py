"""MCP servers on the loopback interface: a real one with the protocol's own package, and ones that misbehave."""

import asyncio
import base64
import contextlib
import io
import json
import socket
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import mcp_types as types
import uvicorn
from mcp.server.lowlevel import Server as Protocol
from PIL import Image
from starlette.types import ASGIApp, Receive, Scope, Send

from assistant_site.tests.stack import free_port

NEW_KIND = b"2026-07-28"


def png() -> str:
    """A small picture, as base64."""
    bytes_of = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(bytes_of, "PNG")
    return base64.b64encode(bytes_of.getvalue()).decode()


def tool(name: str, description: str = "", schema: dict[str, Any] | None = None, **annotations: bool) -> types.Tool:
    return types.Tool(
        name=name,
        description=description or f"Does {name}.",
        input_schema=schema or {"type": "object", "properties": {"text": {"type": "string"}}},
        annotations=types.ToolAnnotations(**annotations) if annotations else None,  # type: ignore[arg-type]
    )


def text_result(text: str, *, is_error: bool = False, **fields: Any) -> types.CallToolResult:
    return types.CallToolResult(content=[types.TextContent(text=text)], is_error=is_error, **fields)


@dataclass(frozen=True)
class Asked:
    """An HTTP request that came: header names in lower case, the body's JSON."""

    http_method: str
    headers: dict[str, str]
    body: Any

    @property
    def method(self) -> str:
        return str(self.body["method"]) if isinstance(self.body, dict) and "method" in self.body else self.http_method

    @property
    def params(self) -> dict[str, Any]:
        params: dict[str, Any] = self.body["params"]
        return params


@dataclass
class McpTestServer:
    """Tools whose names say what they do. `handshake`: it speaks the protocol's older kind only.

    `token`: refuses who does not bear it. `page`: so many tools on a page of the list.
    """

    tools: list[types.Tool] = field(default_factory=lambda: [tool("echo", readOnlyHint=True), tool("add")])
    handshake: bool = True
    stateless: bool = False
    json: bool = False
    token: str = ""
    page: int = 100
    seconds: float = 0.0  # that every call takes
    answer: Callable[[types.CallToolRequestParams], types.CallToolResult] | None = None
    asked: list[Asked] = field(default_factory=list)
    port: int = field(default_factory=free_port)

    @property
    def url(self) -> str:
        return f"http://localhost:{self.port}/mcp"

    @property
    def methods(self) -> list[str]:
        return [asked.method for asked in self.asked]

    def calls(self) -> list[Asked]:
        return [asked for asked in self.asked if asked.method == "tools/call"]

    def reset(self) -> None:
        """As new, but for how it speaks HTTP."""
        new = McpTestServer(port=self.port)
        self.__dict__.update(new.__dict__)

    # --- The protocol's side --------------------------------------------------------------------------------------

    async def _list(self, ctx: Any, params: types.PaginatedRequestParams | None) -> types.ListToolsResult:
        start = int(params.cursor) if params and params.cursor else 0
        end = start + self.page
        return types.ListToolsResult(
            tools=self.tools[start:end], next_cursor=str(end) if end < len(self.tools) else None
        )

    async def _call(self, ctx: Any, params: types.CallToolRequestParams) -> types.CallToolResult:
        await asyncio.sleep(self.seconds)
        if self.answer is not None:
            return self.answer(params)
        if params.name == "sample":
            wanted = [types.SamplingMessage(role="user", content=types.TextContent(text="Who am I?"))]
            try:
                await ctx.session.create_message(messages=wanted, max_tokens=10)
            except Exception as error:
                return text_result(f"refused: {error}")
            return text_result("answered")
        return text_result((params.arguments or {}).get("text", "") or params.name)

    # --- HTTP -----------------------------------------------------------------------------------------------------

    def _app(self) -> ASGIApp:
        protocol: Protocol[Any] = Protocol("test", on_list_tools=self._list, on_call_tool=self._call)
        app = protocol.streamable_http_app(json_response=self.json, stateless_http=self.stateless)

        async def noting(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http":
                await app(scope, receive, send)
                return
            headers = dict(scope["headers"])
            body = b""
            while True:
                message = await receive()
                body += message.get("body", b"")
                if not message.get("more_body"):
                    break
            told = {name.decode(): value.decode() for name, value in headers.items()}
            self.asked.append(Asked(scope["method"], told, json.loads(body) if body else None))
            if self.token and headers.get(b"authorization") != f"Bearer {self.token}".encode():
                await _refuse(send, 401)
            elif self.handshake and headers.get(b"mcp-protocol-version") == NEW_KIND:
                await _refuse(send, 400)
            else:
                await app(scope, _again(body, receive), send)

        return noting

    def __enter__(self) -> Self:
        config = uvicorn.Config(self._app(), host="127.0.0.1", port=self.port, log_level="critical", ws="none")
        self._uvicorn = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._uvicorn.run, daemon=True)
        self._thread.start()
        deadline = time.monotonic() + 60
        while not self._uvicorn.started:
            assert time.monotonic() < deadline, "the MCP server does not start"
            time.sleep(0.01)
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        self._uvicorn.force_exit = True
        self._uvicorn.should_exit = True
        self._thread.join(10)


def _again(body: bytes, receive: Receive) -> Receive:
    """The body that has been read, and then what comes: that the client has gone."""
    waiting = [{"type": "http.request", "body": body, "more_body": False}]

    async def next_message() -> Any:
        return waiting.pop() if waiting else await receive()

    return next_message


async def _refuse(send: Send, status: int) -> None:
    await send({"type": "http.response.start", "status": status, "headers": []})
    await send({"type": "http.response.body", "body": b""})


# --- Ones that misbehave -------------------------------------------------------------------------------------------


@dataclass
class Posted:
    """A request to a raw server, and the way back: bytes on its socket."""

    message: Any
    connection: socket.socket

    @property
    def method(self) -> str:
        return str(self.message.get("method", "")) if isinstance(self.message, dict) else ""

    @property
    def id(self) -> Any:
        return self.message.get("id")

    def send(self, data: bytes) -> None:
        self.connection.sendall(data)

    def answer(
        self, body: bytes, *, status: str = "200 OK", content_type: str = "application/json", headers: str = ""
    ) -> None:
        head = f"HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n"
        head += f"Connection: close\r\n{headers}\r\n"
        self.send(head.encode() + body)

    def result(self, result: Any, *, id: Any = None) -> None:
        message = {"jsonrpc": "2.0", "id": self.id if id is None else id, "result": result}
        self.answer(json.dumps(message).encode())

    def handshake(self) -> bool:
        """Answers what comes before the first request of interest; whether this was it."""
        match self.method:
            case "server/discover":
                self.answer(b"", status="400 Bad Request")
            case "initialize":
                self.result(
                    {
                        "protocolVersion": "2025-06-18",
                        "capabilities": {"tools": {}},
                        "serverInfo": {"name": "raw", "version": "1"},
                    }
                )
            case "notifications/initialized" | "notifications/cancelled":
                self.answer(b"", status="202 Accepted")
            case _:
                return False
        return True


@contextlib.contextmanager
def raw_server(script: Callable[[Posted], None]) -> Iterator[str]:
    """A server of bytes; its URL. `script` gets each request, in a thread, and the connection is closed behind it."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            head = b""
            while line := self.rfile.readline():
                head += line
                if line in (b"\r\n", b"\n"):
                    break
            length = next(
                (int(line.split(b":")[1]) for line in head.splitlines() if line.lower().startswith(b"content-length:")),
                0,
            )
            body = self.rfile.read(length)
            with contextlib.suppress(OSError):
                script(Posted(json.loads(body) if body else {}, self.connection))

    class Threads(socketserver.ThreadingTCPServer):
        daemon_threads = True
        allow_reuse_address = True
        block_on_close = False

    with Threads(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield f"http://localhost:{server.server_address[1]}/mcp"
        finally:
            server.shutdown()
