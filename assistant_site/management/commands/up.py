"""`manage.py up`, which is what `make run` runs."""

import sys
from typing import Any

from django.core.management.base import BaseCommand

from assistant_site.embedded import supervisor
from assistant_site.embedded.process import CannotStart


class Command(BaseCommand):
    help = "Start all of Holdfast: PostgreSQL and Valkey (unless yours are set), web and worker. Ctrl-C ends it all."
    requires_system_checks = []

    def handle(self, *args: Any, **options: Any) -> None:  # Any: Django's signature
        try:
            supervisor.run(self._say)
        except CannotStart as problem:
            sys.exit(f"Holdfast cannot start: {problem}")

    def _say(self, text: str) -> None:
        self.stdout.write(text)
        self.stdout.flush()
