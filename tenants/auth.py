"""Bearer authentication: `Authorization: Bearer <token>`, as OpenAI's clients send their key."""

import hmac
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings
from django.db.models import Q
from django.utils import timezone
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from assistant_site.wire.errors import PermissionDenied, Unauthorized
from audit import log
from audit.models import ActorKind
from tenants import tokens
from tenants.models import ApiToken, Tenant

LAST_USED_PRECISION = timedelta(minutes=1)


@dataclass(frozen=True)
class Operator:
    """Who holds the admin token: speaks for the installation, and for no tenant."""

    tenant: None = None
    tenant_id: str = ""


OPERATOR = Operator()


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
_MOST_KEPT = 10_000
_kept: dict[str, tuple[float, ApiToken]] = {}


def forget_tokens() -> None:
    """Makes this process read every token anew."""
    _kept.clear()


def _row(digest: str) -> ApiToken | None:
    now = time.monotonic()
    read_at, token = _kept.get(digest, (0.0, None))
    if token is None or now - read_at > KEPT_SECONDS:
        token = ApiToken.objects.select_related("tenant").filter(digest=digest).first()
        if token is None:
            _kept.pop(digest, None)
            return None
        if len(_kept) >= _MOST_KEPT:
            _kept.clear()
        _kept[digest] = (now, token)
    return token


def bearer_of(headers: Mapping[str, str]) -> str:
    """The token in the `Authorization` header; `Unauthorized` if there is none."""
    scheme, _, value = headers.get("Authorization", "").strip().partition(" ")
    value = value.strip()
    if scheme.lower() != "bearer" or not value:
        raise _not_given()
    return value


def token_of(value: str) -> ApiToken:
    """The usable token with this value, its tenant fetched with it; `Unauthorized` if there is none."""
    if not tokens.is_well_formed(value):
        raise _incorrect(value)
    token = _row(tokens.digest(value))
    if token is None or not token.is_usable:
        raise _incorrect(value)
    if not token.tenant.is_open:
        raise PermissionDenied("This account is suspended. Please contact the operator of this server.")
    return token


def note_use(token: ApiToken) -> None:
    """Writes `last_used_at`, at most once a minute and token, so that reading stays reading."""
    now = timezone.now()
    if token.last_used_at is None or token.last_used_at < now - LAST_USED_PRECISION:
        stale = Q(last_used_at=None) | Q(last_used_at__lt=now - LAST_USED_PRECISION)
        ApiToken.objects.filter(stale, pk=token.pk).update(last_used_at=now)
        token.last_used_at = now


def is_admin_token(value: str) -> bool:
    return bool(settings.ADMIN_TOKEN) and hmac.compare_digest(value.encode(), settings.ADMIN_TOKEN.encode())


class BearerAuthentication(BaseAuthentication):
    def authenticate(self, request: Request) -> tuple[Tenant | Operator, ApiToken | Operator]:
        value = bearer_of(request.headers)
        if is_admin_token(value):
            log.known_as(ActorKind.ADMIN_TOKEN, "", "admin token")
            return OPERATOR, OPERATOR
        token = token_of(value)
        note_use(token)
        log.known_as(ActorKind.TOKEN, token.pk, token.name)
        return token.tenant, token

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"
