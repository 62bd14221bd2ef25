"""`manage.py qcluster`: a worker of the runs, or with `--name ingestion` of the files that go into vector stores.

It takes the place of django-q2's command of this name: Django takes a command from the first app that has it, and
`assistant_site` stands before `django_q` in INSTALLED_APPS.
"""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django_q.conf import Conf

from assistant_site import cluster


class Command(BaseCommand):
    help = "Start a worker: it takes tasks from the queue and carries them out until SIGTERM or Ctrl-C."
    requires_system_checks = ["web_search"]  # what is for the log; the others would load every view

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "-n", "--name", default=Conf.CLUSTER_NAME, help="the queue; also read from Q_CLUSTER_NAME (%(default)s)"
        )

    def handle(self, *args: Any, **options: Any) -> None:  # Any: Django's signature
        try:
            cluster.run(options["name"])
        except cluster.UnknownQueue as problem:
            raise CommandError(str(problem)) from None
