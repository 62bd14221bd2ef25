"""`manage.py try_provider NAME|ID [--model MODEL]`: calls a provider for real, and says what to do if it fails."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db.models import Q

from tenants.models import Provider
from tenants.trial import try_provider


class Command(BaseCommand):
    help = "Tries a provider: its list of models, a chat, an embedding. Exit code 1 if it does not serve."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("provider", help="its name or id")
        parser.add_argument("--model", help="to chat with, as the provider knows it; else one that it lists")

    def handle(self, *args: Any, **options: Any) -> None:
        wanted = options["provider"]
        found = list(Provider.objects.filter(Q(pk=wanted) | Q(name=wanted))[:2])
        if not found:
            raise CommandError(f"There is no provider '{wanted}'.")
        if len(found) > 1:
            raise CommandError(f"Several providers are called '{wanted}': give the id.")
        outcome = try_provider(found[0], options["model"])
        for part in outcome.parts:
            self.stdout.write(f"{'ok    ' if part.is_ok else 'FAILED'} {part.name} ({part.seconds:.1f} s): {part.told}")
        if not outcome.is_ok:
            raise CommandError(f"{found[0].name} does not serve.")
