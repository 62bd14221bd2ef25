"""Speech as text, by the provider's `/audio/transcriptions`."""

from pathlib import Path

from django.conf import settings

from vector_stores import upstream
from vector_stores.extraction import CannotExtract

WHAT = "transcription service"


def transcribe(tenant_id: str, path: Path, filename: str) -> str:
    """What is said in the sound file; `CannotExtract` says why it cannot be told."""
    with open(path, "rb") as sound:
        answer = upstream.post(
            tenant_id,
            "audio/transcriptions",
            WHAT,
            settings.TRANSCRIPTION_MODEL,
            files={"file": (filename, sound)},
            data={"response_format": "json"},
        )
    text = answer.get("text")
    if not isinstance(text, str):
        raise CannotExtract("server_error", f"The {WHAT} gave no text.")
    return text
