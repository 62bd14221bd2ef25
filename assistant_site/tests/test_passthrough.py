"""What is handed on to the provider, and what of its answers is not handed back."""

import json
from typing import Any

import pytest
import requests

from assistant_site.llm.tests.quirk_server import CUT, Answer, QuirkServer, answering, refusing, streaming
from assistant_site.tests.callers import LiveCaller

CHAT = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}


def test_bodies_go_through_as_they_are(lena: LiveCaller) -> None:
    body = {**CHAT, "unknown": {"a": [1, None, "ü"]}, "temperature": 0.30000000000000004}
    answer = {"id": "x", "choices": [], "extra": "kept", "ü": 1}
    with QuirkServer(answering(answer, headers={"x-ratelimit-remaining-requests": "7"})) as provider:
        lena.provided_by(provider.base_url)
        got = lena.send("POST", "/v1/chat/completions", body)
        lena.send("POST", "/v1/embeddings", {"model": "e", "input": "x"})
        first, second = provider.requests
    assert got.body == answer
    assert got.headers["x-ratelimit-remaining-requests"] == "7"
    assert got.headers["x-request-id"].startswith("req_")
    assert first.body == body
    assert (first.path, second.path) == ("/v1/chat/completions", "/v1/embeddings")
    assert lena.token not in str(first.headers)


def test_streams_come_as_they_are_and_at_once(lena: LiveCaller) -> None:
    chunks = [{"n": number} for number in range(3)]
    answer = streaming(*chunks)
    first, *rest = [piece for piece in answer.pieces if isinstance(piece, bytes)]
    with QuirkServer(Answer((first, 1.0, *rest))) as provider:
        lena.provided_by(provider.base_url)
        with requests.post(
            f"{lena.base_url}/chat/completions",
            json={**CHAT, "stream": True},
            headers={"Authorization": f"Bearer {lena.token}"},
            stream=True,
            timeout=10,
        ) as response:
            assert response.headers["content-type"].startswith("text/event-stream")
            pieces = response.iter_content(None)
            assert next(pieces) == first  # long before the rest
            assert b"".join(pieces) == b"".join(rest)


@pytest.mark.parametrize(
    ("answer", "status", "message", "code"),
    [
        (refusing(400, "bad", "No such thing."), 400, "No such thing.", "bad"),
        (refusing(429, "rate_limit_exceeded", "Slow down."), 429, "Slow down.", "rate_limit_exceeded"),
        (refusing(401, message="Incorrect API key provided: sk-operator."), 401, "credential", None),
        (refusing(500, message="dial tcp 10.1.2.3:8000: refused"), 500, "went wrong", None),
        (answering(b"<html>Bad gateway</html>", 502, {"content-type": "text/html"}), 502, "went wrong", None),
    ],
)
def test_errors_keep_their_status_and_lose_our_secrets(
    lena: LiveCaller, answer: Answer, status: int, message: str, code: str | None
) -> None:
    with QuirkServer(answer) as provider:
        lena.provided_by(provider.base_url)
        refused = lena.send("POST", "/v1/chat/completions", CHAT)
    assert refused.status == status
    assert message in refused.error["message"]
    assert refused.error["code"] == code
    assert set(refused.error) == {"message", "type", "param", "code"}
    assert "sk-operator" not in str(refused.body)
    assert "10.1.2.3" not in str(refused.body)


def test_a_provider_that_is_not_there(lena: LiveCaller) -> None:
    lena.provided_by("http://127.0.0.1:1/v1")
    for method, path, body in (("POST", "chat/completions", CHAT), ("GET", "models", None), ("GET", "models/m", None)):
        refused = lena.call(method, path, body)
        assert refused.status == 503
        assert refused.error["message"] == "The model provider could not be reached. Please try again later."


def test_a_stream_that_breaks_says_so(lena: LiveCaller) -> None:
    with QuirkServer(Answer((b'data: {"n": 1}\n\n', CUT))) as provider:
        lena.provided_by(provider.base_url)
        raw = requests.post(
            f"{lena.base_url}/chat/completions",
            json={**CHAT, "stream": True},
            headers={"Authorization": f"Bearer {lena.token}"},
            timeout=10,
        ).content
    last: Any = json.loads(raw.strip().split(b"\n\n")[-1].removeprefix(b"data: "))
    assert last["error"]["type"] == "server_error"


def test_models_have_the_fields_clients_expect(lena: LiveCaller) -> None:
    listed = {"data": [{"id": "a/b:c", "object": "model", "permission": []}, {"id": "d", "created": 5}]}
    with QuirkServer(answering(listed)) as provider:
        lena.provided_by(provider.base_url)
        assert lena.get("models")["data"] == [
            {"id": "a/b:c", "object": "model", "created": 0, "owned_by": "provider"},
            {"id": "d", "object": "model", "created": 5, "owned_by": "provider"},
        ]
        assert lena.get("models/a%2Fb:c")["id"] == "a/b:c"
        missing = lena.get("models/nothing")
    assert (missing.status, missing.error["code"], missing.error["param"]) == (404, "model_not_found", "model")
    assert missing.error["message"] == "The model 'nothing' does not exist"


def test_a_body_that_is_too_large(lena: LiveCaller) -> None:
    refused = lena.send("POST", "/v1/threads", {"metadata": {"k": "x" * (33 * 1024 * 1024)}})
    assert refused.status == 413
    assert "at most 32 MB" in refused.error["message"]
