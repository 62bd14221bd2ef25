"""`manage.py rotate_encryption_keys`: every stored secret onto the first of ENCRYPTION_KEYS; see docs/providers.md."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from tenants.rotation import rotate

SHOWN_IDS = 20


class Command(BaseCommand):
    help = (
        "Encrypts every stored secret with the first of ENCRYPTION_KEYS, while the server runs. Exit code 1 if "
        "something cannot be decrypted, and with --check if something is still on an older key."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--check", "--dry-run", action="store_true", help="only count what is still on an older key"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        only_count: bool = options["check"]
        renewed = unreadable = 0
        for told in rotate(only_count=only_count):
            done = "on an older key" if only_count else "renewed"
            self.stdout.write(f"{told.column}: {told.renewed} {done}, {told.current} on the first key")
            renewed += told.renewed
            unreadable += len(told.unreadable)
            if told.unreadable:
                ids = ", ".join(told.unreadable[:SHOWN_IDS])
                more = ", …" if len(told.unreadable) > SHOWN_IDS else ""
                self.stdout.write(f"  {len(told.unreadable)} cannot be decrypted: {ids}{more}")
        if unreadable:
            raise CommandError(
                f"{unreadable} secrets cannot be decrypted with any of ENCRYPTION_KEYS. Put the key they were made "
                "with back and run this again, or enter them anew."
            )
        if only_count and renewed:
            raise CommandError(f"{renewed} secrets are still on an older key: keep it, and run this without --check.")
        self.stdout.write("Every secret is on the first key.")
