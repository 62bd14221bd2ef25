"""Moves the blobs of one storage to the other, while the server runs (docs/files.md tells in which order what is done).

Only what rows own is moved. Each blob is hashed on its way, held against its row, and read again from where it was
written; only then does it count as moved. Writing is whole or nothing, and nothing is remembered but what the storages
have: whoever is killed begins again, and finds what is there already.
"""

import contextlib
import hashlib
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from typing import Any

from django.db.models import Count, Sum

from assistant_site.db import locks
from assistant_site.db.locks import Kind
from files import blobs
from files.blobs import Owned
from files.storage import PIECE, Blobs

_MOST_FAILURES = 10  # one after the other; then the storage is down
TELL_SECONDS = 5


class End(StrEnum):
    """What became of one blob."""

    COPIED = "copied"
    THERE = "there already"
    DELETED = "deleted by its owner meanwhile"
    MISSING = "missing in both storages"
    CHANGED = "not the bytes that its row tells of"
    FAILED = "not copied, because a storage failed"


GOOD = (End.COPIED, End.THERE)
BAD = (End.MISSING, End.CHANGED, End.FAILED)


@dataclass(frozen=True)
class Brought:
    """What became of a blob; `why` for people, `sha256` of what is in the target now, if that is good."""

    end: End
    why: str = ""
    sha256: str = ""


class CannotMove(Exception):
    """A whole sentence for the operator."""


@dataclass
class Tally:
    """How many blobs ended how; `moved` and `total` in bytes."""

    blobs: int = 0
    total: int = 0
    moved: int = 0
    removed: int = 0
    ends: Counter[End] = field(default_factory=Counter)

    @property
    def is_good(self) -> bool:
        return not any(self.ends[end] for end in BAD)


def amount() -> Tally:
    """How much there is to be moved, as the rows tell."""
    tally = Tally()
    for model in blobs.OWNERS:
        manager: Any = model._default_manager
        found = manager.across_tenants().aggregate(blobs=Count("pk"), total=Sum("bytes"))
        tally.blobs += found["blobs"]
        tally.total += found["total"] or 0
    return tally


def move(
    *,
    source: Blobs,
    target: Blobs,
    is_deleting: bool = False,
    is_trying: bool = False,
    threads: int = 4,
    tell: Callable[[str], None] = lambda _: None,
) -> Tally:
    """Brings every blob that a row owns into `target`; `tell` gets a line for each trouble, and one now and then.

    `is_deleting`: what is in `target` for sure is removed from `source`. `is_trying`: only look; sizes, not contents.
    Raises CannotMove if another process is at it, or if a storage fails again and again.
    """
    tally, told_at = amount(), time.monotonic()
    failures = 0
    with locks.held(Kind.MOVING, is_waiting=False) as is_alone, ThreadPoolExecutor(threads, "moving") as pool:
        if not is_alone:
            raise CannotMove("Another process is moving files just now.")
        for batch in blobs.owned():
            results = list(pool.map(partial(_looked if is_trying else bring, source=source, target=target), batch))
            if not is_trying:
                _forget_deleted(batch, results, target)
            for owned, result in zip(batch, results, strict=True):
                tally.ends[result.end] += 1
                tally.moved += owned.bytes if result.end in GOOD else 0
                failures = failures + 1 if result.end is End.FAILED else 0
                if result.end in BAD:
                    tell(f"{owned.blob}: {result.end}.{result.why and ' ' + result.why}")
                if failures == _MOST_FAILURES:
                    raise CannotMove(
                        f"{_MOST_FAILURES} blobs one after the other could not be moved. {result.why} Then start "
                        "again: what has been moved is found where it is."
                    )
            if is_deleting:
                good = [owned.blob for owned, result in zip(batch, results, strict=True) if result.end in GOOD]
                list(pool.map(partial(_remove, source), good))
                tally.removed += len(good)
            if time.monotonic() - told_at > TELL_SECONDS:
                told_at = time.monotonic()
                tell(f"{tally.ends.total():,} of {tally.blobs:,} blobs, {tally.moved:,} of {tally.total:,} bytes")
    return tally


def _forget_deleted(batch: list[Owned], results: list[Brought], target: Blobs) -> None:
    """What was deleted while it was copied does not stay as a copy.

    Asked after the copy is there: who deletes a file later than that removes its blob from both storages.
    """
    copied = [number for number, result in enumerate(results) if result.end is End.COPIED]
    present = blobs.still_owned(batch[number].blob for number in copied)
    for number in copied:
        if batch[number].blob not in present:
            _remove(target, batch[number].blob)
            results[number] = Brought(End.DELETED)
    # And what could not be read, because it was being deleted, is no trouble.
    missing = [number for number, result in enumerate(results) if result.end is End.MISSING]
    present = blobs.still_owned(batch[number].blob for number in missing)
    for number in missing:
        if batch[number].blob not in present:
            results[number] = Brought(End.DELETED)


def _remove(storage: Blobs, blob: str) -> None:
    try:
        storage.delete(blob)
    except Exception as error:
        if why := storage.advice(error):
            raise CannotMove(why) from error
        raise


def bring(owned: Owned, source: Blobs, target: Blobs) -> Brought:
    """Sees to it that `target` has the blob, whole and as its row tells. Knows no database: it may run in a thread."""
    try:
        expected = owned.sha256 or _hash(source, owned)
        found = _hash(target, owned) if _size(target, owned.blob) == owned.bytes else ""
        if found and found == (expected or found):
            return Brought(End.THERE, sha256=found)
        return _copied(owned, source, target, expected)
    except Exception as error:
        why = source.advice(error) or target.advice(error)
        if why is None:
            raise
        return Brought(End.FAILED, why)


def _copied(owned: Owned, source: Blobs, target: Blobs, expected: str) -> Brought:
    try:
        stream = source.stream(owned.blob)
    except FileNotFoundError:
        is_there = _size(target, owned.blob) is not None
        return Brought(End.CHANGED, "It is in the target only.") if is_there else Brought(End.MISSING)
    target.forget_draft(owned.blob)
    writing = target.writing(owned.blob)
    try:
        size, sha256 = 0, hashlib.sha256()
        with contextlib.closing(stream):
            while piece := stream.read(PIECE):
                size += len(piece)
                sha256.update(piece)
                writing.write(piece)
        if size != owned.bytes or sha256.hexdigest() != expected:
            writing.abandon()
            return Brought(End.CHANGED, f"It has {size:,} bytes, and should have {owned.bytes:,}.")
        writing.close()
    except BaseException:
        writing.abandon()
        raise
    if _hash(target, owned) != expected:
        target.delete(owned.blob)
        return Brought(End.FAILED, "What was read back is not what was written.")
    return Brought(End.COPIED, sha256=expected)


def _looked(owned: Owned, source: Blobs, target: Blobs) -> Brought:
    """Which end `bring` will probably come to."""
    if _size(target, owned.blob) == owned.bytes:
        return Brought(End.THERE)
    size = _size(source, owned.blob)
    if size is None:
        return Brought(End.MISSING)
    return Brought(End.COPIED if size == owned.bytes else End.CHANGED)


def _size(storage: Blobs, blob: str) -> int | None:
    try:
        return storage.size(blob)
    except FileNotFoundError:
        return None


def _hash(storage: Blobs, owned: Owned) -> str:
    """The SHA-256 of what the storage has; empty if it has nothing."""
    sha256 = hashlib.sha256()
    try:
        with contextlib.closing(storage.stream(owned.blob)) as stream:
            while piece := stream.read(PIECE):
                sha256.update(piece)
    except FileNotFoundError:
        return ""
    return sha256.hexdigest()
