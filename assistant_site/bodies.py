"""Request bodies: how large each may be, who may send a large one, and where it waits until it is read.

A body may have MAX_BODY_MB; a file or a part of an upload may have more, if a valid token came with it: a stranger must
not be able to fill the disk. Whoever receives a body (daphne in `bounds`, `handler` for any other server) asks here.
"""

import logging
import re
import tempfile
from dataclasses import dataclass
from typing import IO

from django.conf import settings
from django.db import DatabaseError

from assistant_site.wire import rest
from assistant_site.wire.errors import Unavailable, WireError
from files.api import FileListView
from tenants import auth

logger = logging.getLogger(__name__)
EXTENSION = "holdfast.body"  # in an ASGI scope's `extensions`: a `Body` that did not come through `receive`
FORM_BYTES = 1024 * 1024  # what a form may have around its file
_FILE = re.compile(r"/(api/)?v1/files")
_PART = re.compile(r"/(api/)?v1/uploads/[^/]+/parts")


@dataclass(frozen=True)
class Body:
    """A body that the server has received whole, or why it was not kept."""

    file: IO[bytes]
    refused: WireError | None = None


def most_of(method: str, path: str) -> int:
    """How many bytes the body of a request to this path may have, if its token is valid."""
    if method == "POST" and _FILE.fullmatch(path):
        return max(settings.MAX_FILE_BYTES + FORM_BYTES, settings.MAX_BODY_BYTES)
    if method == "POST" and _PART.fullmatch(path):
        return max(settings.MAX_PART_BYTES + FORM_BYTES, settings.MAX_BODY_BYTES)
    return settings.MAX_BODY_BYTES


def too_large(most: int) -> WireError:
    """The refusal of a body beyond this limit, which came from `most_of`."""
    if most > settings.MAX_BODY_BYTES:
        return rest.too_large(most - FORM_BYTES, "file")
    return rest.too_large()


def refusal(authorization: str, address: str) -> WireError | None:
    """Why whoever sends this `Authorization` from there may send no large body; None if they may. One look-up."""
    try:
        FileListView.check_caller(auth.caller_of({"Authorization": authorization}, address), "POST")
    except WireError as error:
        return error
    except DatabaseError:
        return Unavailable("The server's database cannot be reached at the moment. Please try again.")
    return None


def waiting_file() -> IO[bytes]:
    """A file without a name in the installation's own folder: /tmp may be memory."""
    settings.BODIES_DIR.mkdir(parents=True, exist_ok=True)
    return tempfile.TemporaryFile(dir=settings.BODIES_DIR)


def cannot_wait(error: OSError) -> WireError:
    """What is told when a body cannot be kept on the disk."""
    logger.error(
        "A request body cannot be kept in %s (%s): free some space there, give the server's user the right to write, "
        "or set HOLDFAST_VAR to another folder.",
        settings.BODIES_DIR,
        error.strerror or error,
    )
    return Unavailable("The server has no room for a request of this size at the moment. Please try again.")
