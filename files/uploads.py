"""Uploads: a large file that comes in parts.

The upload's row is the lock: parts are counted in, and completing, cancelling and expiring happen, one after the other,
so that of two that race one is told that it came too late. Joining the parts may take minutes, in which the row is free
and no transaction open: the upload can still be cancelled. But it is joined once at a time, and does not expire.
"""

import hashlib
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from django.db import transaction
from django.db.models import Sum
from django.utils import timezone

from assistant_site.db import locks
from assistant_site.db.afterwards import once_committed
from assistant_site.db.locks import Kind
from assistant_site.wire.errors import InvalidRequest
from files import blobs, storage
from files.models import File, Upload, UploadPart, UploadStatus
from files.names import clean_name
from files.storage import Stored
from metering import quotas
from tenants.models import Tenant

MAX_BYTES = 8 * 1024**3
LIFETIME = timedelta(hours=1)  # from the last part on


def create_upload(
    *, tenant: Tenant, filename: str, purpose: str, bytes: int, mime_type: str, file_expires_after: int | None = None
) -> Upload:
    """An upload that waits for its parts."""
    name = clean_name(filename)
    if not name:
        raise InvalidRequest("Invalid 'filename': it has no name of a file.", code="invalid_value", param="filename")
    with transaction.atomic():
        quotas.check_storage(tenant, bytes)  # not reserved: each part is judged
    upload = Upload(
        tenant=tenant,
        filename=name,
        purpose=purpose,
        bytes=bytes,
        mime_type=mime_type,
        file_expires_after_seconds=file_expires_after,
    )
    upload.expires_at = upload.created_at + LIFETIME
    upload.save(force_insert=True)
    return upload


def refuse_unless_pending(upload: Upload, doing: str) -> None:
    """`doing` as in "Cannot cancel an upload with status 'completed'."."""
    status = upload.status_at(timezone.now())
    if status != UploadStatus.PENDING:
        raise InvalidRequest(f"Cannot {doing} an upload with status '{status}'.")


def _locked(tenant: Tenant, upload_id: str, doing: str) -> Upload:
    upload: Upload = Upload.objects.of(tenant).select_for_update(no_key=True).fetch(upload_id)
    refuse_unless_pending(upload, doing)
    return upload


def add_part(*, tenant: Tenant, upload_id: str, stored: Stored) -> UploadPart:
    """A part of a blob that has been written; if the upload does not take it, the blob is removed."""
    try:
        if not stored.bytes:
            raise InvalidRequest("The part is empty.", param="data")
        with transaction.atomic():
            upload = _locked(tenant, upload_id, "add parts to")
            held = UploadPart.objects.of(tenant).filter(upload=upload).aggregate(held=Sum("bytes"))["held"] or 0
            if held + stored.bytes > MAX_BYTES:
                raise InvalidRequest(
                    f"The parts of an upload can have at most {MAX_BYTES} bytes together.", param="data"
                )
            quotas.check_storage(tenant, stored.bytes)
            part = UploadPart(tenant=tenant, upload=upload)
            blobs.give(stored, part)
            upload.change(expires_at=part.created_at + LIFETIME)
    except BaseException:
        blobs.drop(stored.blob)
        raise
    return part


def complete_upload(*, tenant: Tenant, upload_id: str, part_ids: list[str], md5: str | None) -> Upload:
    """Joins these parts, in this order, to the upload's file."""
    with locks.held(Kind.JOINING, upload_id):
        with transaction.atomic():
            upload: Upload = _locked(tenant, upload_id, "complete")
            parts = _chosen(upload, part_ids)
        joined = blobs.noted()
        try:
            stored = _joined(upload, parts, joined, md5)
            with transaction.atomic():
                upload = Upload.objects.of(tenant).select_for_update(no_key=True).fetch(upload_id)
                _refuse_if_ended(upload)
                now = timezone.now()
                file = File(
                    tenant=tenant,
                    created_at=now,
                    filename=upload.filename,
                    purpose=upload.purpose,
                    sha256=stored.sha256,
                    expires_at=file_expiry(now, upload.purpose, upload.file_expires_after_seconds),
                )
                blobs.give(stored, file)
                left = _end(upload, UploadStatus.COMPLETED, file=file)
        except BaseException:
            blobs.drop(joined)
            raise
    once_committed(partial(blobs.drop, *left))
    return upload


def _joined(upload: Upload, parts: list[UploadPart], blob: str, md5: str | None) -> Stored:
    """The parts as one blob of this name."""
    pieces = storage.joined((part.blob, part.bytes) for part in parts)
    try:
        return storage.save(_matching(pieces, md5) if md5 else pieces, blob=blob)
    except storage.BlobMissing:
        upload.refresh_from_db(fields=["status"])
        _refuse_if_ended(upload)
        raise


def _refuse_if_ended(upload: Upload) -> None:
    """Somebody may have cancelled it while it was joined. Its time was not up when that began, which is enough."""
    if upload.status != UploadStatus.PENDING:
        raise InvalidRequest(f"Cannot complete an upload with status '{upload.status}'.")


def cancel_upload(*, tenant: Tenant, upload_id: str) -> Upload:
    """Ends the upload and forgets its parts."""
    with transaction.atomic():
        upload = _locked(tenant, upload_id, "cancel")
        left = _end(upload, UploadStatus.CANCELLED)
    once_committed(partial(blobs.drop, *left))
    return upload


def expire(upload_id: str) -> bool:
    """Ends an upload that is past its time, if nobody is at work on it."""
    late = Upload.objects.across_tenants().filter(pk=upload_id, status="pending", expires_at__lte=timezone.now())
    with locks.held(Kind.JOINING, upload_id, is_waiting=False) as is_idle:
        if not is_idle:
            return False
        with transaction.atomic():
            upload = late.select_for_update(no_key=True, skip_locked=True).first()
            if upload is None:
                return False
            left = _end(upload, UploadStatus.EXPIRED)
    once_committed(partial(blobs.drop, *left))
    return True


def _end(upload: Upload, status: UploadStatus, **changes: Any) -> list[str]:
    """Part of a transaction: the upload rests and its parts are gone. The blobs it returns are to be dropped then."""
    upload.change(status=status, **changes)
    parts = UploadPart.objects.across_tenants().filter(upload=upload)
    names = list(parts.values_list("blob", flat=True))
    parts.delete()
    return names


def _chosen(upload: Upload, part_ids: list[str]) -> list[UploadPart]:
    """The parts with these ids in this order, which must make up the upload."""
    if len(set(part_ids)) < len(part_ids):
        raise InvalidRequest(
            "Invalid 'part_ids': a part is named more than once.", code="invalid_value", param="part_ids"
        )
    known = {str(part.pk): part for part in UploadPart.objects.across_tenants().filter(upload=upload)}
    for id in part_ids:
        if id not in known:
            raise InvalidRequest(
                f"No part found with id '{id}' in upload '{upload.pk}'.", code="invalid_value", param="part_ids"
            )
    parts = [known[id] for id in part_ids]
    total = sum(part.bytes for part in parts)
    if total != upload.bytes:
        raise InvalidRequest(
            f"The parts have {total} bytes together, but the upload was created for {upload.bytes} bytes.",
            param="part_ids",
        )
    return parts


def _matching(pieces: Iterable[bytes], md5: str) -> Iterator[bytes]:
    """The pieces; after the last one a refusal, if they are not what the caller meant to send."""
    digest = hashlib.md5(usedforsecurity=False)
    for piece in pieces:
        digest.update(piece)
        yield piece
    if digest.hexdigest() != md5.lower():
        raise InvalidRequest(
            f"The uploaded bytes have the MD5 checksum '{digest.hexdigest()}', but '{md5}' was expected.",
            code="invalid_value",
            param="md5",
        )


def file_expiry(created_at: datetime, purpose: str, after_seconds: int | None) -> datetime | None:
    """When a new file expires: as asked for, a file for batches after 30 days, others never."""
    if after_seconds is None:
        return created_at + timedelta(days=30) if purpose == "batch" else None
    return created_at + timedelta(seconds=after_seconds)
