"""Multipart forms with one file, which goes straight into the storage while it is being read."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import RequestDataTooBig, SuspiciousOperation
from django.core.files.uploadhandler import FileUploadHandler
from django.http import HttpRequest, multipartparser
from django.http.multipartparser import MultiPartParser, MultiPartParserError
from django.http.request import RawPostDataException, UnreadablePostError

from assistant_site.wire import grammar, rest
from assistant_site.wire.errors import InvalidRequest
from files import blobs
from files.names import clean_name
from files.storage import PIECE, Stored, Writer

# Django's 1,024 bytes do not hold a long Chinese name: percent-encoded, and often sent twice, a character has 9 bytes.
multipartparser.MAX_TOTAL_HEADER_SIZE = 16 * 1024  # type: ignore[attr-defined]  # the stubs do not know it


@dataclass(frozen=True)
class Form:
    """A form's texts by their names, and its file."""

    texts: dict[str, str]
    filename: str
    stored: Stored

    def refuse_texts(self) -> None:
        """For a form that may have nothing but its file."""
        for name in self.texts:
            raise grammar.unknown(name)


class _IntoStorage(FileUploadHandler):
    """Writes the file of one form field into a blob."""

    chunk_size = PIECE

    def __init__(self, field: str, most: int) -> None:
        super().__init__()
        self.field, self.most = field, most
        self.filename = ""
        self.stored: Stored | None = None
        self.is_broken = False
        self._writer: Writer | None = None

    def new_file(self, field_name: Any, file_name: Any, *details: Any, **more: Any) -> None:
        if field_name != self.field:
            raise grammar.unknown(str(field_name))
        if self._writer or self.stored:
            raise grammar.duplicate(self.field)
        self.filename = file_name
        self._writer = Writer(blobs.noted())

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:
        assert self._writer is not None
        if start + len(raw_data) > self.most:
            raise rest.too_large(self.most, "file")
        self._writer.write(raw_data)

    def file_complete(self, file_size: int) -> None:
        assert self._writer is not None
        self.stored, self._writer = self._writer.finish(), None

    def upload_interrupted(self) -> None:
        self.is_broken = True

    def forget(self) -> None:
        """Leaves no blob behind."""
        if self._writer is not None:
            self._writer.abandon()
            blobs.drop(self._writer.blob)
        if self.stored is not None:
            blobs.drop(self.stored.blob)


class _Parser(MultiPartParser):
    """Django's, with names of files in every language: its own also takes the joiners out of words and emoji."""

    def sanitize_file_name(self, file_name: str) -> str | None:
        # Browsers and HTTP libraries write a quotation mark as %22, and no other character in such a way.
        return clean_name(file_name.replace("%22", '"')) or None


def _broken() -> InvalidRequest:
    return InvalidRequest(
        "We could not parse the multipart form of your request. (HINT: This likely means that the body was cut, or "
        "that its boundary is not the one in the Content-Type header.)"
    )


@contextlib.contextmanager
def received(request: HttpRequest, *, field: str, most: int) -> Iterator[Form]:
    """The request's form, its file of at most so many bytes in a new blob; an error inside removes the blob."""
    kind = request.headers.get("Content-Type", "")
    if kind.partition(";")[0].strip().lower() != "multipart/form-data":
        raise InvalidRequest(
            f"Unsupported content type: '{kind}'. This API method only accepts 'multipart/form-data' requests, but you "
            f"specified the header 'Content-Type: {kind}'. Please try again with a supported content type.",
            code="unsupported_content_type",
        )
    handler = _IntoStorage(field, most)
    try:
        yield _read(request, handler)
    except BaseException:
        handler.forget()
        raise


def _read(request: HttpRequest, handler: _IntoStorage) -> Form:
    # The parser asks only whether there is a length; a body sent in chunks has none.
    meta = {**request.META, "CONTENT_LENGTH": request.META.get("CONTENT_LENGTH") or "1"}
    try:
        posted, _ = _Parser(meta, request, [handler], "utf-8").parse()
    except RequestDataTooBig:
        raise rest.too_large() from None
    except (MultiPartParserError, SuspiciousOperation, RawPostDataException, UnreadablePostError):
        raise _broken() from None
    if handler.is_broken:
        raise _broken()
    for name in posted:
        if "\x00" in name + "".join(posted.getlist(name)):
            raise grammar.unstorable().under(name)
        if len(posted.getlist(name)) > 1:
            raise grammar.duplicate(name)
    if handler.stored is None:
        if handler.field in posted:
            raise InvalidRequest(f"'{handler.field}' must be a file, with a filename.", param=handler.field)
        raise InvalidRequest(f"'{handler.field}' is a required property", param=handler.field)
    texts = {str(name): str(posted[name]) for name in posted}
    return Form(texts, handler.filename, handler.stored)
