"""Bearer authentication: `Authorization: Bearer <token>`, as OpenAI's clients send their key."""

import hmac
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings
from django.db import connection
from django.db.models import Q
from django.utils import timezone
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from assistant_site.db import scope
from assistant_site.db.prepared import Prepared
from assistant_site.db.written import Columns
from assistant_site.recent import Recent
from assistant_site.wire.errors import PermissionDenied, Unauthorized
from assistant_site.wire.headers import client_address
from audit import log
from audit.models import ActorKind
from tenants import tokens
from tenants.models import ApiToken, Tenant

LAST_USED_PRECISION = timedelta(minutes=1)
SUSPENDED = "account_suspended"  # the code of the error


@dataclass(frozen=True)
class Operator:
    """Who holds the admin token: speaks for the installation, and for no tenant."""

    tenant: None = None
    tenant_id: str = ""

    def require(self, *wanted: str) -> None:
        """It has every scope."""


OPERATOR = Operator()

# Said wherever an operator may look while AUTH_ENABLED is false.
OPEN_DOOR = (
    "AUTH_ENABLED is false: everybody who reaches this server uses it without a token, as the tenant 'default'. Set it "
    "to true before others can reach it."
)


def _not_given() -> Unauthorized:
    return Unauthorized(
        "You didn't provide an API key. You need to provide your API key in an Authorization header using Bearer auth "
        "(i.e. Authorization: Bearer YOUR_KEY). You can obtain an API key from the operator of this server."
    )


def _incorrect(value: str) -> Unauthorized:
    return Unauthorized(
        f"Incorrect API key provided: {tokens.starred(value)}. You can obtain an API key from the operator of this "
        "server.",
        code="invalid_api_key",
    )


# Half of a small request's work is to look its token up. A row may be so old; then a revocation, a suspension or a new
# expiry is seen by every process.
KEPT_SECONDS = 0.5
_kept: Recent[str, ApiToken] = Recent(KEPT_SECONDS)  # by its digest

_TOKEN, _TENANT = Columns(ApiToken), Columns(Tenant)
# Written out, because it stands before everything else of a caller who was silent for a moment.
_WITH_DIGEST = Prepared(f"""SELECT {_TOKEN.of_table}, {_TENANT.of_table}
FROM {_TOKEN.table} JOIN {_TENANT.table} ON {_TENANT.table}.id = {_TOKEN.table}.tenant_id
WHERE digest = %s OR previous_digest = %s
""")  # noqa: S608 only names


def forget_tokens() -> None:
    """Makes this process read every token anew."""
    _kept.clear()


def kept_token(digest: str) -> ApiToken | None:
    """The row, if this process has just read it; needs no query."""
    return _kept.get(digest)


def _row(digest: str) -> ApiToken | None:
    if kept := kept_token(digest):
        return kept
    now = time.monotonic()
    with scope.everything(), connection.cursor() as cursor:  # whose token it is, is what is asked
        cursor.execute(_WITH_DIGEST, [digest, digest])
        found = cursor.fetchone()
    if found is None:
        return None
    token = _TOKEN.row(found)
    token.tenant = _TENANT.row(found[_TOKEN.count :])
    return _kept.put(digest, token, now)


def bearer_of(headers: Mapping[str, str]) -> str:
    """The token in the `Authorization` header; `Unauthorized` if there is none."""
    scheme, _, value = headers.get("Authorization", "").strip().partition(" ")
    value = value.strip()
    if scheme.lower() != "bearer" or not value:
        raise _not_given()
    return value


def caller_of(headers: Mapping[str, str], address: str) -> ApiToken | Operator:
    """Who makes a request with these headers (only `Authorization` is read) from this network address.

    A WireError for who may make none. At most one query, and none for a token that this process has just seen.
    """
    try:
        value = bearer_of(headers)
        if is_admin_token(value):
            return OPERATOR
        if not tokens.is_well_formed(value):
            raise _incorrect(value)
    except Unauthorized:
        if settings.AUTH_ENABLED:
            raise
        return opened(everybody())
    token = _row(tokens.digest(value))
    if token is None:
        raise _incorrect(value)
    return opened(judged(token, value, address))


def judged(token: ApiToken, value: str, address: str) -> ApiToken:
    """The token, if its value is taken from callers at this address; else `Unauthorized`."""
    if not token.is_usable or not token.is_for(tokens.digest(value)):
        raise _incorrect(value)
    if not token.is_taken_from(address):
        raise Unauthorized(
            "IP not authorized. Your request IP does not match the configured IP allowlist for your API key.",
            code="ip_not_authorized",
        )
    return token


def opened(token: ApiToken) -> ApiToken:
    """The token, unless its tenant is suspended."""
    if not token.tenant.is_open:
        raise PermissionDenied("This account is suspended. Please contact the operator of this server.", code=SUSPENDED)
    return token


def everybody() -> ApiToken:
    """Who asks without a token where none is needed: the first tenant, as a token that is not stored."""
    if kept := kept_token(""):
        return kept
    now = time.monotonic()
    with scope.everything():
        tenant, _ = Tenant.objects.get_or_create(name="default")
    return _kept.put("", ApiToken(id="", tenant=tenant, name="everybody"), now)


def note_use(token: ApiToken) -> None:
    """Writes `last_used_at`, at most once a minute and token, so that reading stays reading."""
    now = timezone.now()
    if token.last_used_at is None or token.last_used_at < now - LAST_USED_PRECISION:
        stale = Q(last_used_at=None) | Q(last_used_at__lt=now - LAST_USED_PRECISION)
        ApiToken.objects.filter(stale, pk=token.pk).update(last_used_at=now)
        token.last_used_at = now


def is_admin_token(value: str) -> bool:
    taken = [token.encode() for token in (settings.ADMIN_TOKEN, *settings.ADMIN_TOKEN_FALLBACKS) if token]
    return any(hmac.compare_digest(value.encode(), token) for token in taken)


class BearerAuthentication(BaseAuthentication):
    def authenticate(self, request: Request) -> tuple[Tenant | Operator, ApiToken | Operator]:
        caller = caller_of(request.headers, client_address(request._request))
        if isinstance(caller, Operator):
            log.known_as(ActorKind.ADMIN_TOKEN, "", "admin token")
            scope.enter(scope.EVERYTHING)
            return caller, caller
        scope.enter(caller.tenant_id)
        if caller.pk:
            note_use(caller)
        log.known_as(ActorKind.TOKEN, caller.pk, caller.name)
        return caller.tenant, caller

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"
