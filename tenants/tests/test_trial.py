"""What an operator is told of a provider that is tried."""

import io
import socket
import threading
from collections.abc import Iterator
from contextlib import closing

import pytest
from django.core.management import CommandError, call_command

from assistant_site.llm.tests.quirk_server import Answer, QuirkServer, Request, answering, refusing, said
from tenants import trial
from tenants.models import Provider

KEY = "sk-tongue-twister"
LISTED = {"data": [{"id": "text-embedding-3-small"}, {"id": "qwen3:32b"}, {"id": "gpt-4o"}]}
EMBEDDED = {"data": [{"index": 0, "embedding": [0.1, 0.2, 0.3]}]}


class Serving:
    """A provider that answers each kind of call in its own way."""

    def __init__(self, chat: Answer, models: Answer | None = None, embedding: Answer | None = None) -> None:
        self.answers = {
            "/v1/models": models or answering(LISTED),
            "/v1/chat/completions": chat,
            "/v1/embeddings": embedding or answering(EMBEDDED),
        }

    def __call__(self, request: Request) -> Answer:
        return self.answers[request.path]


def provider(url: str, **fields: object) -> Provider:
    made = Provider(name="tried", base_url=url, embedding_model="off")
    for name, value in fields.items():
        setattr(made, name, value)
    made.set_api_key(KEY)
    return made


def test_a_provider_that_serves(db: None) -> None:
    with QuirkServer(Serving(said("O", "K"))) as server:
        tried = provider(server.base_url, embedding_model="bge-m3", model_names=["qwen*"])
        outcome = trial.try_provider(tried)
        assert outcome.is_ok
        assert [part.name for part in outcome.parts] == ["models", "chat", "embedding"]
        assert (outcome.model, outcome.models[-1]) == ("qwen3:32b", "gpt-4o")
        told = [part.told for part in outcome.parts]
        assert told[0] == "It lists 3 models: text-embedding-3-small, qwen3:32b, gpt-4o."
        assert told[1].startswith("qwen3:32b said 'OK'; its first words came after")
        assert told[2] == "bge-m3 gives vectors of 3 dimensions."
        assert server.requests[1].body["stream"] is True

        tried.save()
        out = io.StringIO()
        call_command("try_provider", "tried", model="gpt-4o", stdout=out)
        assert "ok     chat" in out.getvalue()
        assert "gpt-4o said 'OK'" in out.getvalue()
        server.script[:] = [refusing(401, message=f"Incorrect API key provided: {KEY}")]
        with pytest.raises(CommandError, match="does not serve"):
            call_command("try_provider", tried.pk, stdout=out)
        assert KEY not in out.getvalue()


@pytest.mark.parametrize(
    ("serving", "told"),
    [
        (refusing(401, message=f"Incorrect API key: {KEY}"), "It refuses the key."),
        (refusing(429, "insufficient_quota"), "quota or credit is used up"),
        (Serving(refusing(429)), "its rate limit is reached"),
        (Serving(refusing(404, "model_not_found")), "It does not know the model qwen3:32b."),
        (refusing(404), "Does the address end in /v1?"),
        (answering(b"<html>", headers={"content-type": "text/html"}), "Does the address end in /v1?"),
        (refusing(301, location="https://elsewhere/v1"), "redirects to another one"),
        (Serving(refusing(500, message=f"Broken by {KEY}.")), "It failed (HTTP 500)"),
        (Serving(said("OK", finish="")), "Its answer broke off."),
    ],
)
def test_what_to_do_about_each_failure(serving: Answer | Serving, told: str) -> None:
    with QuirkServer(serving) as server:
        outcome = trial.try_provider(provider(server.base_url))
    assert not outcome.is_ok
    assert told in outcome.parts[-1].told
    assert KEY not in str(outcome)


def test_a_provider_that_cannot_stream() -> None:
    whole = answering({"choices": [{"message": {"content": "OK"}, "finish_reason": "stop"}]})

    def script(request: Request) -> Answer:
        if request.path == "/v1/models":
            return answering(LISTED)
        return refusing(400, message="stream is not supported") if request.body["stream"] else whole

    with QuirkServer(script) as server:
        outcome = trial.try_provider(provider(server.base_url))
    assert '{"stream": "false"}' in outcome.parts[-1].told


@pytest.fixture
def no_tls() -> Iterator[int]:
    """The port of a server that hangs up on whoever says hello."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:

        def serve() -> None:
            while True:
                try:
                    met, _ = server.accept()
                except OSError:
                    return
                with met:
                    met.recv(1_024)
                    met.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1]


def test_a_provider_that_is_not_there(no_tls: int, monkeypatch: pytest.MonkeyPatch) -> None:
    cases = {
        "http://127.0.0.1:9/v1": "Nobody answers at this address.",
        "http://no-such-host.invalid/v1": "There is no host of this name.",
        f"https://127.0.0.1:{no_tls}/v1": "speaks no TLS",
    }
    for url, told in cases.items():
        assert told in trial.try_provider(provider(url), "m").parts[-1].told
    monkeypatch.setattr(trial, "TRIAL_SECONDS", 0.3)
    with QuirkServer(Answer(before=60.0)) as server:
        assert "did not answer in time" in trial.try_provider(provider(server.base_url), "m").parts[-1].told
