"""Sound and film become the words that the provider hears, in pieces that it takes."""

import io
import shutil
import subprocess
import wave
from pathlib import Path
from typing import Any

import pytest

from vector_stores.extraction import CannotExtract, Document, Options, extract, reading
from vector_stores.tests.extraction import samples

HAS_FFMPEG = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg is not installed here.")


class Listener:
    """A transcription that notes what it was given."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, int, bytes]] = []

    def __call__(self, path: Path, filename: str) -> str:
        self.heard.append((filename, path.stat().st_size, path.read_bytes()[:4]))
        return f"words of piece {len(self.heard)}\r\n"


@pytest.fixture
def listener() -> Listener:
    return Listener()


def extracted(tmp_path: Path, data: bytes, filename: str, **options: Any) -> Document:
    path = tmp_path / "blob"
    path.write_bytes(data)
    return extract(path, filename, Options(**options))


def refusal(tmp_path: Path, data: bytes, filename: str, **options: Any) -> CannotExtract:
    with pytest.raises(CannotExtract) as refused:
        extracted(tmp_path, data, filename, **options)
    return refused.value


def film(folder: Path, *, sound: bool, kind: str = "mp4") -> bytes:
    made = folder / f"made.{kind}"
    source = ["-f", "lavfi", "-i", "testsrc=size=64x64:rate=5:duration=2"]
    if sound:
        source += ["-f", "lavfi", "-i", "sine=duration=2"]
    subprocess.run(["ffmpeg", "-v", "error", *source, "-y", str(made)], check=True)
    return made.read_bytes()


def mpeg(frames: int) -> bytes:
    """Frames of silence: MPEG 1, layer 3, 128 kbit/s, 44.1 kHz."""
    return (b"\xff\xfb\x90\x00" + bytes(413)) * frames


@pytest.mark.parametrize(
    ("filename", "data"),
    [("talk.wav", samples.wav()), ("talk.mp3", mpeg(20)), ("talk.mp3", b"ID3\x03\0\0\0\0\0\x0a" + bytes(10) + mpeg(9))],
)
def test_small_sound_is_sent_as_it_is(tmp_path: Path, listener: Listener, filename: str, data: bytes) -> None:
    document = extracted(tmp_path, data, filename, transcribe=listener)
    assert document == Document("words of piece 1\n", markdown=False)
    assert listener.heard == [(filename, len(data), data[:4])]


def test_without_a_transcription_model_the_reason_says_so(tmp_path: Path) -> None:
    refused = refusal(tmp_path, samples.wav(), "talk.wav")
    assert refused.code == "unsupported_file"
    assert "transcription model" in refused.message


def test_silence_and_a_failing_provider(tmp_path: Path) -> None:
    silent = refusal(tmp_path, samples.wav(), "talk.wav", transcribe=lambda path, filename: " \n")
    assert silent.code == "invalid_file"

    def fail(path: Path, filename: str) -> str:
        raise ConnectionError("the provider is down")

    with pytest.raises(ConnectionError):
        extracted(tmp_path, samples.wav(), "talk.wav", transcribe=fail)


def test_without_ffmpeg_film_and_large_sound_name_it(
    tmp_path: Path, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    whole = b"\0\0\0\x10ftypisom\0\0\0\0" + b"\0\0\0\x08moov"
    refused = refusal(tmp_path, whole, "film.mp4", transcribe=listener)
    assert refused.code == "unsupported_file"
    assert "ffmpeg" in refused.message
    monkeypatch.setattr(reading, "SENT_BYTES", 1000)
    assert "ffmpeg" in refusal(tmp_path, samples.wav(), "talk.wav", transcribe=listener).message
    assert listener.heard == []


@HAS_FFMPEG
@pytest.mark.parametrize("kind", ["mp4", "mov", "webm"])
def test_the_sound_of_a_film_is_sent_as_mp3(tmp_path: Path, listener: Listener, kind: str) -> None:
    document = extracted(tmp_path, film(tmp_path, sound=True, kind=kind), f"film.{kind}", transcribe=listener)
    assert document.text == "words of piece 1\n"
    ((filename, size, start),) = listener.heard
    assert filename == "piece-000.mp3"
    assert 5000 < size < 30_000
    assert start[:3] == b"ID3" or start[0] == 0xFF


@HAS_FFMPEG
def test_a_film_without_sound_has_no_text(tmp_path: Path, listener: Listener) -> None:
    refused = refusal(tmp_path, film(tmp_path, sound=False), "film.mp4", transcribe=listener)
    assert refused.code == "invalid_file"
    assert "no sound" in refused.message
    assert listener.heard == []


@pytest.mark.slow
@HAS_FFMPEG
def test_long_sound_is_cut_into_pieces_of_twenty_minutes(
    tmp_path: Path, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "SENT_BYTES", 1000)
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(1)
        sound.setframerate(4000)
        sound.writeframes(bytes([128]) * 4000 * 1300)
    document = extracted(tmp_path, file.getvalue(), "talk.wav", transcribe=listener)
    assert document.text == "words of piece 1\nwords of piece 2\n"
    assert [name for name, _, _ in listener.heard] == ["piece-000.mp3", "piece-001.mp3"]
    assert all(size < 8_000_000 for _, size, _ in listener.heard)


@HAS_FFMPEG
def test_a_film_that_is_a_list_of_addresses_opens_none_of_them(tmp_path: Path, listener: Listener) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(samples.wav())
    listing = f"#EXTM3U\n#EXTINF:10,\nfile://{secret}\n#EXT-X-ENDLIST\n".encode()
    disguised = b"\0\0\0\x10ftypisom\0\0\0\0" + (8 + len(listing)).to_bytes(4, "big") + b"moov" + listing
    assert refusal(tmp_path, listing, "film.mp4", transcribe=listener).code == "invalid_file"
    assert refusal(tmp_path, disguised, "film.mp4", transcribe=listener).code == "invalid_file"
    assert listener.heard == []
