"""Where the bytes of files are: a local folder, or a bucket of any S3, behind the alias "blobs" of Django's storages.

A blob is named by chance, written once and never changed. Bytes pass through in pieces, hashed on their way; nothing is
held whole in memory. What fails is logged with a sentence for the operator; the caller gets a 5xx in the envelope.
"""

import contextlib
import hashlib
import logging
import secrets
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

from django.core.files.storage import storages

from assistant_site.wire.errors import ServerError, Unavailable, WireError

if TYPE_CHECKING:
    from files.models import File

logger = logging.getLogger(__name__)
PIECE = 256 * 1024


class BlobMissing(ServerError):
    """A row tells of bytes that the storage does not have."""

    def __init__(self, blob: str) -> None:
        super().__init__("The content of this file is missing from the server's storage. Please contact its operator.")
        logger.error(
            "The blob %s is missing from the file storage, or not whole: restore it from a backup, or delete its file.",
            blob,
        )


class StorageFailed(Unavailable):
    """The storage cannot be used now; the log says why and what to do."""

    def __init__(self) -> None:
        super().__init__("The server's file storage cannot be used at the moment. Please try again.")


class Writing(Protocol):
    """A blob that is being written; it is there, whole, once `close` has returned, and not at all otherwise."""

    def write(self, piece: bytes) -> None: ...
    def close(self) -> None: ...
    def abandon(self) -> None: ...


class Blobs(Protocol):
    """What both storages can do. They raise FileNotFoundError for a blob that is not there."""

    def writing(self, blob: str) -> Writing: ...
    def stream(self, blob: str) -> Any: ...
    def opened(self, blob: str) -> AbstractContextManager[BinaryIO]: ...
    def local_copy(self, blob: str, suffix: str) -> AbstractContextManager[Path]: ...
    def delete(self, blob: str) -> None: ...
    def size(self, blob: str) -> int: ...

    def link(self, blob: str, filename: str, seconds: int) -> str | None:
        """An address that gives the bytes to whoever knows it, for so long; None where there is no such thing."""
        ...

    def forget_draft(self, blob: str) -> None:
        """Removes what a process that died left of writing this blob."""
        ...

    def advice(self, error: Exception) -> str | None:
        """What the operator should know and do about this error; None if it is not the storage's."""
        ...


def blobs() -> Blobs:
    """The storage that is configured; loaded at its first use, and boto3 only with S3's."""
    return storages["blobs"]  # type: ignore[return-value]


@dataclass(frozen=True)
class Stored:
    """A blob that has been written."""

    blob: str
    bytes: int
    sha256: str


def new_blob() -> str:
    """A name that nobody can guess, in one of 256 folders."""
    name = secrets.token_hex(20)
    return f"{name[:2]}/{name}"


class Writer:
    """Puts bytes into a new blob, piece by piece; end it with `finish` or `abandon`."""

    def __init__(self, blob: str | None = None) -> None:
        self.blob = blob or new_blob()
        self.bytes = 0
        self._sha256 = hashlib.sha256()
        with _judged(self.blob):
            self._writing = blobs().writing(self.blob)

    def write(self, piece: bytes) -> None:
        self.bytes += len(piece)
        self._sha256.update(piece)
        with _judged(self.blob):
            self._writing.write(piece)

    def finish(self) -> Stored:
        with _judged(self.blob):
            self._writing.close()
        return Stored(self.blob, self.bytes, self._sha256.hexdigest())

    def abandon(self) -> None:
        """Leaves nothing behind, as far as the storage lets us; see `files.blobs` for when it does not."""
        with contextlib.suppress(StorageFailed), _judged(self.blob):
            self._writing.abandon()


def save(pieces: Iterable[bytes], *, blob: str | None = None) -> Stored:
    """Writes a new blob."""
    writer = Writer(blob)
    try:
        for piece in pieces:
            writer.write(piece)
        return writer.finish()
    except BaseException:
        writer.abandon()
        raise


@contextlib.contextmanager
def opened(blob: str) -> Iterator[BinaryIO]:
    """The blob's bytes as a file in which one can seek."""
    with contextlib.ExitStack() as stack:
        with _judged(blob):  # not what is done with the file: its errors are its own
            file = stack.enter_context(blobs().opened(blob))
        yield file


@contextlib.contextmanager
def local_copy(file: "File") -> Iterator[Path]:
    """A path to the file's bytes, only to read: the blob itself if it is local, else a copy for the time being."""
    with contextlib.ExitStack() as stack:
        with _judged(file.blob):
            path = stack.enter_context(blobs().local_copy(file.blob, Path(file.filename).suffix))
        yield path


class Streamed(Iterator[bytes]):
    """A blob's bytes in pieces, from an open connection or file; `close` it.

    Fewer bytes than its row tells are an error, not an end: a download must not look whole.
    """

    def __init__(self, blob: str, bytes: int) -> None:
        self.blob = blob
        self._missing = bytes
        with _judged(blob):
            self._stream = blobs().stream(blob)

    def __next__(self) -> bytes:
        with _judged(self.blob):
            piece: bytes = self._stream.read(PIECE)
        self._missing -= len(piece)
        if piece:
            return piece
        self.close()
        if self._missing > 0:
            raise BlobMissing(self.blob)
        raise StopIteration

    def close(self) -> None:
        self._stream.close()


def joined(blobs: Iterable[tuple[str, int]]) -> Iterator[bytes]:
    """The bytes of several blobs, given with their sizes, one after the other."""
    for blob, bytes in blobs:
        with contextlib.closing(Streamed(blob, bytes)) as pieces:
            yield from pieces


def link(file: "File", seconds: int) -> str | None:
    """An address in the storage's own server that gives the file's bytes for so long, to whoever knows it.

    None if they can only be had from here: they are in a folder, or about to be moved.
    """
    with _judged(file.blob):
        return blobs().link(file.blob, file.filename, seconds)


def remove(blob: str) -> None:
    """Removes the blob; one that is not there is no error. Raises StorageFailed."""
    with _judged(blob), contextlib.suppress(FileNotFoundError):
        blobs().delete(blob)


@contextlib.contextmanager
def _judged(blob: str) -> Iterator[None]:
    """Turns the storages' own errors into ours."""
    try:
        yield
    except WireError:
        raise
    except FileNotFoundError as error:
        raise BlobMissing(blob) from error
    except Exception as error:
        advice = blobs().advice(error)
        if advice is None:
            raise
        logger.error("The file storage failed. %s", advice)
        raise StorageFailed from error
