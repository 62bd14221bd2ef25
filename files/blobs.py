"""Which blobs belong to nobody, so that no failure leaves bytes behind (see `UnclaimedBlob`)."""

import contextlib
import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Protocol

from django.db import models, transaction
from django.db.models.signals import post_delete
from django.utils import timezone

from assistant_site.db import locks
from assistant_site.db.locks import Kind
from files import storage
from files.models import UnclaimedBlob
from files.storage import StorageFailed, Stored

logger = logging.getLogger(__name__)

WRITING = timedelta(hours=6)  # longer than any request takes to write its blob
# The models with a blob: of each row `blob` and `bytes`, and `sha256` where it is known.
OWNERS: list[type[models.Model]] = []
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
    """A row with a blob, such as a file. Its app says `owned_by` of its model."""

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


def owned_by(model: type[models.Model]) -> None:
    """Rows of this model own blobs. A blob whose row is deleted, by whomever, has no owner any more."""
    OWNERS.append(model)
    post_delete.connect(_owner_deleted, sender=model, dispatch_uid=f"blob of {model.__name__}")


def _owner_deleted(sender: Any, instance: Any, **_: Any) -> None:
    disown([instance.blob])


@dataclass(frozen=True)
class Owned:
    """A blob that a row speaks for; `sha256` is empty if the row does not tell."""

    blob: str
    bytes: int
    sha256: str


def owned(batch: int = 500) -> Iterator[list[Owned]]:
    """All blobs that belong to rows, so many at once. Rows that are added meanwhile may be among them, or not."""
    for model in OWNERS:
        rows = _rows_of(model).order_by("pk")
        names = [field.name for field in model._meta.fields]
        columns = ["pk", "blob", "bytes", *(["sha256"] if "sha256" in names else [])]
        found = list(rows.values_list(*columns)[:batch])
        while found:
            yield [Owned(blob, bytes, *(sha256 or [""])) for _, blob, bytes, *sha256 in found]
            found = list(rows.filter(pk__gt=found[-1][0]).values_list(*columns)[:batch])


def still_owned(blobs: Iterable[str]) -> set[str]:
    """Those of the blobs that belong to a row."""
    wanted = list(blobs)
    return {blob for model in OWNERS for blob in _rows_of(model).filter(blob__in=wanted).values_list("blob", flat=True)}


def _rows_of(model: type[models.Model]) -> Any:
    manager: Any = model._default_manager
    return manager.across_tenants()


@contextlib.contextmanager
def kept() -> Iterator[bool]:
    """Meanwhile no process removes a blob: `drop` leaves that to `sweep`, for afterwards. False: it is so already.

    Who removes a blob in a transaction of its own, as `sweep` does, is waited for.
    """
    with locks.held(Kind.BLOBS, "backup", is_waiting=False) as is_alone:
        if not is_alone:
            yield False
            return
        with locks.held(Kind.BLOBS, "removal"):
            yield True


def drop(*blobs: str) -> None:
    """Removes blobs without an owner now; what the storage cannot remove is tried again by `sweep`."""
    if blobs and locks.is_held(Kind.BLOBS, "removal"):
        _try_later(blobs)
        return
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
