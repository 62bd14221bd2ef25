"""Several releases of the page at once, as while an upgrade is rolled out: each release's files are kept in Valkey.

The page comes from one web process, its modules from whichever the proxy asks. With the other release that one would
not have them, and the page would stay empty. So a process that serves the page leaves its files in Valkey, and one that
is asked for files of another release looks there. What is kept is signed: Valkey alone can put no script into a page.
"""

import gzip
import hashlib
import hmac
import logging
import re
import threading
import time
from typing import TYPE_CHECKING, Any

from django.conf import settings

from assistant_site import valkey

if TYPE_CHECKING:
    from assistant_site.playground.assets import Front

logger = logging.getLogger(__name__)

KEPT_SECONDS = 24 * 3_600  # after the page was last loaded from a process of its release
_AGAIN_SECONDS = 3_600
_DIGEST = re.compile(r"[0-9a-f]{20}")
_GZIPPED = b"\x1f\x8b"
_SIGNATURE_BYTES = 32

_lock = threading.Lock()
_kept_at: dict[str, float] = {}


def keep(front: "Front") -> None:
    """Leaves the files for others, at most once an hour. Without Valkey nothing is left."""
    now = time.monotonic()
    with _lock:
        if now - _kept_at.get(front.digest, -_AGAIN_SECONDS) < _AGAIN_SECONDS:
            return
        _kept_at[front.digest] = now
    packed = {name: asset.zipped or asset.data for name, asset in front.files.items()}
    signed: dict[Any, Any] = {name: _signature(front.digest, name, data) + data for name, data in packed.items()}
    try:
        with valkey.blocking().pipeline(transaction=False) as told:
            told.hset(_key(front.digest), mapping=signed)
            told.expire(_key(front.digest), KEPT_SECONDS)
            told.execute()
    except (valkey.Failed, OSError) as error:
        logger.warning("The playground's files are not kept for other releases: %s", error)
        with _lock:
            _kept_at.pop(front.digest, None)


def kept(digest: str, name: str) -> bytes | None:
    """A file of another release, if one of its processes has left it."""
    if not _DIGEST.fullmatch(digest):
        return None
    try:
        found = valkey.blocking().hget(_key(digest), name)
    except (valkey.Failed, OSError):
        return None
    if not isinstance(found, bytes):
        return None
    signature, data = found[:_SIGNATURE_BYTES], found[_SIGNATURE_BYTES:]
    if not hmac.compare_digest(signature, _signature(digest, name, data)):
        logger.error("What Valkey has of the playground's file %s was not left by this installation.", name)
        return None
    return gzip.decompress(data) if data.startswith(_GZIPPED) else data


def _key(digest: str) -> str:
    return f"holdfast:playground:front:{digest}"


def _signature(digest: str, name: str, data: bytes) -> bytes:
    key = hashlib.sha256(f"playground front {settings.SECRET_KEY}".encode()).digest()
    return hmac.digest(key, f"{digest} {name} ".encode() + data, "sha256")
