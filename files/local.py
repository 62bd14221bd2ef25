"""Blobs in a local folder (FILES_DIR), which all web and worker processes must share."""

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from django.core.files.storage import FileSystemStorage


class LocalWriting:
    """A file under a temporary name, which gets its own when every byte is on the disk."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._draft = path.with_name(f"{path.name}.part")
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = open(self._draft, "xb")  # noqa: SIM115 `close` and `abandon` close it

    def write(self, piece: bytes) -> None:
        self._file.write(piece)

    def close(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self._draft.rename(self._path)
        _sync_folder(self._path.parent)

    def abandon(self) -> None:
        with contextlib.suppress(OSError):  # a full disk refuses also what was still to be flushed
            self._file.close()
        self._draft.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Makes the new name outlast a power cut."""
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


class LocalBlobs(FileSystemStorage):
    """Django's storage of local files, with writes that are whole or nothing."""

    def writing(self, blob: str) -> LocalWriting:
        return LocalWriting(Path(self.path(blob)))

    def stream(self, blob: str) -> BinaryIO:
        return open(self.path(blob), "rb")

    @contextlib.contextmanager
    def opened(self, blob: str) -> Iterator[BinaryIO]:
        with open(self.path(blob), "rb") as file:
            yield file

    @contextlib.contextmanager
    def local_copy(self, blob: str, suffix: str) -> Iterator[Path]:
        path = Path(self.path(blob))
        if not path.is_file():
            raise FileNotFoundError(path)
        yield path

    def delete(self, blob: str) -> None:
        super().delete(blob)
        self.forget_draft(blob)  # of a process that died while writing

    def link(self, blob: str, filename: str, seconds: int) -> None:
        """There is no server that could give the bytes."""

    def forget_draft(self, blob: str) -> None:
        super().delete(f"{blob}.part")

    def advice(self, error: Exception) -> str | None:
        if not isinstance(error, OSError):
            return None
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return f"No space is left in {self.location}: free some, or set FILES_DIR to a folder on a larger disk."
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            return f"{self.location} is not writable ({error.strerror}): change its owner or rights, or set FILES_DIR."
        if error.filename and not str(error.filename).startswith(str(self.location)):
            return None
        return f"{self.location} cannot be used ({error.strerror}): check the disk and FILES_DIR."
