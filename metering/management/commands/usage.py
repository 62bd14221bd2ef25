"""`manage.py usage`: what was used, as CSV on standard output."""

from argparse import ArgumentParser
from datetime import date
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from metering import usage
from metering.api import as_csv
from metering.usage import DIMENSIONS, Dimension


class Command(BaseCommand):
    help = "Write the usage of all tenants, or of one, as CSV."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--start", type=date.fromisoformat, help="The first day (UTC); else this month's first.")
        parser.add_argument("--end", type=date.fromisoformat, help="The last day, included; else today.")
        parser.add_argument("--group-by", default="day,tenant,model", help=f"Out of {','.join(DIMENSIONS)}.")
        parser.add_argument("--tenant", help="Only of this one, by its id.")

    def handle(self, *args: Any, group_by: str, tenant: str | None, **options: Any) -> None:  # Any: Django's signature
        names = [name for name in group_by.split(",") if name]
        for name in names:
            if name not in DIMENSIONS:
                raise CommandError(f"Usage cannot be grouped by {name}, only by {', '.join(DIMENSIONS)}.")
        groups: list[Dimension] = [dimension for name in names for dimension in DIMENSIONS if dimension == name]
        totals = usage.totals(
            start=options["start"] or usage.today().replace(day=1),
            end=options["end"] or usage.today(),
            group_by=groups,
            tenant_id=tenant,
        )
        self.stdout.write(as_csv(totals, groups), ending="")
