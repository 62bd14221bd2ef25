"""`manage.py restore DIRECTORY`: a backup into an installation that has nothing yet."""

import time
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from assistant_site.backups import restoring
from assistant_site.backups.contents import CannotRestore


class Command(BaseCommand):
    help = "Restores a backup that manage.py backup has made into an empty installation. docs/backup.md tells the rest."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("directory", type=Path, help="the backup's folder")
        parser.add_argument("--without-keys", action="store_true", help="although its encryption keys are lost")
        parser.add_argument("--programs", type=Path, help="the folder with pg_restore, if none is found that fits")
        parser.add_argument("--threads", type=int, default=4, help="how many files are copied at once (4)")

    def handle(self, *args: Any, **options: Any) -> None:  # Any: Django's signature
        began = time.monotonic()
        try:
            manifest = restoring.restore(
                options["directory"].resolve(),
                without_keys=options["without_keys"],
                programs_in=options["programs"],
                threads=options["threads"],
                tell=self._say,
            )
        except CannotRestore as problem:
            raise CommandError(str(problem)) from None
        self._say(f"Restored as of {manifest.taken_at}, in {time.monotonic() - began:.1f} s. Start it: manage.py up.")
        if manifest.missing:
            self.stderr.write(f"{len(manifest.missing)} files were missing already when the backup was taken.")
        if not manifest.with_files:
            self.stderr.write("The backup has no bytes of files: see that they are where FILES_DIR or S3_* say.")

    def _say(self, text: str) -> None:
        self.stdout.write(text)
        self.stdout.flush()
