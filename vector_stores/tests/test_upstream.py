"""Speech and pictures as text, by the tenant's provider."""

import base64
from pathlib import Path
from typing import Any

import pytest

from assistant_site.llm.tests.quirk_server import QuirkServer, answering
from assistant_site.tests.callers import LocalCaller
from tenants.models import Provider
from vector_stores import transcription, upstream, vision
from vector_stores.extraction import CannotExtract


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upstream, "PAUSE_SECONDS", 0)


@pytest.fixture
def sound(tmp_path: Path) -> Path:
    file = tmp_path / "speech"
    file.write_bytes(b"RIFF....")
    return file


def said(content: Any) -> Any:
    return answering({"choices": [{"index": 0, "message": {"role": "assistant", "content": content}}]})


def test_speech_goes_to_the_transcription_endpoint(alice: LocalCaller, sound: Path) -> None:
    with QuirkServer(answering({"text": "Hello there."})) as provider:
        alice.provided_by(provider.base_url)
        assert transcription.transcribe(alice.tenant.pk, sound, "speech.wav") == "Hello there."
        [request] = provider.requests
    assert request.path.endswith("/audio/transcriptions")
    assert request.headers["authorization"].startswith("Bearer ")
    assert b'filename="speech.wav"' in request.body
    assert b"RIFF...." in request.body
    assert b"whisper-1" in request.body


def test_a_picture_goes_to_the_model_that_sees(alice: LocalCaller, settings: Any) -> None:
    settings.VISION_MODEL = "sees"
    with QuirkServer(said(" STOP \n")) as provider:
        alice.provided_by(provider.base_url)
        assert vision.describe(alice.tenant.pk, b"picture", "image/png") == "STOP"
        body = provider.requests[0].body
    assert body["model"] == "sees"
    url = body["messages"][0]["content"][1]["image_url"]["url"]
    assert url == f"data:image/png;base64,{base64.b64encode(b'picture').decode()}"


@pytest.mark.parametrize(
    ("status", "code", "asked"), [(404, "unsupported_file", 1), (400, "invalid_file", 1), (503, "server_error", 3)]
)
def test_refusals_say_what_is_missing_and_nothing_of_the_provider(
    alice: LocalCaller, sound: Path, status: int, code: str, asked: int
) -> None:
    with QuirkServer(answering({"error": {"message": "at http://10.0.0.1"}}, status)) as provider:
        alice.provided_by(provider.base_url)
        with pytest.raises(CannotExtract) as refused:
            transcription.transcribe(alice.tenant.pk, sound, "speech.wav")
        assert len(provider.requests) == asked
    assert refused.value.code == code
    assert "transcription service" in refused.value.message
    assert "10.0.0.1" not in refused.value.message


def test_a_second_try_may_succeed(alice: LocalCaller, sound: Path) -> None:
    with QuirkServer(answering({}, 503), answering({"text": "Hello."})) as provider:
        alice.provided_by(provider.base_url)
        assert transcription.transcribe(alice.tenant.pk, sound, "speech.wav") == "Hello."


@pytest.mark.parametrize("body", [{}, {"choices": []}, {"error": {"message": "x"}}, b"<html>", {"choices": [{}]}])
def test_answers_without_a_text(alice: LocalCaller, body: Any) -> None:
    with QuirkServer(answering(body)) as provider:
        alice.provided_by(provider.base_url)
        with pytest.raises(CannotExtract) as refused:
            vision.describe(alice.tenant.pk, b"picture", "image/png")
    assert refused.value.code == "server_error"


def test_nobody_listens(alice: LocalCaller, sound: Path) -> None:
    alice.provided_by("http://127.0.0.1:9/v1")
    with pytest.raises(CannotExtract) as refused:
        transcription.transcribe(alice.tenant.pk, sound, "speech.wav")
    assert (refused.value.code, refused.value.message) == (
        "server_error",
        "The transcription service did not answer.",
    )


@pytest.mark.parametrize("status", [200, 401])
def test_a_key_that_the_provider_repeats_is_not_logged(
    alice: LocalCaller, sound: Path, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    with QuirkServer(answering({"error": {"message": "Incorrect API key: tongue-twister."}}, status)) as provider:
        alice.provided_by(provider.base_url)
        own = Provider.objects.get(tenant=alice.tenant)
        own.set_api_key("tongue-twister")
        own.save()
        with pytest.raises(CannotExtract):
            transcription.transcribe(alice.tenant.pk, sound, "speech.wav")
    assert "Incorrect API key" in caplog.text
    assert "tongue-twister" not in caplog.text
