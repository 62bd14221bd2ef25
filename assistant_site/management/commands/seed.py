"""`manage.py seed`: rows by the million, for benchmarks and for looks."""

import time
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from assistant_site.operating.seeding import Size, is_empty, seed


class Command(BaseCommand):
    help = "Fill this installation with made-up tenants, threads, runs, messages, usage and ledger entries."

    def add_arguments(self, parser: CommandParser) -> None:
        usual = Size()
        parser.add_argument("--tenants", type=int, default=usual.tenants)
        parser.add_argument("--runs", type=int, default=usual.runs)
        parser.add_argument(
            "--messages", type=int, default=usual.messages, help="All together; at least two for each run."
        )
        parser.add_argument("--days", type=int, default=usual.days, help="Over how many days they are spread.")
        parser.add_argument("--yes", action="store_true", help="Also if the installation is not empty.")

    def handle(self, *args: Any, **options: Any) -> None:  # Any: Django's signature
        size = Size(options["tenants"], options["runs"], options["messages"], options["days"])
        if min(size.tenants, size.runs, size.messages, size.days) < 1:
            raise CommandError("Each number must be at least 1.")
        if not options["yes"] and not is_empty():
            raise CommandError("There are threads or runs here already. Say --yes to add to them.")
        began = time.monotonic()

        def say(text: str) -> None:
            self.stdout.write(f"{time.monotonic() - began:7.1f} s  {text}")
            self.stdout.flush()

        seed(size, say)
        say(f"Done: {size.tenants:,} tenants, {size.threads * 2:,} runs, {size.threads * size.per_thread:,} messages.")
