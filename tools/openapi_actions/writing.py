"""What is done to actions: made of a document, changed, deleted."""

import logging
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from assistant_site.wire.errors import InvalidRequest, PermissionDenied, ServerError
from audit import log
from tenants.encryption import Undecryptable
from tenants.models import Tenant
from tools.openapi import (
    BadAuthentication,
    Document,
    Operation,
    check_authentication,
    destinations,
    keeps_secrets,
    merged,
)
from tools.openapi_actions.models import NO_AUTHENTICATION, Action, Authentication
from tools.openapi_actions.reading import SCHEMA

logger = logging.getLogger(__name__)


def create_actions(
    *,
    tenant: Tenant,
    document: Document,
    authentication: Authentication | None = None,
    use_for_everyone: bool = False,
    metadata: dict[str, str] | None = None,
) -> list[Action]:
    """An action for each operation of the document."""
    check_sharing(use_for_everyone)
    if len(document.operations) > settings.ACTIONS_PER_DOCUMENT:
        raise InvalidRequest(
            f"The document has {len(document.operations)} operations; at most {settings.ACTIONS_PER_DOCUMENT} can be "
            "made into actions at once.",
            param=SCHEMA,
        )
    actions = []
    for operation in document.operations:
        check(authentication, operation)
        action = Action(tenant=tenant, use_for_everyone=use_for_everyone, metadata=metadata or {})
        describe(action, operation)
        action.set_authentication(authentication or NO_AUTHENTICATION)
        actions.append(action)
    with transaction.atomic():
        Action.objects.insert(actions)
        log.created_together(actions)
    return actions


def modify_action(
    *, tenant: Tenant, action_id: str, document: Document | None = None, changes: dict[str, Any]
) -> Action:
    """Changes what is given. A secret that comes as it is shown, hidden, stays; but not for another server."""
    check_sharing(changes.get("use_for_everyone", False))
    if document is not None and len(document.operations) != 1:
        raise InvalidRequest(
            f"The document of one action must have one operation, not {len(document.operations)}.", param=SCHEMA
        )
    with transaction.atomic():
        action: Action = Action.objects.of(tenant).select_for_update(no_key=True).fetch(action_id)
        was = log.snapshot(action)
        given = changes.get("authentication")
        before, place = NO_AUTHENTICATION, None
        if given is None or keeps_secrets(given):
            before = readable_authentication(action)
            place = destinations(before, action.called)
        if document is not None:
            describe(action, document.operations[0])
        authentication = before if given is None else together(given, before)
        check(authentication, action.called)
        if place is not None and action.sealed and destinations(authentication, action.called) != place:
            raise InvalidRequest(
                "The credentials would go to another server: give 'authentication' again, with its secrets, so that "
                "none goes there unasked.",
                param="authentication",
            )
        action.set_authentication(authentication)
        for name in ("use_for_everyone", "metadata"):
            if name in changes:
                setattr(action, name, changes[name])
        action.updated_at = timezone.now()
        action.save()
        log.record_row(action, "modified", before=was, after=log.snapshot(action))
    return action


def delete_action(*, tenant: Tenant, action_id: str) -> None:
    """Deletes the action; assistants that name it are told so by its next call."""
    with transaction.atomic():
        action = Action.objects.of(tenant).select_for_update().fetch(action_id)
        log.deleted(action)
        action.delete()


def readable_authentication(action: Action) -> Authentication:
    """The action's, with its secrets; raises the error that a caller gets if no key fits."""
    try:
        return action.authentication
    except Undecryptable as problem:
        logger.error("Action %s: %s", action.pk, problem)
        raise ServerError("The credentials of this action cannot be read; give 'authentication' again.") from None


def describe(action: Action, operation: Operation) -> None:
    action.name = operation.operation_id
    action.operation = operation.as_json()
    action.__dict__.pop("called", None)


def check(authentication: Authentication | None, operation: Operation | None = None) -> None:
    try:
        check_authentication(authentication, operation)
    except BadAuthentication as fault:
        raise bad_authentication(fault) from None


def together(new: Authentication, old: Authentication) -> Authentication:
    try:
        return merged(new, old)
    except BadAuthentication as fault:
        raise bad_authentication(fault) from None


def bad_authentication(fault: BadAuthentication) -> InvalidRequest:
    return InvalidRequest(f"Invalid '{fault.place}': {fault.message}", param=fault.place)


def check_sharing(use_for_everyone: bool) -> None:
    if use_for_everyone and not settings.ACTIONS_FOR_EVERYONE:
        raise PermissionDenied(
            "Actions cannot be shared with all tenants here: 'use_for_everyone' needs the setting ACTIONS_FOR_EVERYONE "
            "of this server's operator.",
            param="use_for_everyone",
        )
