import base64
import random
import struct
import zlib

import pytest
from PIL import Image

from runs.pictures import MAX_BYTES, MAX_SIDE, Kept, NoPicture, data_url_of
from runs.tests.drawing import drawn, encoded, noise, opened, scrambled

TOO_MANY_PIXELS = "It has more than 50 megapixels."
FORMATS = {"PNG": "image/png", "JPEG": "image/jpeg", "GIF": "image/gif", "WEBP": "image/webp"}


def refused(content: bytes) -> str:
    with pytest.raises(NoPicture) as caught:
        data_url_of(content)
    return caught.value.reason


def png_of_size(width: int, height: int) -> bytes:
    """A PNG that claims this size; there are no pixels in it."""
    size = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [size, b"IDAT" + zlib.compress(b""), b"IEND"]
    told = [struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(told)


@pytest.mark.parametrize("format", FORMATS)
def test_a_usual_picture_is_sent_as_it_is(format: str) -> None:
    content = drawn(format)
    assert data_url_of(content) == f"data:{FORMATS[format]};base64,{base64.b64encode(content).decode()}"


@pytest.mark.parametrize("format", FORMATS)
def test_a_picture_that_is_too_wide_is_made_smaller(format: str) -> None:
    picture = opened(data_url_of(encoded(Image.new("RGB", (3_000, 1_500), (200, 10, 10)), format)))
    assert picture.size == (MAX_SIDE, MAX_SIDE // 2)
    red, green, blue = picture.convert("RGB").getpixel((5, 5))  # type: ignore[misc]
    assert abs(red - 200) < 4
    assert abs(green - 10) < 4
    assert abs(blue - 10) < 4


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_a_picture_of_too_many_bytes_is_made_smaller(mode: str) -> None:
    content = encoded(noise(2_048, 2_048, mode))
    assert len(content) > MAX_BYTES
    picture = opened(url := data_url_of(content))
    assert len(url) * 3 // 4 <= MAX_BYTES + 100
    assert max(picture.size) <= MAX_SIDE
    assert picture.format == ("PNG" if mode == "RGBA" else "JPEG")


def test_one_can_still_see_through_it() -> None:
    image = Image.new("P", (3_000, 10), 1)
    image.putpalette([255, 0, 0, 0, 255, 0])
    picture = opened(data_url_of(encoded(image, "PNG", transparency=1)))
    assert picture.size == (2_048, 7)
    assert picture.convert("RGBA").getchannel("A").getextrema() == (0, 0)


def test_grey_of_16_bits_keeps_its_shades() -> None:
    image = Image.new("I;16", (3_000, 10), 0x4000)
    assert opened(data_url_of(encoded(image))).convert("L").getpixel((0, 0)) == 0x40


def test_what_stood_upright_still_does() -> None:
    notes = Image.Exif()
    notes[0x0112] = 6  # the camera was turned by 90 degrees
    content = encoded(Image.new("RGB", (3_000, 1_000)), "JPEG", exif=notes)
    assert opened(data_url_of(content)).size == (683, 2_048)


def test_only_the_first_picture_of_many_is_made_smaller() -> None:
    frames = [Image.new("RGB", (2_100, 4), color) for color in ("red", "blue")]
    content = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert opened(data_url_of(content)).convert("RGB").getpixel((0, 0))[0] > 250  # type: ignore[index]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "It is not a png, jpeg, gif or webp image."),
        (b"hello", "It is not a png, jpeg, gif or webp image."),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "It is not a png, jpeg, gif or webp image."),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "It is not a png, jpeg, gif or webp image."),
        (encoded(noise(8, 8), "BMP"), "It is not a png, jpeg, gif or webp image."),
        (encoded(noise(8, 8), "TIFF"), "It is not a png, jpeg, gif or webp image."),
        (drawn("PNG", 100)[:5_000], "It is broken."),
        (drawn("JPEG", 100)[:1_000], "It is broken."),
        (drawn("WEBP", 100)[:1_000], "It is broken."),
        (png_of_size(8_000, 8_000), TOO_MANY_PIXELS),
        (png_of_size(10_000, 10_000), TOO_MANY_PIXELS),
        (png_of_size(2**31 - 1, 2**31 - 1), TOO_MANY_PIXELS),
        (png_of_size(100, 100), "It is broken."),
    ],
)
def test_what_cannot_be_shown(content: bytes, reason: str) -> None:
    assert refused(content) == reason


@pytest.mark.parametrize("format", FORMATS)
def test_broken_in_any_way_it_is_shown_or_refused(format: str) -> None:
    """Never another exception, and what is shown is a picture."""
    chance = random.Random(format)
    whole = drawn(format, 64)
    reasons = []
    for _ in range(300):
        try:
            opened(data_url_of(scrambled(whole, chance))).load()
        except NoPicture as refusal:
            reasons.append(refusal.reason)
    assert len(reasons) > 50
    assert set(reasons) <= {"It is broken.", "It is not a png, jpeg, gif or webp image.", TOO_MANY_PIXELS}


def test_pictures_are_kept_up_to_a_size() -> None:
    kept = Kept(1_000)
    for name in "abc":
        kept.put(name, name * 300)
    assert kept.get("a") == "a" * 300
    kept.put("d", "d" * 300)  # 1,204 bytes: the one that was not asked for goes
    assert [name for name in "abcd" if kept.get(name)] == ["a", "c", "d"]
    kept.put("e", "e" * 2_000)
    assert kept.bytes == 0
    assert not any(kept.get(name) for name in "abcde")


def test_why_there_is_no_picture_is_kept_for_a_while() -> None:
    kept = Kept(1_000)
    kept.put("a", NoPicture("It is broken."), seconds=60)
    kept.put("b", NoPicture("It is broken."), seconds=-1)
    found = kept.get("a")
    assert isinstance(found, NoPicture)
    assert found.reason == "It is broken."
    assert kept.get("b") is None
    kept.put("a", "x")
    assert kept.get("a") == "x"
    assert kept.bytes == 2


def test_a_picture_of_nearly_50_megapixels_is_made_smaller() -> None:
    content = encoded(Image.new("L", (7_000, 7_000), 9), "JPEG")
    assert opened(data_url_of(content)).size == (MAX_SIDE, MAX_SIDE)
