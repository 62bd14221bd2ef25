"""What a tenant's own token may hand on: never more than it has itself."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from assistant_site.wire.errors import InvalidRequest, PermissionDenied
from tenants import networks, scopes
from tenants.auth import Operator
from tenants.models import ApiToken
from tenants.patterns import matches

OPERATORS_ALONE = ("llm_base_url", "llm_api_key", "tenant")
INHERITED = ("allowed_models", "allowed_networks", "requests_per_minute", "tokens_per_minute", "expires_at")


def check_fields(by: ApiToken | Operator, given: dict[str, Any]) -> None:
    """Refuses fields that only the operator may set: where this server sends requests, and to whom a token belongs.

    `given` has what the request says, null included: that takes a model server away, and others would pay then.
    """
    if isinstance(by, ApiToken):
        for name in OPERATORS_ALONE:
            if name in given:
                raise PermissionDenied(f"Only the operator of this server, with the admin token, may set '{name}'.")


def with_own_bounds(by: ApiToken | Operator, fields: dict[str, Any]) -> dict[str, Any]:
    """The columns of a new token; where they set no bound, the maker's own bounds it."""
    if isinstance(by, Operator):
        return fields
    return fields | {name: fields.get(name) or getattr(by, name) for name in INHERITED}


def check(by: ApiToken | Operator, token: ApiToken) -> None:
    """`PermissionDenied` if the token may do more than the one by which it is made, changed or renewed."""
    if isinstance(by, Operator):
        return
    if not scopes.are_within(token.scopes, by.scopes):
        raise _beyond("scopes")
    if not _are_within(token.allowed_models, by.allowed_models, _models_are_within):
        raise _beyond("allowed_models")
    if not _are_within(token.allowed_networks, by.allowed_networks, networks.are_within):
        raise _beyond("allowed_networks")
    for name in ("requests_per_minute", "tokens_per_minute", "expires_at"):
        if not _is_within(getattr(token, name), getattr(by, name)):
            raise _beyond(name)


def check_not_itself(by: ApiToken | Operator, token: ApiToken) -> None:
    if isinstance(by, ApiToken) and by.pk == token.pk:
        raise InvalidRequest("A token cannot revoke itself.")


def _beyond(name: str) -> PermissionDenied:
    return PermissionDenied(
        f"A token with more rights than your own ('{name}') is not yours to make or change.", code="missing_scope"
    )


def _models_are_within(patterns: Iterable[str], others: Iterable[str]) -> bool:
    # A pattern that another one matches as a name has nothing that the other has not.
    return all(any(matches(other, pattern) for other in others) for pattern in patterns)


def _are_within(entries: list[str], others: list[str], lie_within: Any) -> bool:
    """Lists of what is allowed; an empty one allows everything."""
    return not others or bool(entries and lie_within(entries, others))


def _is_within(bound: int | datetime | None, other: Any) -> bool:
    return other is None or (bound is not None and bound <= other)
