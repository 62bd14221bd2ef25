"""For whom of its own customers a tenant asks: named in the body (`user`) or in a header, known from then on.

Nothing here costs a query where nobody is named.
"""

import time
from collections.abc import Callable
from typing import Any

from drf_spectacular.utils import OpenApiParameter
from rest_framework.request import Request

from assistant_site.recent import Recent
from assistant_site.wire.errors import PermissionDenied
from assistant_site.wire.fields import Text
from assistant_site.wire.grammar import Fault
from tenants.models import EndUser

HEADER = "X-Holdfast-User"
PARAMETER = OpenApiParameter(
    HEADER,
    str,
    OpenApiParameter.HEADER,
    description="An extension: the tenant's own customer for whom this is; the body's `user` goes before it.",
)

# What apps above check of an end user for whom something is to be made: each may refuse it. The flag says whether a
# model will be asked.
ADMISSIONS: list[Callable[[EndUser, bool], None]] = []

# A row may be so old; then every process knows that its end user is blocked.
_kept: Recent[tuple[str, str], EndUser] = Recent(0.5)


class EndUserName(Text):
    """The field `user` of a request."""

    def __init__(self, **options: Any) -> None:
        super().__init__(least=1, most=128, **options)


_NAME = EndUserName(required=True)


def named(request: Request, given: str | None = None) -> str:
    """Who is named by the request: `given` in its body, else in its header, else nobody."""
    if given:
        return given
    header = request.headers.get(HEADER)
    if header is None:
        return ""
    return check_name(as_text(header), HEADER)


def check_name(name: str, place: str = "name") -> str:
    """The name, if it can be an end user's; the error says where it stood."""
    try:
        return _NAME.check(name)
    except Fault as fault:
        raise fault.under(place) from None


def as_text(header: str) -> str:
    """A header's bytes, which come as Latin-1, are UTF-8 if they can be."""
    try:
        return header.encode("latin-1").decode()
    except UnicodeError:
        return header


def admit(tenant_id: str, name: str, *, costs_tokens: bool = False) -> None:
    """Makes the end user known, if one is named; a WireError if nothing may be made for it (now).

    `costs_tokens`: a model will be asked.
    """
    end_user = _known(tenant_id, name) if name else None
    if end_user is not None:
        _refuse_if_blocked(end_user)
        for check in ADMISSIONS:
            check(end_user, costs_tokens)


def refuse_if_blocked(tenant_id: str, name: str) -> None:
    """`PermissionDenied` if nothing may be made for the end user; its row is read anew."""
    _kept.forget((tenant_id, name))
    if name and (end_user := _known(tenant_id, name)) is not None:
        _refuse_if_blocked(end_user)


def _refuse_if_blocked(end_user: EndUser) -> None:
    if end_user.blocked_at is not None:
        raise PermissionDenied(f"The end user '{end_user.name}' is blocked.", code="end_user_blocked")


def _known(tenant_id: str, name: str) -> EndUser | None:
    """The row; None if this has just made it."""
    if kept := _kept.get((tenant_id, name)):
        return kept
    now = time.monotonic()
    found: EndUser | None = EndUser.objects.across_tenants().filter(tenant_id=tenant_id, name=name).first()
    if found is None:
        row = EndUser(tenant_id=tenant_id, name=name)
        EndUser.objects.across_tenants().bulk_create([row], ignore_conflicts=True)
        return None  # not kept: the transaction may come to nothing
    return _kept.put((tenant_id, name), found, now)
