"""`manage.py export_tenant NAME FOLDER`: all that a tenant has, to take along."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError

from assistant_site import owner_only
from audit import log
from audit.commands import AuditedCommand
from erasure import export
from files.models import File
from files.storage import BlobMissing, Streamed
from tenants.models import Tenant

MARK = "tenant"  # a file with the id of the tenant that the folder is of


class Command(AuditedCommand):
    help = (
        "Writes what a tenant has into FOLDER: objects.jsonl, an object of the API in each line, and files/, the bytes "
        "of each file by its id; the file `tenant` says whose it is. Broken off, it goes on when called again: files "
        "that are there are not written again."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", help="the tenant's name or id")
        parser.add_argument("folder", type=Path, help="is made if it is missing, readable by its owner only")

    def handle(self, *args: Any, **options: Any) -> None:
        name, folder = options["name"], options["folder"]
        tenant = Tenant.objects.filter(name=name).first() or Tenant.objects.filter(pk=name).first()
        if tenant is None:
            raise CommandError(f"There is no tenant {name}.")
        try:
            with owner_only.files():
                _claim(folder, tenant)
                (folder / "files").mkdir(exist_ok=True)
                log.record_row(tenant, "exported")
                objects = _write(folder / "objects.jsonl", export.everything(tenant))
                missing = self._write_files(tenant, folder / "files")
        except OSError as error:
            raise CommandError(f"{folder} cannot be written: {error.strerror or error}.") from None
        self.stdout.write(f"{objects:,} objects of {tenant.name} ({tenant.pk}) are in {folder}.")
        if missing:
            raise CommandError(f"The storage has lost the bytes of {len(missing)} files: {', '.join(missing[:10])}.")

    def _write_files(self, tenant: Tenant, folder: Path) -> list[str]:
        """Returns the ids of those whose bytes are not to be had."""
        missing = []
        for file in File.objects.of(tenant).order_by("pk").iterator():
            path = folder / file.pk
            if path.exists() and path.stat().st_size == file.bytes:
                continue
            try:
                _write(path, Streamed(file.blob, file.bytes))
            except BlobMissing:
                missing.append(file.pk)
        return missing


def _claim(folder: Path, tenant: Tenant) -> None:
    """Makes the folder this tenant's. Raises CommandError if there is anything else in it."""
    folder.mkdir(parents=True, exist_ok=True)
    mark = folder / MARK
    is_marked = mark.is_file() and mark.read_text(errors="replace").strip() == tenant.pk
    if not is_marked and any(folder.iterdir()):
        raise CommandError(f"{folder} has something else in it. Name a folder that is new, empty, or this tenant's.")
    mark.write_text(f"{tenant.pk}\n")


def _write(path: Path, pieces: Any) -> int:
    """How many pieces; the file is there as a whole or not at all."""
    unfinished = path.with_name(f"{path.name}.unfinished")
    count = 0
    with unfinished.open("wb") as file:
        for piece in pieces:
            file.write(piece)
            count += 1
    unfinished.replace(path)
    return count
