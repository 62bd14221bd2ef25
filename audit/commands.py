"""Management commands that change something: recorded as done by the system's user who called them."""

import getpass
from typing import Any

from django.core.management.base import BaseCommand

from audit import log
from audit.models import ActorKind


class AuditedCommand(BaseCommand):
    """What is recorded while it runs has the command and the system's user as its actor."""

    def execute(self, *args: Any, **options: Any) -> Any:
        command = type(self).__module__.rpartition(".")[2]
        with log.acting(log.Actor(ActorKind.COMMAND, system_user(), f"manage.py {command}")):
            return super().execute(*args, **options)


def system_user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's number without a name
        return ""
