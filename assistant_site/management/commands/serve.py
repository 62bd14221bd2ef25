"""`manage.py serve`: the web process."""

import sys
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from assistant_site import serving


class Command(BaseCommand):
    help = "Serve HTTP and WebSockets at HOST and PORT, with the server that WEB_SERVER names. SIGTERM ends it."
    requires_system_checks = []

    def handle(self, *args: Any, **options: Any) -> None:  # Any: Django's signature
        try:
            serving.serve()
        except OSError as error:
            sys.exit(f"Holdfast cannot serve at {settings.HOST}:{settings.PORT}: {error.strerror or error}.")
        except KeyboardInterrupt:
            pass
