"""Staff: who uses the admin, and who tried to."""

from dataclasses import replace
from typing import Any

from django.contrib.auth.models import AbstractBaseUser
from django.http import HttpRequest

from audit import log
from audit.models import ActorKind

NOUN = "user"


def known(user: Any) -> None:
    """The present request is this user's."""
    log.known_as(ActorKind.STAFF, str(user.pk), user.get_username())


def logged_in(sender: Any, user: AbstractBaseUser, **_: Any) -> None:
    _record_own("staff.login", user)


def logged_out(sender: Any, user: AbstractBaseUser | None, **_: Any) -> None:
    if user is not None:  # a session that had ended already
        _record_own("staff.logout", user)


def _record_own(action: str, user: AbstractBaseUser) -> None:
    """What a user does who is not known to the request, before or after."""
    id, name = str(user.pk), user.get_username()
    with log.acting(replace(log.actor(), kind=ActorKind.STAFF, id=id, name=name)):
        log.record(action, object_type=NOUN, object_id=id, object_name=name)


def login_failed(sender: Any, credentials: dict[str, Any], request: HttpRequest | None = None, **_: Any) -> None:
    """Nobody is known to have done it; the name that was tried is the object's."""
    log.record("staff.login_failed", object_type=NOUN, object_name=str(credentials.get("username") or ""))
