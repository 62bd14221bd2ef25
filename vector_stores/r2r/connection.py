"""Calls to an R2R server, as a user who is logged in: tokens are kept per process and account, and renewed in time.

Neither tokens nor passwords are logged, nor any body that R2R sends: `/users/me` has the password's hash in it.
"""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, BinaryIO

import httpx2
import orjson

from vector_stores.r2r.errors import LOGIN_REFUSED, NOT_R2R, UNREACHABLE, R2RFailed, failure_of, words_of

CONNECT_SECONDS = 10.0
CALL_SECONDS = 60.0  # a search with the embedding model down takes five
MAX_CONNECTIONS = 100


@dataclass(frozen=True)
class Account:
    """Who speaks to which server. Without a username there is no login, as R2R allows when so configured."""

    base_url: str
    username: str = ""
    password: str = field(default="", repr=False)


@dataclass(frozen=True)
class Tokens:
    access: str = field(repr=False)
    refresh: str = field(repr=False)


@dataclass(frozen=True)
class Call:
    """One request. `form` is sent url-encoded, or as multipart if there is a `file` (its name and its open bytes)."""

    method: str
    path: str
    json: Any = None
    params: Mapping[str, Any] | None = None
    form: Mapping[str, str] | None = None
    file: tuple[str, BinaryIO] | None = None
    seconds: float = CALL_SECONDS

    @property
    def asked(self) -> str:
        return f"{self.method} {self.path}"


class Session:
    """The login of one account, shared by all threads of the process."""

    def __init__(self, account: Account) -> None:
        self.account = account
        self._lock = threading.Lock()
        self._tokens: Tokens | None = None

    def call(self, call: Call) -> Any:
        """The decoded body of an answer below 300; raises `R2RFailed` for everything else.

        A token that R2R does not take any more is refreshed once; if that does not help there is one new login.
        """
        if not self.account.username:
            return self._answer(call, None)
        tokens = self._tokens or self._renewed(None, may_refresh=False)
        for may_refresh in (True, False):
            try:
                return self._answer(call, tokens)
            except R2RFailed as failed:
                if failed.status != 401 or failed.message != LOGIN_REFUSED:
                    raise
            tokens = self._renewed(tokens, may_refresh=may_refresh)
        return self._answer(call, tokens)

    def call_openly(self, call: Call) -> Any:
        """The same without a login."""
        return self._answer(call, None)

    def _renewed(self, stale: Tokens | None, *, may_refresh: bool) -> Tokens:
        """Other tokens than these: what another thread got meanwhile, a refreshed pair, or those of a new login."""
        with self._lock:
            if self._tokens is not None and self._tokens is not stale:
                return self._tokens
            tokens = self._refreshed(self._tokens) if self._tokens is not None and may_refresh else None
            self._tokens = tokens or self._logged_in()
            return self._tokens

    def _refreshed(self, tokens: Tokens) -> Tokens | None:
        try:
            return _tokens_in(self._answer(Call("POST", "/users/refresh-token", json=tokens.refresh), None))
        except R2RFailed as failed:
            if failed.transient and failed.status != 401:
                raise
            return None

    def _logged_in(self) -> Tokens:
        form = {"username": self.account.username, "password": self.account.password}
        return _tokens_in(self._answer(Call("POST", "/users/login", form=form), None))

    def _answer(self, call: Call, tokens: Tokens | None) -> Any:
        headers = {"Authorization": f"Bearer {tokens.access}"} if tokens else {}
        try:
            response = _http().request(
                call.method,
                f"{self.account.base_url}/v3{call.path}",
                params=call.params,
                json=call.json,
                data=call.form,
                files={"file": call.file} if call.file else None,
                headers=headers,
                timeout=httpx2.Timeout(call.seconds, connect=CONNECT_SECONDS),
            )
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
            raise R2RFailed(UNREACHABLE, True, detail=f"{call.asked}: {type(error).__name__}: {error}") from None
        return _decoded(response, call.asked)


def _decoded(response: httpx2.Response, asked: str) -> Any:
    try:
        body = orjson.loads(response.content)
    except orjson.JSONDecodeError:
        body = None
    if response.status_code >= 300:
        raise failure_of(response.status_code, body, asked)
    if not isinstance(body, dict) or "results" not in body:
        detail = f"{asked}: HTTP {response.status_code} without R2R's envelope {words_of(body)[0]}".rstrip()
        raise R2RFailed(NOT_R2R, True, detail=detail, status=response.status_code)
    return body


def _tokens_in(body: Any) -> Tokens:
    try:
        return Tokens(body["results"]["access_token"]["token"], body["results"]["refresh_token"]["token"])
    except (KeyError, TypeError):
        raise R2RFailed(NOT_R2R, True, detail="a login without tokens in its answer") from None


@lru_cache(maxsize=1024)
def session_of(account: Account) -> Session:
    """This process's login of an account. Another password is another account, so nobody rides on a stranger's."""
    return Session(account)


@lru_cache(maxsize=1)
def _http() -> httpx2.Client:
    return httpx2.Client(
        limits=httpx2.Limits(max_connections=MAX_CONNECTIONS, max_keepalive_connections=20, keepalive_expiry=30.0),
        follow_redirects=False,
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        # A proxy of the environment is for the world outside, not for a server beside us.
        mounts={"all://127.0.0.1": None, "all://localhost": None, "all://[::1]": None},
    )


def forget_connections() -> None:
    """Closes what is open and forgets all logins; the next call begins anew."""
    _http().close()
    _http.cache_clear()
    session_of.cache_clear()
