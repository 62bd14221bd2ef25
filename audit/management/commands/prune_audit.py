"""`manage.py prune_audit --before DATE`: the only way in which entries of the audit log go."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError
from django.utils import timezone

from audit import retention
from audit.commands import AuditedCommand
from audit.moments import moment_of


class Command(AuditedCommand):
    help = "Removes entries of the audit log that are older than a date, and records that it did."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--before", required=True, help="a date (2026-01-31) or moment, UTC")

    def handle(self, *args: Any, **options: Any) -> None:
        before = moment_of(options["before"])
        if before is None or before > timezone.now():
            raise CommandError(f"--before {options['before']}: expected a date in the past, such as 2026-01-31.")
        self.stdout.write(f"{retention.prune(before):,} entries from before {before.isoformat()} removed.")
