"""`manage.py move_files`: the bytes of all files from the folder into the bucket, or back, while the server runs."""

import sys
import time
from typing import Any

from django.conf import settings
from django.core.files.storage import storages
from django.core.management.base import BaseCommand, CommandError, CommandParser

from files import moving


class Command(BaseCommand):
    help = (
        "Copies the bytes of all files from the folder to S3, or back, and verifies each by its size and SHA-256. "
        "Ended before its end, it goes on when called again. docs/files.md tells how a running server is moved."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--to", choices=("local", "s3"), required=True, help="where the bytes are to be")
        parser.add_argument(
            "--delete", action="store_true", help="remove from the other storage what has been verified"
        )
        parser.add_argument("--dry-run", action="store_true", help="only tell what there is to do, going by sizes")
        parser.add_argument("--threads", type=int, default=4, help="how many blobs are copied at once (4)")

    def handle(self, *args: Any, **options: Any) -> None:  # Any: Django's signature
        to, is_trying = options["to"], options["dry_run"]
        if "s3" not in settings.STORAGES:
            raise CommandError("There is no bucket: set S3_BUCKET_NAME and what else S3 needs.")
        if options["delete"] and to != settings.FILES_STORAGE:
            raise CommandError(
                f"New files are still written to the other storage. Set FILES_STORAGE={to} and FILES_MOVING=true, "
                "restart every process, and then say --delete."
            )
        if not 1 <= options["threads"] <= 64:
            raise CommandError("--threads must be from 1 to 64.")
        source, target = storages["local" if to == "s3" else "s3"], storages[to]
        began = time.monotonic()
        try:
            tally = moving.move(
                source=source,  # type: ignore[arg-type]
                target=target,  # type: ignore[arg-type]
                is_deleting=options["delete"] and not is_trying,
                is_trying=is_trying,
                threads=options["threads"],
                tell=self._say,
            )
        except moving.CannotMove as problem:
            raise CommandError(str(problem)) from None
        self._say(f"{time.monotonic() - began:.1f} s, {tally.moved:,} bytes" + (" (dry run):" if is_trying else ":"))
        for end in moving.End:
            if tally.ends[end]:
                self._say(f"  {tally.ends[end]:,} {'to be copied' if is_trying and end == 'copied' else end}")
        if tally.removed:
            self._say(f"  {tally.removed:,} removed from the other storage")
        if not tally.is_good:
            self.stderr.write(
                "Not everything could be moved. Restore what is missing or changed from a backup, or delete its file; "
                "then run this again."
            )
            sys.exit(1)

    def _say(self, text: str) -> None:
        self.stdout.write(text)
        self.stdout.flush()
