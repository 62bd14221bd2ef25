"""Pictures for tests."""

import base64
import io
import random
from typing import Any

from PIL import Image


def noise(width: int, height: int, mode: str = "RGB") -> Image.Image:
    """A picture that no format can make small; the same one every time."""
    bands = len(Image.new(mode, (1, 1)).getbands())
    return Image.frombytes(mode, (width, height), random.Random(width).randbytes(width * height * bands))


def encoded(image: Image.Image, format: str = "PNG", **options: Any) -> bytes:
    content = io.BytesIO()
    image.save(content, format, **options)
    return content.getvalue()


def drawn(format: str = "PNG", size: int = 8) -> bytes:
    return encoded(noise(size, size), format)


def scrambled(content: bytes, chance: random.Random) -> bytes:
    """The same with some bytes changed, and sometimes cut off."""
    changed = bytearray(content)
    for _ in range(chance.randrange(1, 20)):
        changed[chance.randrange(len(changed))] = chance.randrange(256)
    if chance.random() < 0.3:
        del changed[chance.randrange(len(changed)) :]
    return bytes(changed)


def opened(data_url: str) -> Image.Image:
    head, _, data = data_url.partition(";base64,")
    image = Image.open(io.BytesIO(base64.b64decode(data, validate=True)))
    assert head == f"data:{image.get_format_mimetype()}"
    return image
