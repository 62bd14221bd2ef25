"""`manage.py up`, which is what `make run` runs. Without options manage.py does not even load Django for it."""

from typing import Any

from django.core.management.base import BaseCommand

from assistant_site.embedded import up


class Command(BaseCommand):
    help = "Start all of Holdfast: PostgreSQL and Valkey (unless yours are set), web and worker. Ctrl-C ends it all."
    requires_system_checks = []

    def handle(self, *args: Any, **options: Any) -> None:  # Any: Django's signature
        up.main()
