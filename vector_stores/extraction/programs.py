"""Tesseract and ffmpeg: other people's programs, used where they are installed."""

import functools
import shutil
import subprocess
from pathlib import Path

from vector_stores.extraction.documents import CannotExtract
from vector_stores.extraction.limits import die_with_parent

TESSERACT_MISSING = "Reading text in pictures needs Tesseract, which is not installed on this server."
FFMPEG_MISSING = "Reading video, and sound of more than 25 MB, needs ffmpeg, which is not installed on this server."


def missing_tools() -> list[str]:
    """A sentence for the operator about each program that is not installed."""
    sentences = []
    if shutil.which("tesseract") is None:
        sentences.append(
            "Tesseract is not installed, so pictures and scanned pages are not read (Debian, Ubuntu: apt-get install "
            "tesseract-ocr tesseract-ocr-chi-sim tesseract-ocr-jpn)."
        )
    if shutil.which("ffmpeg") is None:
        sentences.append(
            "ffmpeg is not installed, so video and sound of more than 25 MB are not transcribed (Debian, Ubuntu: "
            "apt-get install ffmpeg)."
        )
    return sentences


def run(arguments: list[str]) -> bytes | None:
    """What the program says; None when it fails. For child processes only: their limits hold for it too."""
    ended = subprocess.run(
        arguments,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        preexec_fn=die_with_parent,  # a child process has one thread, so this is safe
        check=False,
    )
    return ended.stdout if ended.returncode == 0 else None


@functools.cache
def _installed_languages() -> frozenset[str]:
    listed = run(["tesseract", "--list-langs"]) or b""
    return frozenset(listed.decode("utf-8", "replace").split("\n")[1:])


def languages_of(wanted: str) -> str:
    """Those of the wanted languages that Tesseract has here, as it wants them told."""
    if shutil.which("tesseract") is None:
        raise CannotExtract("unsupported_file", TESSERACT_MISSING)
    installed = [name for name in wanted.split("+") if name in _installed_languages()]
    if not installed:
        raise CannotExtract(
            "unsupported_file", f"Reading text in pictures needs Tesseract's languages {wanted}; none is installed."
        )
    return "+".join(installed)


def recognise(picture: Path, languages: str) -> str:
    """The text that Tesseract sees in a picture file."""
    said = run(["tesseract", str(picture), "stdout", "-l", languages])
    return (said or b"").decode("utf-8", "replace")
