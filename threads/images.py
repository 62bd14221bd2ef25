"""Images of messages: files that a model can be shown."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import PurePath
from typing import Any

from assistant_site.wire.errors import InvalidRequest, NotFound
from files.models import File, Purpose
from threads.serializers import IMAGE_EXTENSIONS

PURPOSES = (Purpose.VISION, Purpose.ASSISTANTS, Purpose.USER_DATA, Purpose.ASSISTANTS_OUTPUT)


def image_files_of(messages: Iterable[Mapping[str, Any]]) -> list[str]:
    """The ids of the files that these validated messages show as images, each once, in their order."""
    return list(dict.fromkeys(part["image_file"]["file_id"] for part in _image_files(messages)))


def check_images(messages: Iterable[Mapping[str, Any]], files: Mapping[str, File]) -> None:
    """Refuses a message with an image that is not in `files` (the tenant's own, by their ids) or is no image."""
    for part in _image_files(messages):
        file = files.get(part["image_file"]["file_id"])
        if file is None:
            raise NotFound.of(File.wire_noun, part["image_file"]["file_id"])
        if file.purpose not in PURPOSES:
            raise _refused(f"file purpose to be one of: {', '.join(PURPOSES)} but got {file.purpose}")
        extension = PurePath(file.filename).suffix.lower()
        if extension not in IMAGE_EXTENSIONS:
            supported = ", ".join(IMAGE_EXTENSIONS)
            raise _refused(f"file type to be a supported format: {supported} but got {extension or 'none'}")


def _image_files(messages: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    for message in messages:
        yield from (part for part in message["content"] if part["type"] == "image_file")


def _refused(expectation: str) -> InvalidRequest:
    return InvalidRequest(f"Invalid message content: Expected {expectation}", code="invalid_image_format")
