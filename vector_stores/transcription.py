"""Speech as text, by the provider's `/audio/transcriptions`."""

from pathlib import Path

from django.conf import settings

from vector_stores import upstream
from vector_stores.extraction import CannotExtract

WHAT = "transcription service"
ANSWER_TOKENS = 1_000  # for the tenant's budgets; what was used is only counted if the service says it


def transcribe(tenant_id: str, path: Path, filename: str) -> str:
    """What is said in the sound file; `CannotExtract` says why it cannot be told."""
    with open(path, "rb") as sound:
        answer = upstream.post(
            tenant_id,
            "audio/transcriptions",
            WHAT,
            model=settings.TRANSCRIPTION_MODEL,
            prompt=0,
            completion=ANSWER_TOKENS,
            files={"file": (filename, sound)},
            data={"response_format": "json"},
        )
    text = answer.get("text")
    if not isinstance(text, str):
        raise CannotExtract("server_error", f"The {WHAT} gave no text.")
    return text
