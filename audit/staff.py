"""Staff: who uses the admin, and who tried to."""

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
    known(user)
    log.record("staff.login", object_type=NOUN, object_id=str(user.pk), object_name=user.get_username())


def logged_out(sender: Any, user: AbstractBaseUser | None, **_: Any) -> None:
    if user is not None:  # a session that had ended already
        known(user)
        log.record("staff.logout", object_type=NOUN, object_id=str(user.pk), object_name=user.get_username())


def login_failed(sender: Any, credentials: dict[str, Any], request: HttpRequest | None = None, **_: Any) -> None:
    """Nobody is known to have done it; the name that was tried is the object's."""
    log.record("staff.login_failed", object_type=NOUN, object_name=str(credentials.get("username") or ""))
