"""Two storages as one, while files are moved between them (FILES_MOVING).

New blobs are written to the first. What the first does not have is read from the other, and what is deleted is removed
from both. So it does not matter to a reader whether a blob has been moved yet, nor to two processes if each calls
another storage the first.
"""

import contextlib
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, TypeVar, cast

from django.core.files.storage import storages

from files.storage import Blobs, Writing

_IN_MEMORY = 1024 * 1024

T = TypeVar("T")


class BothBlobs:
    """`first` and `other` are aliases of Django's storages."""

    def __init__(self, first: str, other: str) -> None:
        self._first, self._other = first, other

    @property
    def first(self) -> Blobs:
        return cast(Blobs, storages[self._first])

    @property
    def other(self) -> Blobs:
        return cast(Blobs, storages[self._other])

    def writing(self, blob: str) -> Writing:
        return self.first.writing(blob)

    def stream(self, blob: str) -> Any:
        return self._found(lambda storage: storage.stream(blob))

    @contextlib.contextmanager
    def opened(self, blob: str) -> Iterator[BinaryIO]:
        with tempfile.SpooledTemporaryFile(_IN_MEMORY) as copy:
            self._copy(blob, cast(BinaryIO, copy))
            yield cast(BinaryIO, copy)

    @contextlib.contextmanager
    def local_copy(self, blob: str, suffix: str) -> Iterator[Path]:
        """Always a copy: a blob that is in the folder may be gone from there before the reader has ended."""
        with tempfile.NamedTemporaryFile(suffix=suffix) as copy:
            self._copy(blob, cast(BinaryIO, copy))
            yield Path(copy.name)

    def delete(self, blob: str) -> None:
        """From the other first: what could not be removed there is still known to whoever tries again."""
        for storage in (self.other, self.first):
            with contextlib.suppress(FileNotFoundError):
                storage.delete(blob)

    def size(self, blob: str) -> int:
        return self._found(lambda storage: storage.size(blob))

    def link(self, blob: str, filename: str, seconds: int) -> str | None:
        """Of blobs in the first only: from the other they vanish, and with them what the address leads to."""
        try:
            return self.first.link(blob, filename, seconds)
        except FileNotFoundError:
            return None

    def forget_draft(self, blob: str) -> None:
        self.first.forget_draft(blob)

    def advice(self, error: Exception) -> str | None:
        return self.first.advice(error) or self.other.advice(error)

    def _found(self, read: Callable[[Blobs], T]) -> T:
        """What one of the two says. The first is asked again: the blob may have been moved there between the two."""
        for storage in (self.first, self.other):
            with contextlib.suppress(FileNotFoundError):
                return read(storage)
        return read(self.first)

    def _copy(self, blob: str, copy: BinaryIO) -> None:
        with contextlib.closing(self.stream(blob)) as stream:
            shutil.copyfileobj(stream, copy, _IN_MEMORY)
        copy.flush()
        copy.seek(0)
