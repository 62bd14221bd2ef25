"""`manage.py serve`: the web process alone, as `manage.py up` starts it beside the others."""

import os
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from assistant_site import web


class Command(BaseCommand):
    help = "Start the web process with the server that WEB_SERVER names, until SIGTERM or Ctrl-C."
    requires_system_checks = []  # the server's own start makes them

    def handle(self, *args: Any, **options: Any) -> None:  # Any: Django's signature
        os.chdir(settings.BASE_DIR)
        command = web.command()
        os.execv(command[0], command)  # noqa: S606 no shell: it becomes the server, and gets its signals
