"""What can go wrong for a caller, as plain exceptions; `rest` turns them into OpenAI's error envelope.

SDKs choose their exception class by the status alone and retry 408, 409, 429 and 5xx by themselves: a conflict of
states is therefore always a 400 here, as it was on the hosted API.
"""

import math


class WireError(Exception):
    """An answer in OpenAI's error envelope."""

    status = 400
    type = "invalid_request_error"

    def __init__(
        self, message: str, *, code: str | None = None, param: str | None = None, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.param = param
        self.headers = headers or {}

    def body(self) -> dict[str, dict[str, str | None]]:
        return {"error": {"message": self.message, "type": self.type, "param": self.param, "code": self.code}}


class InvalidRequest(WireError):
    """The request breaks the grammar, or does not fit the state of what it is about."""


class Unauthorized(WireError):
    status = 401


class PermissionDenied(WireError):
    status = 403


class NotFound(WireError):
    status = 404

    @classmethod
    def of(cls, noun: str, id: str) -> "NotFound":
        return cls(f"No {noun} found with id '{id}'.")


class MethodNotAllowed(WireError):
    status = 405

    def __init__(self, method: str, path: str, allowed: list[str]) -> None:
        hint = f" (HINT: Perhaps you meant to use {' or '.join(allowed)} instead?)" if allowed else ""
        super().__init__(
            f"Not allowed to {method} on {path}.{hint}",
            code="method_not_supported",
            headers={"Allow": ", ".join(allowed)},
        )


class TooLarge(WireError):
    status = 413


class RateLimited(WireError):
    """Too much at once; SDKs try again by themselves, when the headers say so."""

    status = 429

    def __init__(self, message: str, kind: str, *, seconds: float, headers: dict[str, str] | None = None) -> None:
        """`kind`: of what there was too much, such as `requests`; `seconds`: until it is worth another try."""
        wait = {
            "Retry-After": str(max(1, math.ceil(seconds))),
            "retry-after-ms": str(max(1, math.ceil(1_000 * seconds))),
        }
        super().__init__(message, code="rate_limit_exceeded", headers={**(headers or {}), **wait})
        self.type = kind


class ServerError(WireError):
    """Our fault, or that of something we depend on; SDKs try again."""

    status = 500
    type = "server_error"


class Unavailable(ServerError):
    status = 503


def bug(request_id: str) -> ServerError:
    return ServerError(
        "The server had an error processing your request. Sorry about that! You can retry your request, or contact "
        f"the operator of this server if the error persists. (Please include the request ID {request_id}.)"
    )
