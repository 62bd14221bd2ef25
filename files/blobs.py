"""Which blobs belong to nobody, so that no failure leaves bytes behind (see `UnclaimedBlob`)."""

import logging
from collections.abc import Iterable
from datetime import timedelta
from typing import Any, Protocol

from django.db import transaction
from django.utils import timezone

from files import storage
from files.models import UnclaimedBlob
from files.storage import StorageFailed, Stored

logger = logging.getLogger(__name__)

WRITING = timedelta(hours=6)  # longer than any request takes to write its blob
_FIRST_PAUSE = timedelta(minutes=1)
_MOST_DOUBLINGS = 9  # 8.5 hours


def noted() -> str:
    """The name of a new blob, noted before it is written."""
    blob = storage.new_blob()
    UnclaimedBlob.objects.create(blob=blob, remove_at=timezone.now() + WRITING)
    return blob


def save(pieces: Iterable[bytes]) -> Stored:
    """Writes a blob, which its owner's transaction must `give` to it."""
    blob = noted()
    try:
        return storage.save(pieces, blob=blob)
    except BaseException:
        drop(blob)
        raise


class Owner(Protocol):
    """A row with a blob, such as a file. Its app connects `owner_deleted` to the deletion of its rows."""

    blob: Any
    bytes: Any

    def save(self, *, force_insert: bool) -> None: ...


def give(stored: Stored, owner: Owner) -> None:
    """Part of the transaction that makes this new row the blob's owner."""
    owner.blob, owner.bytes = stored.blob, stored.bytes
    owner.save(force_insert=True)
    if not UnclaimedBlob.objects.filter(blob=stored.blob).delete()[0]:
        logger.error("The blob %s was written for more than %s and has been removed", stored.blob, WRITING)
        raise StorageFailed


def disown(blobs: Iterable[str]) -> None:
    """Part of the transaction that takes the blobs' owner away; `drop` them once it is committed."""
    now = timezone.now()
    UnclaimedBlob.objects.bulk_create(
        [UnclaimedBlob(blob=blob, remove_at=now) for blob in blobs], ignore_conflicts=True
    )


def owner_deleted(sender: Any, instance: Any, **_: Any) -> None:
    """A row with a blob was deleted, by whomever: also with its tenant, or in the admin."""
    disown([instance.blob])


def drop(*blobs: str) -> None:
    """Removes blobs without an owner now; what the storage cannot remove is tried again by `sweep`."""
    for blob in blobs:
        try:
            storage.remove(blob)
        except StorageFailed:  # the log has the reason
            _try_later(blobs[blobs.index(blob) :])
            return
        UnclaimedBlob.objects.filter(blob=blob).delete()


def _try_later(blobs: Iterable[str]) -> None:
    for row in UnclaimedBlob.objects.filter(blob__in=list(blobs)):
        row.remove_at = timezone.now() + _FIRST_PAUSE * 2 ** min(row.attempts, _MOST_DOUBLINGS)
        row.attempts += 1
        row.save(update_fields=["remove_at", "attempts"])


def sweep(limit: int) -> int:
    """Removes up to so many blobs whose time has come; returns how many are gone."""
    gone = 0
    for _ in range(limit):
        with transaction.atomic():
            row = (
                UnclaimedBlob.objects.select_for_update(skip_locked=True)
                .filter(remove_at__lte=timezone.now())
                .order_by("remove_at")
                .first()
            )
            if row is None:
                return gone
            drop(row.blob)
            if UnclaimedBlob.objects.filter(pk=row.pk).exists():
                return gone  # the storage is down: another time
            gone += 1
    return gone
