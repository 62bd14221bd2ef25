"""`manage.py export_audit`: the audit log as lines on standard output."""

from argparse import ArgumentParser
from datetime import datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from audit import exports, queries
from audit.moments import moment_of


def moment(given: str | None, name: str) -> datetime | None:
    found = moment_of(given) if given else None
    if given and found is None:
        raise CommandError(f"{name} {given}: expected a date such as 2026-01-31, or a moment.")
    return found


class Command(BaseCommand):
    help = "Writes the audit log, oldest entries first, to standard output."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--format", choices=["jsonl", "csv"], default="jsonl")
        parser.add_argument("--tenant", help="only entries of the tenant with this id")
        parser.add_argument("--action", help="only actions that begin like this, such as assistant.")
        parser.add_argument("--from", dest="since", help="a date or moment, UTC")
        parser.add_argument("--to", dest="until", help="a date or moment, UTC; not included")

    def handle(self, *args: Any, **options: Any) -> None:
        entries = queries.search(
            tenant_id=options["tenant"],
            action=options["action"],
            since=moment(options["since"], "--from"),
            until=moment(options["until"], "--to"),
        )
        for line in exports.lines(queries.all_of(entries), options["format"]):
            self.stdout.write(line.decode(), ending="")
