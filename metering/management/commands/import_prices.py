"""`manage.py import_prices`: a price list out of a file."""

from argparse import ArgumentParser
from datetime import date
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError
from django.db import transaction

from audit.commands import AuditedCommand
from metering import importing
from metering.importing import BadPriceList
from metering.usage import today


class Command(AuditedCommand):
    help = (
        "Read prices out of a CSV or JSON file (columns: model, prompt, completion, and if wanted cached_prompt, "
        "currency, valid_from, tenant; for a million tokens), or out of LiteLLM's "
        "model_prices_and_context_window.json. All of it, or nothing."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path)
        parser.add_argument("--currency", default="USD", help="Of prices that name none (USD).")
        parser.add_argument("--valid-from", type=date.fromisoformat, help="Of prices that name no day: YYYY-MM-DD.")
        parser.add_argument("--dry-run", action="store_true", help="Only say what would be changed.")

    def handle(self, *args: Any, file: Path, currency: str, **options: Any) -> None:  # Any: Django's signature
        try:
            text = file.read_text(encoding="utf-8-sig")
            prices = importing.read(
                text,
                is_json=file.suffix.lower() == ".json",
                currency=currency,
                valid_from=options["valid_from"] or today(),
            )
        except (OSError, UnicodeDecodeError) as error:
            raise CommandError(f"{file} cannot be read: {error}") from None
        except BadPriceList as bad:
            raise CommandError(f"{file}: {bad}") from None
        with transaction.atomic():
            changed = importing.store(prices)
            if options["dry_run"]:
                transaction.set_rollback(True)
        would = "would be" if options["dry_run"] else "were"
        self.stdout.write(f"{len(prices)} prices were read; {changed} {would} new or changed.")
