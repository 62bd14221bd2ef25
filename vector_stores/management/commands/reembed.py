"""`manage.py reembed`: makes the vectors of vector stores anew, or for the first time, in the background."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from vector_stores import embedding_jobs
from vector_stores.models import Engine, VectorStore


class Command(BaseCommand):
    help = (
        "Have the ingestion workers embed what has no vectors of the present model. Searches go on with the old "
        "vectors until the new ones are whole."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--store", help="Only this vector store, by its id.")

    def handle(self, *args: Any, store: str | None = None, **options: Any) -> None:  # Any: Django's signature
        stores = VectorStore.objects.across_tenants().filter(engine=Engine.LOCAL)
        if store is not None:
            stores = stores.filter(pk=store)
        count = embedding_jobs.ask_for(list(stores.values_list("pk", flat=True)))
        if store is not None and not count:
            raise CommandError(f"There is no vector store {store} whose vectors are kept here.")
        self.stdout.write(f"{count} vector stores will be looked through by the ingestion workers.")
