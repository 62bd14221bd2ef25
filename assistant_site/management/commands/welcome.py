"""`manage.py welcome`: what the first `manage.py up` makes and shows, for an installation of single processes."""

from argparse import ArgumentParser
from typing import Any

from django.conf import settings

from assistant_site.embedded import address, first_start, screen
from audit.commands import AuditedCommand


class Command(AuditedCommand):
    help = (
        "Makes the first tenant with a token and the first admin user, where there is none, and shows them, this once. "
        "Harmless to repeat."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        here = f"http://{address.in_url(address.reachable(settings.HOST))}:{settings.PORT}"
        parser.add_argument("--address", default=here, help="where callers reach Holdfast (%(default)s)")

    def handle(self, *args: Any, **options: Any) -> None:  # Any: Django's signature
        self.stdout.write(screen.welcome_at(options["address"].rstrip("/"), first_start.set_up()))
