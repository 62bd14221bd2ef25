"""Who a call is made as: the kinds of `authentication` an action has, and what each adds to a request.

    {"type": "none"}
    {"type": "bearer", "secret": …}
    {"type": "basic", "secret": base64 of user:password, or user:password}, or with "username" and "password"
    {"type": "custom", "content": {header: value, …}}
    {"type": "api_key", "secret": …, "in": header | query | cookie, "name": …}
    {"type": "oauth2", "client_id": …, "client_secret": …, "token_url": …, "scope": …, "client_auth": basic | body}

`in`, `name`, `token_url` and `scope` are the document's, where it says them.
"""

import base64
import binascii
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import quote, urlencode, urljoin

from tools.openapi.faults import BadArguments, BadAuthentication
from tools.openapi.operation import Operation, SecurityScheme
from tools.openapi.requests import HIDDEN, Request, header_value, with_query
from tools.openapi.servers import origin
from tools.openapi.styles import TOKEN, encoded

TYPES = ("none", "bearer", "basic", "custom", "api_key", "oauth2")
DEFAULT_TOKEN_SECONDS = 300.0  # of a token that comes without `expires_in`

_SECRET = ("secret", "password", "client_secret")
_KNOWN = {
    "none": (),
    "bearer": ("secret",),
    "basic": ("secret", "username", "password"),
    "custom": ("content",),
    "api_key": ("secret", "in", "name"),
    "oauth2": ("client_id", "client_secret", "token_url", "scope", "client_auth"),
}
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
# Of the connection, or of the body that the operation makes.
_NOT_CUSTOM = frozenset(
    ("host", "content-length", "transfer-encoding", "connection", "content-type", "upgrade", "te", "trailer", "expect")
)

Authentication = Mapping[str, Any]


def check_authentication(authentication: Any, operation: Operation | None = None) -> None:
    """Raises `BadAuthentication` if it cannot be used; with `operation`, for calls of that one."""
    if authentication is None:
        return
    if not isinstance(authentication, Mapping):
        raise BadAuthentication("authentication", "This must be an object with a `type`.")
    kind = authentication.get("type")
    if kind not in TYPES:
        raise BadAuthentication("authentication.type", f"This must be one of {', '.join(TYPES)}.")
    for name, value in authentication.items():
        if name != "type" and name not in _KNOWN[kind] and value is not None:
            # What hands all members on, null where there is none, is as good.
            raise BadAuthentication(
                f"authentication.{name}", f"Authentication of type {kind} has nothing of this name."
            )
        if name != "content" and value is not None and (not isinstance(value, str) or _CONTROL.search(value)):
            raise BadAuthentication(f"authentication.{name}", "This must be a text without line breaks.")
    if kind == "custom":
        _check_headers(authentication.get("content"))
    elif kind == "basic":
        _basic(authentication)
    elif kind in ("bearer", "api_key"):
        _wanted(authentication, "secret")
    if kind == "api_key":
        _key_place(authentication, operation)
    if kind == "oauth2":
        _wanted(authentication, "client_id")
        _wanted(authentication, "client_secret")
        if authentication.get("client_auth") not in (None, "basic", "body"):
            raise BadAuthentication("authentication.client_auth", "This must be basic or body.")
        _token_url(authentication, operation)


def authenticated(
    request: Request, authentication: Authentication | None, operation: Operation, *, token: str = ""
) -> Request:
    """The request with who makes it; `token` is what `token_of` gave, for OAuth 2.

    Raises `BadAuthentication`, also for a request that does not go to the operation's own server.
    """
    check_authentication(authentication, operation)
    if not authentication or authentication["type"] == "none":
        return request
    if origin(request.url) != origin(operation.server):
        raise BadAuthentication("authentication", "Credentials only go to the server that the document names.")
    kind = authentication["type"]
    if kind == "custom":
        content = authentication["content"]
        # An answer may repeat a value without the word before it.
        return _with_headers(
            request, content, tuple(each for value in content.values() for each in (value, value.partition(" ")[2]))
        )
    if kind == "basic":
        pair = _basic(authentication)
        password = base64.b64decode(pair).decode("utf-8", "replace").partition(":")[2]
        return _with_headers(request, {"Authorization": f"Basic {pair}"}, (pair, password))
    if kind == "api_key":
        return _with_key(request, authentication, operation)
    secret = token if kind == "oauth2" else str(authentication["secret"]).strip()
    if not secret:
        raise BadAuthentication("authentication", "There is no token yet.")
    if secret[:7].lower() == "bearer ":
        secret = secret[7:].strip()
    return _with_headers(request, {"Authorization": f"Bearer {secret}"}, (secret,))


def token_request(authentication: Authentication, operation: Operation) -> Request:
    """The request for a token by client credentials (RFC 6749, 4.4). Raises `BadAuthentication`."""
    check_authentication(authentication, operation)
    if authentication["type"] != "oauth2":
        raise BadAuthentication("authentication.type", "Only oauth2 asks for tokens.")
    client, secret = authentication["client_id"], authentication["client_secret"]
    form = {"grant_type": "client_credentials"}
    scope = authentication.get("scope")
    if scope is None:
        scope = " ".join(_documented(operation, "oauth2").scopes)
    if scope:
        form["scope"] = scope
    headers = {"Accept": "application/json", "Content-Type": "application/x-www-form-urlencoded"}
    secrets = [secret]
    if authentication.get("client_auth") == "body":
        form |= {"client_id": client, "client_secret": secret}
    else:
        pair = f"{quote(client, safe='')}:{quote(secret, safe='')}"  # RFC 6749, 2.3.1
        secrets.append(base64.b64encode(pair.encode()).decode())
        headers["Authorization"] = f"Basic {secrets[-1]}"
    url = _token_url(authentication, operation)
    return Request("POST", url, headers, urlencode(form).encode(), tuple(secrets))


def token_of(body: bytes | str) -> tuple[str, float]:
    """The token in the answer and for how many seconds it holds. Raises `BadAuthentication`."""
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        answer = None
    if not isinstance(answer, dict):
        raise BadAuthentication("authentication.token_url", "The answer there is no JSON object with a token.")
    token = answer.get("access_token")
    if not isinstance(token, str) or not token or _CONTROL.search(token):
        error = answer.get("error")
        told = f" It says: {error[:100]}." if isinstance(error, str) and error else ""
        raise BadAuthentication("authentication.token_url", f"The answer there has no token.{told}")
    if str(answer.get("token_type", "bearer")).lower() != "bearer":
        raise BadAuthentication("authentication.token_url", "The token there is none of type bearer.")
    try:
        seconds = float(answer.get("expires_in", DEFAULT_TOKEN_SECONDS))
    except (TypeError, ValueError, OverflowError):
        seconds = DEFAULT_TOKEN_SECONDS
    return token, seconds if 0 <= seconds < 1e9 else DEFAULT_TOKEN_SECONDS


def masked(authentication: Authentication | None) -> dict[str, Any]:
    """As it may be shown: each secret is `********`."""
    shown = dict(authentication or {"type": "none"})
    for name in _SECRET:
        if shown.get(name):
            shown[name] = HIDDEN
    if isinstance(shown.get("content"), Mapping):
        shown["content"] = dict.fromkeys(shown["content"], HIDDEN)
    return shown


def merged(new: Authentication | None, old: Authentication | None) -> dict[str, Any]:
    """The new one, with the old one's secrets where the new one has `********`.

    Raises `BadAuthentication` where there is no such secret, or where it would go to another token server.
    """
    whole = dict(new or {"type": "none"})
    before: Mapping[str, Any] = old if old and old.get("type") == whole.get("type") else {}
    for name in _SECRET:
        if whole.get(name) == HIDDEN:
            if not before.get(name):
                raise BadAuthentication(f"authentication.{name}", "There is no secret yet that could stay as it is.")
            if name == "client_secret" and whole.get("token_url") != before.get("token_url"):
                raise BadAuthentication(
                    f"authentication.{name}", "For another token server, the secret must be given again."
                )
            whole[name] = before[name]
    if isinstance(content := whole.get("content"), Mapping):
        kept = before.get("content") or {}
        for name, value in content.items():
            if value == HIDDEN and name not in kept:
                raise BadAuthentication(
                    f"authentication.content.{name}", "There is no secret yet that could stay as it is."
                )
        whole["content"] = {name: kept[name] if value == HIDDEN else value for name, value in content.items()}
    return whole


def keeps_secrets(new: Authentication) -> bool:
    """Whether `merged` would take secrets from the old one."""
    content = new.get("content")
    values = [new.get(name) for name in _SECRET] + (list(content.values()) if isinstance(content, Mapping) else [])
    return HIDDEN in values


def destinations(authentication: Authentication, operation: Operation) -> tuple[str, str]:
    """Where its secrets go in calls of the operation: to the server and, if it is of that kind, where tokens are."""
    is_oauth2 = authentication.get("type") == "oauth2"
    return operation.server, _token_url(authentication, operation) if is_oauth2 else ""


def _check_headers(content: Any) -> None:
    if not isinstance(content, Mapping) or not content:
        raise BadAuthentication("authentication.content", "This must be an object of headers and their values.")
    for name, value in content.items():
        place = f"authentication.content.{str(name)[:100]}"
        if not isinstance(name, str) or not TOKEN.match(name):
            raise BadAuthentication(place, "This is no name of a header.")
        if name.lower() in _NOT_CUSTOM:
            raise BadAuthentication(place, "This header is made out of the request and cannot be given.")
        if not isinstance(value, str) or _CONTROL.search(value):
            raise BadAuthentication(place, "The value must be a text without line breaks.")


def _wanted(authentication: Authentication, name: str) -> str:
    value = authentication.get(name)
    if not isinstance(value, str) or not value.strip():
        raise BadAuthentication(f"authentication.{name}", f"“{name}” is missing.")
    return value


def _basic(authentication: Authentication) -> str:
    """base64 of user:password."""
    if not authentication.get("secret") and authentication.get("username"):
        user = str(authentication["username"])
        if ":" in user:
            raise BadAuthentication("authentication.username", "A user name cannot have a colon in it.")
        return base64.b64encode(f"{user}:{authentication.get('password') or ''}".encode()).decode()
    secret = _wanted(authentication, "secret").strip()
    secret = secret[6:].strip() if secret[:6].lower() == "basic " else secret
    if ":" in secret:
        return base64.b64encode(secret.encode()).decode()
    try:
        if b":" in base64.b64decode(secret, validate=True):
            return secret
    except (binascii.Error, ValueError):
        pass
    raise BadAuthentication("authentication.secret", "This must be user:password, or the base64 of it.")


def _documented(operation: Operation | None, kind: str) -> SecurityScheme:
    """What the operation says of schemes of this kind; an empty one if it says nothing."""
    schemes: Iterator[SecurityScheme] = iter(())
    if operation is not None:
        schemes = (scheme for way in operation.security for scheme in way if scheme.type == kind)
    return next(schemes, SecurityScheme(name="", type=kind))


def _key_place(authentication: Authentication, operation: Operation | None) -> tuple[str, str]:
    """Where the key goes, and under which name."""
    scheme = _documented(operation, "apiKey")
    where = authentication.get("in") or scheme.where or "header"
    if where not in ("header", "query", "cookie"):
        raise BadAuthentication("authentication.in", "This must be header, query or cookie.")
    name = authentication.get("name") or scheme.key
    if not name and operation is None:
        return where, ""  # the document may say it
    if not name:
        raise BadAuthentication("authentication.name", "The document does not say what the key is called: give `name`.")
    if where != "query" and (not TOKEN.match(name) or name.lower() in _NOT_CUSTOM):
        raise BadAuthentication("authentication.name", f"This is no name of a {where} that can be given.")
    return where, name


def _with_key(request: Request, authentication: Authentication, operation: Operation) -> Request:
    where, name = _key_place(authentication, operation)
    secret = str(authentication["secret"]).strip()
    if where == "header":
        return _with_headers(request, {name: secret}, (secret,))
    pair = f"{encoded(name)}={encoded(secret)}"
    secrets = (*request.secrets, secret)
    if where == "query":
        return replace(request, url=with_query(request.url, [pair]), secrets=secrets)
    cookies = "; ".join(filter(None, (request.headers.get("Cookie"), pair)))
    return replace(request, headers=request.headers | {"Cookie": cookies}, secrets=secrets)


def _token_url(authentication: Authentication, operation: Operation | None) -> str:
    url = authentication.get("token_url")
    if not url and operation is None:
        return ""  # the document may say it
    if not url and operation is not None:
        url = _documented(operation, "oauth2").token_url
        url = urljoin(f"{operation.server}/", url) if url else ""
    if not url:
        raise BadAuthentication(
            "authentication.token_url", "The document does not say where tokens are given: give `token_url`."
        )
    try:
        origin(url)
    except ValueError:
        raise BadAuthentication("authentication.token_url", "This must be a URL with http:// or https://.") from None
    return str(url)


def _with_headers(request: Request, added: Mapping[str, str], secrets: tuple[str, ...]) -> Request:
    """With these headers in place of those of the same names."""
    names = {name.lower() for name in added}
    headers = {name: value for name, value in request.headers.items() if name.lower() not in names}
    try:
        headers |= {name: header_value(name, value) for name, value in added.items()}
    except BadArguments as fault:
        raise BadAuthentication("authentication", fault.message) from None
    return replace(request, headers=headers, secrets=(*request.secrets, *secrets))
