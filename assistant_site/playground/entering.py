"""How a browser gets a token: with the key of the link that `manage.py up` prints, or as staff, for any tenant.

These tokens read and write, end by themselves, and are marked in a column of their own (`made_for`): a name can be
given to any token, so it proves nothing, and only what was made here may be ended or cleared away from here.
"""

import functools
import hmac
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Concatenate, ParamSpec
from urllib.parse import urlsplit

from django.conf import settings
from django.http import HttpRequest, JsonResponse
from django.middleware.csrf import CsrfViewMiddleware
from django.views.decorators.csrf import csrf_exempt

from assistant_site.db import scope
from assistant_site.guessing import Guesses
from assistant_site.staff import content
from assistant_site.wire import rest
from assistant_site.wire.errors import (
    InvalidRequest,
    MethodNotAllowed,
    NotFound,
    PermissionDenied,
    RateLimited,
    Unauthorized,
)
from assistant_site.wire.headers import client_address
from audit import log, staff
from audit.models import ActorKind
from tenants import actions, auth
from tenants.models import ApiToken, MadeFor, Tenant

NAME = "Playground"
LASTS = timedelta(hours=24)
LASTS_FOR_STAFF = timedelta(hours=12)
MOST_SHOWN = 50
PERMISSION = "tenants.add_apitoken"

P = ParamSpec("P")


def answers(method: str) -> Callable[[Callable[Concatenate[HttpRequest, P], Any]], Callable[..., JsonResponse]]:
    """A view for this method alone; what it returns is sent as JSON, what it raises in the error envelope."""

    def decorate(view: Callable[Concatenate[HttpRequest, P], Any]) -> Callable[..., JsonResponse]:
        @csrf_exempt  # each view that goes by the session asks `check_csrf`, and is refused in the envelope
        @functools.wraps(view)
        def wrapped(request: HttpRequest, *args: P.args, **kwargs: P.kwargs) -> JsonResponse:
            try:
                if request.method != method:
                    raise MethodNotAllowed(str(request.method), request.path, [method])
                response = JsonResponse(view(request, *args, **kwargs))
            except Exception as error:
                response = rest.error_response(rest.as_wire_error(error, request))
            response.headers["Cache-Control"] = "no-store"  # there are tokens in them
            return response

        return wrapped

    return decorate


# --- With the key ----------------------------------------------------------------------------------------------------


@answers("POST")
def enter(request: HttpRequest) -> dict[str, Any]:
    """`{"key": "…"}` is exchanged for a token of the first tenant."""
    check_own_page(request)
    body = rest.json_body(request)
    key = body.get("key") if isinstance(body, dict) else None
    if not isinstance(key, str):
        raise InvalidRequest('Expected an object with the key of the playground\'s link: {"key": "…"}.', param="key")
    check_key(key, client_address(request))
    log.known_as(ActorKind.SYSTEM, "", "the playground's link")
    with scope.everything():
        tenant = Tenant.objects.order_by("pk").first()
    if tenant is None:
        raise NotFound("There is no tenant yet. Make one in the admin, or start Holdfast with `make run`.")
    return entered(tenant, NAME, LASTS)


def check_own_page(request: HttpRequest) -> None:
    """Refuses what a page of another site has sent, or could have sent with a form."""
    if request.content_type != "application/json":
        raise InvalidRequest("Send Content-Type: application/json.")
    site, origin = request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin")
    is_own = site in ("same-origin", "none") if site else not origin or urlsplit(origin).netloc == request.get_host()
    if not is_own and origin not in settings.CSRF_TRUSTED_ORIGINS:
        raise PermissionDenied("This request comes from a page of another site. Open this server's own page.")


def check_key(key: str, address: str) -> None:
    if not settings.PLAYGROUND_KEY:
        raise PermissionDenied(
            "This server has no key for its playground (PLAYGROUND_KEY). Sign in with an API token instead.",
            code="playground_key_off",
        )
    guesses = Guesses("playground-key", address)
    if guesses.are_too_many():
        raise RateLimited(
            "Too many wrong keys from your address. Wait a minute, then open the link that the last start of "
            "Holdfast has printed.",
            "requests",
            seconds=guesses.seconds_left,
        )
    if not hmac.compare_digest(key.encode(), settings.PLAYGROUND_KEY.encode()):
        guesses.count()
        raise Unauthorized(
            "This link is not valid any more: its key is another one now. Open the link that the last start of "
            "Holdfast has printed, or sign in with an API token.",
            code="invalid_playground_key",
        )


# --- As staff --------------------------------------------------------------------------------------------------------


@answers("GET")
def tenants(request: HttpRequest) -> dict[str, Any]:
    """The tenants that the signed-in member of the staff may choose from, by name; `?search=` is a part of it."""
    check_staff(request)
    search = request.GET.get("search", "").replace("\x00", "").strip()
    with scope.everything():
        found = Tenant.objects.filter(deletion_began_at=None).order_by("name")
        if search:
            found = found.filter(name__icontains=search)
        shown = list(found[: MOST_SHOWN + 1])
    data = [{**told(tenant), "is_open": tenant.is_open} for tenant in shown[:MOST_SHOWN]]
    return {"data": data, "has_more": len(shown) > MOST_SHOWN}


@answers("POST")
def enter_tenant(request: HttpRequest, tenant_id: str) -> dict[str, Any]:
    """A token of this tenant for the signed-in member of the staff."""
    user = check_staff(request)
    check_csrf(request)
    staff.known(user)
    with scope.everything():
        tenant = None if "\x00" in tenant_id else Tenant.objects.filter(pk=tenant_id).first()
    if tenant is None:
        raise NotFound.of("tenant", tenant_id)
    return entered(tenant, f"{NAME} of {user.get_username()}", LASTS_FOR_STAFF)


def may_enter(user: Any) -> bool:
    """Whether this user may use the playground as a tenant: it shows what tenants wrote, and needs a token."""
    may_issue = user.is_active and user.is_staff and user.has_perm(PERMISSION)
    return bool(may_issue and content.is_shown_to(user))


def check_staff(request: HttpRequest) -> Any:
    """The member of the staff who is signed in."""
    user: Any = request.user
    if not (user.is_authenticated and user.is_active):
        raise Unauthorized("You are not signed in to the admin, or no longer. Sign in at /admin/, then come back.")
    if not may_enter(user):
        raise PermissionDenied(
            "The playground shows what tenants and their users wrote, and acts for them. Your role may not: that takes "
            "the right to add API tokens and the right to see content. Ask who manages the staff here."
        )
    return user


class _Csrf(CsrfViewMiddleware):
    def _reject(self, request: HttpRequest, reason: str) -> Any:
        return reason


def check_csrf(request: HttpRequest) -> None:
    check = _Csrf(lambda request: JsonResponse({}))
    check.process_request(request)
    if check.process_view(request, lambda request: JsonResponse({}), (), {}):
        raise PermissionDenied(
            "The page's protection against forged requests did not match (X-CSRFToken). Reload the page and try again.",
            code="csrf_failed",
        )


# --- In and out ------------------------------------------------------------------------------------------------------


def told(tenant: Tenant) -> dict[str, str]:
    return {"id": tenant.pk, "name": tenant.name}


def entered(tenant: Tenant, name: str, lasts: timedelta) -> dict[str, Any]:
    """A new token of the tenant, as the page is told of it."""
    if not tenant.is_open:
        state = "suspended" if tenant.deletion_began_at is None else "being deleted"
        raise PermissionDenied(f"The tenant {tenant.name} is {state}: nobody may use it.", code=auth.SUSPENDED)
    with scope.of_tenant(tenant.pk):
        token, value = actions.issue_playground_token(tenant=tenant, name=name, lasts=lasts)
    assert token.expires_at is not None
    return {"token": value, "tenant": told(tenant), "expires_at": int(token.expires_at.timestamp())}


@answers("POST")
def leave(request: HttpRequest) -> dict[str, Any]:
    """Signing out ends the token, if it was made for this."""
    token = auth.caller_of(request.headers, client_address(request))
    if not isinstance(token, ApiToken) or token.made_for != MadeFor.PLAYGROUND:
        raise PermissionDenied("Only a token that the playground was given ends with it. This one stays as it is.")
    log.known_as(ActorKind.TOKEN, token.pk, token.name)
    with scope.of_tenant(token.tenant_id):
        actions.revoke_token(token)
    return {"revoked": True}
