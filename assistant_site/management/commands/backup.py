"""`manage.py backup DIRECTORY`: database, files and secrets of a running installation, as of one moment."""

import sys
import time
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from assistant_site.backups import taking
from assistant_site.backups.contents import CannotBackUp
from audit.commands import AuditedCommand


class Command(AuditedCommand):
    help = "Writes a backup of this installation into a new folder, while it runs. docs/backup.md tells the rest."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("directory", type=Path, help="a folder that is empty or not there yet")
        parser.add_argument("--without-files", action="store_true", help="not the bytes of files, such as those in S3")
        parser.add_argument("--programs", type=Path, help="the folder with pg_dump, if none is found that fits")
        parser.add_argument("--threads", type=int, default=4, help="how many files are copied at once (4)")

    def handle(self, *args: Any, **options: Any) -> None:  # Any: Django's signature
        began = time.monotonic()
        try:
            manifest = taking.take(
                options["directory"].resolve(),
                with_files=not options["without_files"],
                programs_in=options["programs"],
                threads=options["threads"],
                tell=self._say,
            )
        except CannotBackUp as problem:
            raise CommandError(str(problem)) from None
        self._say(
            f"The backup of {manifest.taken_at} is whole: {options['directory']}, {time.monotonic() - began:.1f} s. "
            "It has the keys of providers and what opens them: keep it as you would keep those."
        )
        if manifest.missing:
            self.stderr.write(
                f"{len(manifest.missing)} files are missing from the file storage or damaged, and so from the backup."
            )
            sys.exit(1)

    def _say(self, text: str) -> None:
        self.stdout.write(text)
        self.stdout.flush()
