"""The protocol's messages over HTTP, as any server without sessions takes them.

Versions up to 2025-11-25 begin with `initialize` and name their version in a header from then on; since 2026-07-28 each
request carries it, and repeats in headers what it asks for.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

import orjson
from mcp_types import (
    CLIENT_CAPABILITIES_META_KEY,
    DEFAULT_NEGOTIATED_VERSION,
    HEADER_MISMATCH,
    INVALID_PARAMS,
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    PARSE_ERROR,
    PROTOCOL_VERSION_META_KEY,
    UNSUPPORTED_PROTOCOL_VERSION,
    JSONRPCRequest,
    Result,
)
from mcp_types.methods import parse_client_request, serialize_server_result
from mcp_types.version import (
    HANDSHAKE_PROTOCOL_VERSIONS,
    KNOWN_PROTOCOL_VERSIONS,
    LATEST_HANDSHAKE_VERSION,
    MODERN_PROTOCOL_VERSIONS,
    is_version_at_least,
)
from pydantic import ValidationError

from tools.mcp.meta import DEPTH

VERSION_HEADER = "MCP-Protocol-Version"
METHOD_HEADER = "Mcp-Method"
NAME_HEADER = "Mcp-Name"

MOST_IN_BATCH = 20
_BATCH_VERSIONS = ("2024-11-05", "2025-03-26")
_STATUS_OF = {METHOD_NOT_FOUND: 404}  # of newer versions; anything else is 400

Id = int | str | None


class Refused(Exception):
    """A request that is answered with an error of the protocol's. `status` is HTTP's."""

    def __init__(self, code: int, message: str, *, data: Any = None, status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.data = data
        self.status = status


@dataclass(frozen=True)
class Asked:
    """A request. `fault`: it is refused, whatever it wants."""

    id: Id
    method: str = ""
    params: dict[str, Any] = field(default_factory=dict)
    version: str = DEFAULT_NEGOTIATED_VERSION
    fault: Refused | None = None

    @property
    def meta(self) -> dict[str, Any]:
        meta = self.params.get("_meta")
        return meta if isinstance(meta, dict) else {}

    @property
    def depth(self) -> int:
        """0 for a caller who is no assistant."""
        depth = self.meta.get(DEPTH)
        return depth if isinstance(depth, int) and depth > 0 else 0

    @property
    def progress_token(self) -> int | str | None:
        token = self.meta.get("progressToken")
        return token if isinstance(token, int | str) else None

    def knows(self, version: str) -> bool:
        """Whether the client's version is at least this one."""
        return is_version_at_least(self.version, version)

    def parsed(self) -> Any:
        """The request as the protocol's type of it. Raises `Refused`."""
        try:
            return parse_client_request(self.method, self.version, self.params)
        except KeyError:
            raise Refused(METHOD_NOT_FOUND, f"Method not found: {self.method}") from None
        except ValidationError as flaws:
            first = flaws.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise Refused(INVALID_PARAMS, f"Invalid request parameters: {where}: {first['msg']}") from None

    def answer(self, result: Result) -> dict[str, Any]:
        """The response with this result, with nothing in it that the client's version does not know."""
        told = result.model_dump(mode="json", by_alias=True, exclude_none=True)
        told = serialize_server_result(self.method, self.version, told)
        return {"jsonrpc": "2.0", "id": self.id, "result": told}

    def refusal(self, problem: Refused) -> dict[str, Any]:
        error = {"code": problem.code, "message": problem.message}
        if problem.data is not None:
            error["data"] = problem.data
        return {"jsonrpc": "2.0", "id": self.id, "error": error}

    def status_of(self, problem: Refused) -> int:
        """HTTP's status for a refusal that is the whole answer: older versions have one for what is no request only."""
        if self.version in MODERN_PROTOCOL_VERSIONS:
            return _STATUS_OF.get(problem.code, problem.status)
        return problem.status if problem is self.fault else 200


@dataclass(frozen=True)
class Posted:
    """What a body has for us to answer; notifications, and answers to what was never asked, are left out."""

    requests: list[Asked]
    is_batch: bool = False


def agreed(wanted: str) -> str:
    """The version for a client that begins with this one."""
    return wanted if wanted in HANDSHAKE_PROTOCOL_VERSIONS else LATEST_HANDSHAKE_VERSION


def read(body: bytes, headers: Mapping[str, str]) -> Posted:
    """The body's messages. Raises `Refused` for one that is no message at all."""
    try:
        posted = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise Refused(PARSE_ERROR, "Parse error: the body is not valid JSON.") from None
    version = headers.get(VERSION_HEADER, DEFAULT_NEGOTIATED_VERSION)
    if isinstance(posted, list):
        _check_batch(posted, version)
        found = [_read(message, version, headers) for message in posted]
        return Posted([asked for asked in found if asked is not None], is_batch=True)
    asked = _read(posted, version, headers)
    return Posted([] if asked is None else [asked])


def _check_batch(posted: list[Any], version: str) -> None:
    if version not in _BATCH_VERSIONS:
        raise Refused(INVALID_REQUEST, f"Invalid request: version {version} of the protocol has no batches.")
    if not posted:
        raise Refused(INVALID_REQUEST, "Invalid request: the batch is empty.")
    if len(posted) > MOST_IN_BATCH:
        raise Refused(INVALID_REQUEST, f"Invalid request: at most {MOST_IN_BATCH} messages are taken in one batch.")
    if any(isinstance(message, dict) and message.get("method") == "initialize" for message in posted):
        raise Refused(INVALID_REQUEST, "Invalid request: 'initialize' must not be part of a batch.")


def _read(message: Any, version: str, headers: Mapping[str, str]) -> Asked | None:
    """A request, maybe with its fault; None if there is nothing to answer."""
    if isinstance(message, dict) and message.get("jsonrpc") == "2.0" and "id" not in message:
        if isinstance(message.get("method"), str):
            return None
    elif isinstance(message, dict) and "method" not in message and ("result" in message or "error" in message):
        return None
    try:
        request = JSONRPCRequest.model_validate(message)
    except ValidationError:
        fault = Refused(INVALID_REQUEST, "Invalid request: this is no JSON-RPC 2.0 request or notification.")
        return Asked(None, fault=fault)
    asked = Asked(request.id, request.method, request.params or {}, version)
    try:
        if request.method == "initialize":
            return Asked(request.id, request.method, request.params or {}, LATEST_HANDSHAKE_VERSION)
        _check_version(asked, headers)
    except Refused as fault:
        return Asked(request.id, request.method, request.params or {}, version, fault)
    return asked


def _check_version(asked: Asked, headers: Mapping[str, str]) -> None:
    if asked.version not in KNOWN_PROTOCOL_VERSIONS:
        _refuse_version(asked.version)
    if asked.version not in MODERN_PROTOCOL_VERSIONS:
        if asked.meta.get(PROTOCOL_VERSION_META_KEY) in MODERN_PROTOCOL_VERSIONS:
            raise Refused(HEADER_MISMATCH, f"The header {VERSION_HEADER} does not name the request's version.")
        return
    missing = [key for key in (PROTOCOL_VERSION_META_KEY, CLIENT_CAPABILITIES_META_KEY) if key not in asked.meta]
    if missing:
        raise Refused(INVALID_PARAMS, f"params._meta lacks {', '.join(missing)}.")
    named = asked.params.get("name") if asked.method == "tools/call" else None
    for header, value in (
        (VERSION_HEADER, asked.meta[PROTOCOL_VERSION_META_KEY]),
        (METHOD_HEADER, asked.method),
        (NAME_HEADER, named),
    ):
        if value is not None and headers.get(header) != value:
            raise Refused(HEADER_MISMATCH, f"The header {header} does not name what the request does.")


def _refuse_version(version: str) -> NoReturn:
    data = {"supported": list(KNOWN_PROTOCOL_VERSIONS), "requested": version}
    raise Refused(UNSUPPORTED_PROTOCOL_VERSION, "Unsupported protocol version", data=data)
