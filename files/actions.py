"""What is done to files: the same functions for the API, the admin and the apps above."""

from collections.abc import Callable, Iterable
from datetime import datetime
from functools import partial

from django.db import transaction
from django.db.models import Sum
from django.utils import timezone

from assistant_site.db.afterwards import once_committed
from assistant_site.wire.errors import InvalidRequest, NotFound
from audit import log
from files import blobs, uploads
from files.models import File, Upload, UploadPart, UploadStatus
from files.names import clean_name
from files.storage import Stored
from metering import quotas
from tenants.models import Tenant, TenantQuerySet

# What apps above do with a file that is being deleted, in the transaction that deletes it.
BEFORE_DELETION: list[Callable[[File], None]] = []


def files_of(tenant: Tenant) -> TenantQuerySet[File]:
    """The tenant's files, without those that have expired."""
    return File.objects.of(tenant).filter(File.unexpired())


def fetch_file(tenant: Tenant, file_id: str) -> File:
    """The file with this id, or the 404 of `/files/{id}`."""
    found = files_of(tenant).filter(pk=file_id).first() if "\x00" not in file_id else None
    if found is None:
        raise NotFound(f"No such File object: {file_id}", param="id")
    return found


def check_files(tenant: Tenant, file_ids: Iterable[str], param: str | None = None) -> dict[str, File]:
    """The files that a request refers to, by id; the documented 404 for the first that is not there. One query."""
    wanted = list(dict.fromkeys(file_ids))
    if not wanted:
        return {}
    found = {str(file.pk): file for file in files_of(tenant).filter(pk__in=[id for id in wanted if "\x00" not in id])}
    for id in wanted:
        if id not in found:
            raise NotFound(f"No file found with id '{id}'.", param=param)
    return found


def create_file(
    *, tenant: Tenant, filename: str, purpose: str, pieces: Iterable[bytes], expires_at: datetime | None = None
) -> File:
    """A new file with these bytes."""
    stored = blobs.save(pieces)
    return keep_file(tenant=tenant, filename=filename, purpose=purpose, stored=stored, expires_at=expires_at)


def keep_file(
    *, tenant: Tenant, filename: str, purpose: str, stored: Stored, expires_at: datetime | None = None
) -> File:
    """A new file of a blob that has been written; if that fails, the blob is removed."""
    try:
        if not stored.bytes:
            raise InvalidRequest("File is empty.", param="file")
        file = File(
            tenant=tenant,
            filename=clean_name(filename) or "file",
            purpose=purpose,
            sha256=stored.sha256,
            expires_at=expires_at,
        )
        with transaction.atomic():
            quotas.check_storage(tenant, stored.bytes)
            blobs.give(stored, file)
    except BaseException:
        blobs.drop(stored.blob)
        raise
    return file


def stored_bytes(tenant_id: str) -> int:
    """What the tenant's files, and the parts of its uploads, take."""
    rows = (File.objects.across_tenants(), UploadPart.objects.across_tenants())
    return sum(of.filter(tenant_id=tenant_id).aggregate(bytes=Sum("bytes"))["bytes"] or 0 for of in rows)


def delete_file(*, tenant: Tenant, file_id: str) -> None:
    """Deletes the file with what hangs on it; its blob goes after the commit."""
    fetch_file(tenant, file_id)
    if not erase(file_id, is_recorded=True):  # somebody else was first
        fetch_file(tenant, file_id)


def erase(file_id: str, *, is_recorded: bool = False) -> bool:
    """Deletes a file, whosever it is and also if it has expired; False if it is not there."""
    with transaction.atomic():
        file = File.objects.across_tenants().filter(pk=file_id).select_for_update().first()
        if file is None:
            return False
        blob = file.blob
        if is_recorded:
            told = {"purpose": file.purpose, "bytes": file.bytes, "sha256": file.sha256}
            log.record_row(file, "deleted", before=told, name=file.filename)
        for prepare in BEFORE_DELETION:
            prepare(file)
        file.delete()
    once_committed(partial(blobs.drop, blob))
    return True


def forget_expired(limit: int = 100) -> int:
    """Ends what is past its time, a few at once: files, uploads, blobs without an owner. Returns how many.

    To be called every minute or so, in any number of processes.
    """
    now = timezone.now()
    files = File.objects.across_tenants().filter(expires_at__lte=now).order_by("expires_at")
    ended = sum(erase(id) for id in _some(files, limit))
    late = (
        Upload.objects.across_tenants().filter(status=UploadStatus.PENDING, expires_at__lte=now).order_by("expires_at")
    )
    ended += sum(uploads.expire(id) for id in _some(late, limit))
    return ended + blobs.sweep(limit)


def _some(rows: TenantQuerySet[File] | TenantQuerySet[Upload], limit: int) -> list[str]:
    return list(rows.values_list("pk", flat=True)[:limit])
