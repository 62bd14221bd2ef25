"""Text in pictures and scanned pages: by Tesseract, by a vision model, or not at all."""

import io
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from vector_stores.extraction import CannotExtract, Document, Options, extract, missing_tools
from vector_stores.tests.extraction import hostile, samples

WORDS = "Invoice number 4711 total 99.50"
HAS_TESSERACT = pytest.mark.skipif(shutil.which("tesseract") is None, reason="Tesseract is not installed here.")

Read = Callable[..., Document]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    def read(data: bytes, filename: str, **options: Any) -> Document:
        path = tmp_path / "blob"
        path.write_bytes(data)
        return extract(path, filename, Options(**options))

    return read


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PATH with nothing in it but what the test puts there."""
    folder = tmp_path / "programs"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


def pretend_tesseract(folder: Path, says: str) -> None:
    """A program that has English and Chinese, and tells the languages it was asked for before what it sees."""
    program = folder / "tesseract"
    program.write_text(
        "#!/bin/sh\n"
        'if [ "$1" = --list-langs ]; then echo "List of available languages (2):"; echo chi_sim; echo eng; exit; fi\n'
        f'echo "[$4]"; echo "{says}"\n'
    )
    program.chmod(0o755)


def refusal(read: Read, data: bytes, filename: str, **options: Any) -> CannotExtract:
    with pytest.raises(CannotExtract) as refused:
        read(data, filename, **options)
    return refused.value


@HAS_TESSERACT
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP"])
def test_a_picture_is_read_whatever_its_name(read: Read, kind: str) -> None:
    document = read(samples.picture(kind, WORDS), "wrong-name.txt", ocr_languages="eng")
    assert document.text == WORDS + "\n"
    assert document.pages[0].number == 1


@HAS_TESSERACT
def test_a_picture_on_a_clear_ground_is_read(read: Read) -> None:
    clear = Image.new("RGBA", (900, 160), (0, 0, 0, 0))
    ink = samples.drawn(WORDS).convert("L").point(lambda value: 255 - value)
    clear.paste((0, 0, 0, 255), (0, 0), ink)
    file = io.BytesIO()
    clear.save(file, "PNG")
    assert read(file.getvalue(), "a.png", ocr_languages="eng").text == WORDS + "\n"


@HAS_TESSERACT
def test_the_pages_of_a_tiff_and_of_a_scanned_pdf_are_read(read: Read) -> None:
    pages = ["First page 111", "Second page 222"]
    tiff = samples.picture("TIFF", pages[0], save_all=True, append_images=[samples.drawn(pages[1])])
    for data, name in ((tiff, "a.tiff"), (samples.scanned_pdf(pages), "a.pdf")):
        document = read(data, name, ocr_languages="eng")
        assert document.text == "First page 111\n\fSecond page 222\n"
        assert [page.number for page in document.pages] == [1, 2]


@HAS_TESSERACT
def test_a_picture_without_text_says_so(read: Read) -> None:
    refused = refusal(read, samples.picture("PNG", ""), "blank.png", ocr_languages="eng")
    assert refused.code == "invalid_file"
    assert "no text" in refused.message


def test_an_animation_of_thousands_of_pictures_is_read_by_its_first(read: Read, programs: Path) -> None:
    pretend_tesseract(programs, "seen")
    frames = [Image.new("P", (4, 4), number % 2) for number in range(3000)]
    file = io.BytesIO()
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:])
    assert read(file.getvalue(), "a.gif").text == "[chi_sim+eng]\nseen\n".replace("chi_sim+eng", "eng+chi_sim")


def test_only_installed_languages_are_asked_for_and_blanks_between_characters_go(read: Read, programs: Path) -> None:
    pretend_tesseract(programs, "租 约 在 春 天 ， total 5 euro か な")
    text = read(samples.picture("PNG", WORDS), "a.png", ocr_languages="eng+jpn+chi_sim").text
    assert text == "[eng+chi_sim]\n租约在春天， total 5 euro かな\n"
    refused = refusal(read, samples.picture("PNG", WORDS), "a.png", ocr_languages="jpn+kor")
    assert refused.code == "unsupported_file"
    assert "jpn+kor" in refused.message


def test_without_tesseract_the_reason_names_it_and_broken_pictures_are_still_broken(read: Read, programs: Path) -> None:
    refused = refusal(read, samples.picture("PNG", WORDS), "a.png")
    assert refused.code == "unsupported_file"
    assert "Tesseract" in refused.message
    assert "Tesseract" in refusal(read, samples.scanned_pdf([WORDS]), "a.pdf").message
    assert refusal(read, hostile.cut(samples.picture("PNG", WORDS)), "a.png").code == "invalid_file"
    assert [sentence.split()[0] for sentence in missing_tools()] == ["Tesseract", "ffmpeg"]


def test_a_scanned_pdf_of_many_pages_is_refused_rather_than_read_in_part(read: Read, programs: Path) -> None:
    pretend_tesseract(programs, "seen by Tesseract")
    scanned = samples.scanned_pdf([WORDS] * 4)
    assert read(scanned, "a.pdf", max_ocr_pages=4).text.count("seen by") == 4
    refused = refusal(read, scanned, "a.pdf", max_ocr_pages=3)
    assert refused.code == "invalid_file"
    assert "4 scanned pages; 3 are allowed" in refused.message


def test_blank_pages_and_pages_with_text_are_not_looked_at(read: Read, programs: Path) -> None:
    pretend_tesseract(programs, "seen by Tesseract")
    document = read(samples.pdf_of(["A page with enough of text on it.", "", "no"]), "a.pdf")
    first, blank, short = document.text.split("\f")
    assert (first, blank) == ("A page with enough of text on it.", "")
    assert "seen by Tesseract" in short


def test_reading_pictures_can_be_turned_off(read: Read, programs: Path) -> None:
    pretend_tesseract(programs, "seen")
    for options in ({"image_text": "off"}, {"ocr": False}):
        refused = refusal(read, samples.picture("PNG", WORDS), "a.png", **options)
        assert refused.code == "unsupported_file"
        assert "turned off" in refused.message
        assert "turned off" in refusal(read, samples.scanned_pdf([WORDS]), "a.pdf", **options).message


def test_a_vision_model_gets_a_small_picture_and_its_words_are_the_text(read: Read, programs: Path) -> None:
    given: list[tuple[bytes, str]] = []

    def describe(data: bytes, mime_type: str) -> str:
        given.append((data, mime_type))
        return "A pump,\r\nseen from above."

    wide = Image.new("RGB", (6000, 1500), "white")
    file = io.BytesIO()
    wide.save(file, "TIFF")
    document = read(file.getvalue(), "pump.tiff", image_text="vision", describe_image=describe)
    assert document == Document("A pump,\nseen from above.\n", markdown=False)
    ((data, mime_type),) = given
    assert mime_type == "image/png"
    assert Image.open(io.BytesIO(data)).size == (2048, 512)


def test_a_photo_goes_to_the_vision_model_as_jpeg(read: Read) -> None:
    photo = Image.frombytes("RGB", (2048, 1200), hostile.noise(2048 * 1200 * 3))
    file = io.BytesIO()
    photo.save(file, "BMP")
    types: list[str] = []

    def describe(data: bytes, mime_type: str) -> str:
        types.append(mime_type)
        return str(Image.open(io.BytesIO(data)).format)

    assert read(file.getvalue(), "photo.bmp", image_text="vision", describe_image=describe).text == "JPEG\n"
    assert types == ["image/jpeg"]


def test_a_vision_models_failure_passes_through_and_a_broken_picture_never_reaches_it(read: Read) -> None:
    def fail(data: bytes, mime_type: str) -> str:
        raise ConnectionError("the provider is down")

    with pytest.raises(ConnectionError):
        read(samples.picture("PNG", WORDS), "a.png", image_text="vision", describe_image=fail)
    broken = hostile.cut(samples.picture("PNG", WORDS))
    assert refusal(read, broken, "a.png", image_text="vision", describe_image=fail).code == "invalid_file"
    assert "vision model" in refusal(read, samples.picture("PNG", WORDS), "a.png", image_text="vision").message
    silent = refusal(read, samples.picture("PNG", ""), "a.png", image_text="vision", describe_image=lambda *_: " ")
    assert silent.code == "invalid_file"
