"""A picture's bytes into a data URL that vision models take: of a known format, whole, and of bounded size."""

import base64
import io
import threading
import time
from collections import OrderedDict

from PIL import Image, ImageOps, UnidentifiedImageError

MEGABYTE = 1024 * 1024
MAX_BYTES = 5 * MEGABYTE
MAX_SIDE = 2_048
MAX_PIXELS = 50_000_000
SMALLER_SIDES = (MAX_SIDE, 1_536, 1_024, 512)  # at the last one any picture has less than MAX_BYTES
JPEG_QUALITY = 85

MEDIA_TYPES = {"PNG": "image/png", "JPEG": "image/jpeg", "GIF": "image/gif", "WEBP": "image/webp"}
# Cameras put a second picture behind the first one; who does not know of it sees a plain JPEG.
MEDIA_TYPES["MPO"] = "image/jpeg"


class NoPicture(Exception):
    """`reason` is a sentence for the model and for whoever sent the bytes."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def data_url_of(content: bytes) -> str:
    """The picture as it is, or made smaller if it is too large; raises `NoPicture`.

    What the bytes are is seen from the bytes. Their size in pixels is judged before they are unpacked.
    """
    try:
        with Image.open(io.BytesIO(content), formats=("PNG", "JPEG", "GIF", "WEBP")) as image:
            if image.width * image.height > MAX_PIXELS:
                raise _too_many_pixels()
            if len(content) > MAX_BYTES or max(image.size) > MAX_SIDE:
                return _smaller(image)
            image.load()  # a provider would refuse the whole prompt for a picture that breaks off
            return _data_url(MEDIA_TYPES[str(image.format)], content)
    except UnidentifiedImageError:
        raise NoPicture("It is not a png, jpeg, gif or webp image.") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise _too_many_pixels() from None
    except NoPicture:
        raise
    except Exception as error:  # a broken file leads the decoders to raise almost anything
        raise NoPicture("It is broken.") from error


def _data_url(media_type: str, content: bytes) -> str:
    return f"data:{media_type};base64,{base64.b64encode(content).decode('ascii')}"


def _too_many_pixels() -> NoPicture:
    return NoPicture(f"It has more than {MAX_PIXELS // 1_000_000} megapixels.")


def _smaller(image: Image.Image) -> str:
    """The picture (of several, the first) as JPEG, or as PNG where one can see through it."""
    see_through = image.has_transparency_data
    image.draft("RGB", (MAX_SIDE, MAX_SIDE))  # lets a JPEG be unpacked at a fraction of its size
    if image.mode.startswith("I"):  # 16 bits of grey, which `convert` would cut off instead of scaling
        image = image.convert("I").point([value // 256 for value in range(65_536)], "L")
    image = image.convert("RGBA" if see_through else "RGB")
    for side in SMALLER_SIDES:
        image.thumbnail((side, side))
        content = io.BytesIO()
        # The pixels are turned as the camera was, because the note that says so is not kept.
        upright = ImageOps.exif_transpose(image)
        if see_through:
            upright.save(content, "PNG")
        else:
            upright.save(content, "JPEG", quality=JPEG_QUALITY)
        if content.tell() <= MAX_BYTES:
            break
    return _data_url("image/png" if see_through else "image/jpeg", content.getvalue())


class Kept:
    """Data URLs by a key, or why there is none; what was not asked for the longest time goes first.

    One process's memory, because a thread's pictures are sent again with every turn: losing it costs time only.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.bytes = 0
        self._kept: OrderedDict[str, tuple[str | NoPicture, float]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: str) -> str | NoPicture | None:
        with self._lock:
            found = self._kept.get(key)
            if found is None:
                return None
            picture, until = found
            if until < time.monotonic():
                self._forget(key)
                return None
            self._kept.move_to_end(key)
            return picture

    def put(self, key: str, picture: str | NoPicture, seconds: float = float("inf")) -> None:
        with self._lock:
            if key in self._kept:
                self._forget(key)
            self._kept[key] = (picture, time.monotonic() + seconds)
            self.bytes += _weight(key, picture)
            while self.bytes > self.max_bytes:
                self._forget(next(iter(self._kept)))

    def _forget(self, key: str) -> None:
        picture, _ = self._kept.pop(key)
        self.bytes -= _weight(key, picture)


def _weight(key: str, picture: str | NoPicture) -> int:
    return len(key) + (len(picture) if isinstance(picture, str) else 200)
