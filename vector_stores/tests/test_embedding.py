"""Texts into vectors over HTTP: which server and model, and what servers may do."""

import base64
import json
import math
import struct
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from assistant_site.demo.embedding import embed
from assistant_site.tests.callers import new_tenant
from metering import budgets
from metering.calls import Metered
from tenants import routes
from tenants.models import Provider, Tenant
from vector_stores import embedding, vectors
from vector_stores.embedding import Embedder, EmbeddingFailed, wanted_model
from vector_stores.tests.embedding_server import Answer, EmbeddingServer, answer, embeddings


@pytest.fixture
def embedder(embedding_server: EmbeddingServer, tenant: Tenant) -> Embedder:
    found = wanted_model(tenant.pk)
    assert found is not None
    return found


@pytest.fixture
def tenant(db: None) -> Tenant:
    return new_tenant("Emma")[0]


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Nobody waits; the pauses that would have been made are kept."""
    pauses: list[float] = []
    monkeypatch.setattr(time, "sleep", pauses.append)
    return pauses


# --- Which model -----------------------------------------------------------------------------------------------------


def test_without_a_provider_search_is_by_words_unless_a_model_is_named(tenant: Tenant, settings: Any) -> None:
    assert wanted_model(tenant.pk) is None
    settings.EMBEDDING_MODEL = "demo"
    found = wanted_model(tenant.pk)
    assert found is not None
    assert (found.model, found.endpoint.base_url) == ("demo", settings.DEMO_BASE_URL)


def test_a_tenants_provider_embeds_with_its_own_model_or_the_usual_one(tenant: Tenant) -> None:
    provider = Provider.objects.create(tenant=tenant, name="mine", base_url="https://models.example/v1")
    provider.set_api_key("sk-mine")
    provider.save()
    found = wanted_model(tenant.pk)
    assert found is not None
    assert (found.model, found.endpoint.base_url) == ("text-embedding-3-small", "https://models.example/v1")
    assert found.endpoint.api_key == "sk-mine"
    assert "sk-mine" not in repr(found)

    Provider.objects.filter(pk=provider.pk).update(embedding_model="bge-m3")
    routes.forget()
    again = wanted_model(tenant.pk)
    assert again is not None
    assert again.model == "bge-m3"

    Provider.objects.filter(pk=provider.pk).update(embedding_model="off")
    routes.forget()
    assert wanted_model(tenant.pk) is None


def test_off_means_off_for_everybody(tenant: Tenant, settings: Any) -> None:
    Provider.objects.create(tenant=tenant, name="mine", base_url="https://models.example/v1", embedding_model="bge-m3")
    settings.EMBEDDING_MODEL = "off"
    assert wanted_model(tenant.pk) is None
    settings.EMBEDDING_BASE_URL = "https://embeddings.example/v1"
    assert wanted_model(tenant.pk) is None


def test_the_operators_server_goes_before_the_providers(tenant: Tenant, settings: Any) -> None:
    Provider.objects.create(tenant=tenant, name="mine", base_url="https://models.example/v1", embedding_model="bge-m3")
    settings.EMBEDDING_BASE_URL, settings.EMBEDDING_API_KEY = "https://embeddings.example/v1", "key"
    found = wanted_model(tenant.pk)
    assert found is not None
    assert (found.endpoint.base_url, found.endpoint.api_key) == ("https://embeddings.example/v1", "key")
    assert found.model == "text-embedding-3-small"


def test_a_store_of_a_former_model_is_asked_with_that_model(
    embedding_server: EmbeddingServer, tenant: Tenant, settings: Any
) -> None:
    former = embedding.embedder_of(tenant.pk, "old-model@64")
    assert former is not None
    assert vectors.dimension_of(former.embed_query("hello")) == 64
    assert (embedding_server.asked[0]["model"], embedding_server.asked[0]["dimensions"]) == ("old-model", 64)
    assert embedding.embedder_of(tenant.pk, "") is None


def test_shortened_vectors_are_another_model(embedding_server: EmbeddingServer, tenant: Tenant, settings: Any) -> None:
    settings.EMBEDDING_DIMENSIONS = 32
    found = wanted_model(tenant.pk)
    assert found is not None
    assert found.model == "test-model@32"
    assert len(found.embed(["a"])[0]) == 32
    assert embedding_server.asked[0]["model"] == "test-model"


# --- What is sent and what comes back --------------------------------------------------------------------------------


def test_texts_go_out_in_batches_and_come_back_as_unit_vectors(
    embedder: Embedder, embedding_server: EmbeddingServer, settings: Any
) -> None:
    settings.EMBEDDING_PASSAGE_PREFIX = "passage:"
    texts = [f"text number {number}" for number in range(150)]
    found = embedder.embed(texts)
    assert [len(body["input"]) for body in embedding_server.asked] == [64, 64, 22]
    assert embedding_server.asked[0]["encoding_format"] == "float"
    assert embedding_server.asked[0]["input"][0] == "passage: text number 0"
    for text, vector in zip(texts, found, strict=True):
        assert vector == pytest.approx(embed(f"passage: {text}"))
        assert math.hypot(*vector) == pytest.approx(1)
    assert embedder.embed([]) == []


def test_long_texts_make_small_batches(embedder: Embedder, embedding_server: EmbeddingServer) -> None:
    embedder.embed(["word " * 2_000] * 5)  # some 2,860 tokens each
    assert [len(body["input"]) for body in embedding_server.asked] == [2, 2, 1]


def turned(body: dict[str, Any]) -> Answer:
    return answer({"data": list(reversed(json.loads(embeddings(body)[2])["data"]))})


def without_order(body: dict[str, Any]) -> Answer:
    data = json.loads(embeddings(body)[2])["data"]
    return answer({"data": [{**each, "index": 0} for each in data]})


def packed(body: dict[str, Any]) -> Answer:
    data = [
        {"index": at, "embedding": base64.b64encode(struct.pack("<256f", *embed(text))).decode()}
        for at, text in enumerate(body["input"])
    ]
    return answer({"data": data})


def ten_times_as_long(body: dict[str, Any]) -> Answer:
    return answer(
        {"data": [{"index": at, "embedding": [10 * v for v in embed(t)]} for at, t in enumerate(body["input"])]}
    )


@pytest.mark.parametrize("reply", [turned, without_order, packed, ten_times_as_long])
def test_vectors_may_come_in_any_order_packing_and_length(
    reply: Callable[[dict[str, Any]], Answer], embedder: Embedder, embedding_server: EmbeddingServer
) -> None:
    embedding_server.reply = reply
    found = embedder.embed(["one", "two", "three"])
    assert found == [pytest.approx(embed(text), abs=1e-6) for text in ("one", "two", "three")]


def test_a_batch_that_is_too_large_is_halved_and_a_text_that_is_too_long_is_cut(
    embedder: Embedder, embedding_server: EmbeddingServer
) -> None:
    def picky(body: dict[str, Any]) -> Answer:
        if len(body["input"]) > 2:
            return answer({"error": {"message": "batch too large"}}, 413)
        if max(map(len, body["input"])) > 1_000:
            return answer({"error": {"message": "input is too long for this model"}}, 400)
        return embeddings(body)

    embedding_server.reply = picky
    texts = ["short", "a", "b", "word " * 600]
    found = embedder.embed(texts)
    assert found[:3] == [pytest.approx(embed(text)) for text in texts[:3]]
    assert found[3] == pytest.approx(embed(("word " * 600)[:750]))


def test_a_server_that_is_busy_is_asked_again_after_the_pause_it_wants(
    embedder: Embedder, embedding_server: EmbeddingServer, no_pauses: list[float]
) -> None:
    embedding_server.then(answer({}, 429, Retry_After="7"), answer(b"<html>", 502), answer({}, 503))
    assert len(embedder.embed(["a"])[0]) == 256
    assert len(embedding_server.asked) == 4
    assert no_pauses[0] == 7
    assert 0 < no_pauses[1] < no_pauses[2] * 4


@pytest.mark.parametrize(
    ("given", "said", "transient"),
    [
        (answer({"error": {"message": "bad key sk-abcdefgh"}}, 401), "refused the server's credential", False),
        (answer({"error": {"message": "no such route"}}, 404), "no such route", False),
        (answer({"error": {"code": "insufficient_quota", "message": "pay"}}, 429), "exceeded your current quota", True),
        (answer(b"<html>welcome</html>"), "not an OpenAI-compatible endpoint", False),
        (answer({"data": []}), "gave 0 vectors for 1 texts", False),
        (answer({}), "gave no vectors", False),
        (answer({"data": [{"index": 0, "embedding": [0.1] * 4_096}]}), "4,096 dimensions", False),
        (answer({"data": [{"index": 0, "embedding": []}]}), "0 dimensions", False),
        (answer({"data": [{"index": 0, "embedding": "%%"}]}), "cannot be read", False),
        (answer({"data": [{"index": 0, "embedding": ["x"]}]}), "cannot be read", False),
        (answer({"data": [{"index": 0, "embedding": None}]}), "cannot be read", False),
        (answer({"data": [{"index": 0, "embedding": [1e300, 1e300]}]}), "not finite", False),
        (answer({"error": {"message": "the input is wrong"}}, 400), "refused with status 400", False),
    ],
)
def test_a_failure_says_what_is_wrong_and_whether_it_may_pass(
    given: Answer, said: str, transient: bool, embedder: Embedder, embedding_server: EmbeddingServer
) -> None:
    embedding_server.reply = lambda body: given
    with pytest.raises(EmbeddingFailed) as raised:
        embedder.embed(["a"])
    assert said in raised.value.message
    assert raised.value.transient is transient
    assert "sk-" not in raised.value.message


def test_vectors_of_different_dimensions_are_refused(embedder: Embedder, embedding_server: EmbeddingServer) -> None:
    embedding_server.reply = lambda body: answer(
        {"data": [{"index": at, "embedding": [1.0] * (at + 1)} for at in range(len(body["input"]))]}
    )
    with pytest.raises(EmbeddingFailed, match="different dimensions"):
        embedder.embed(["a", "b"])


def test_a_server_without_embeddings_is_not_asked_at_each_search(
    embedder: Embedder, embedding_server: EmbeddingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    embedding_server.reply = lambda body: answer({"error": {"message": "no such route"}}, 404)
    for _ in range(3):
        with pytest.raises(EmbeddingFailed, match="no such route"):
            embedder.embed_query("hello")
    assert len(embedding_server.asked) == 1

    embedding_server.reply = embeddings
    later = time.monotonic() + embedding.FAILURE_KEPT_SECONDS
    monkeypatch.setattr(time, "monotonic", lambda: later + 1)
    assert embedder.embed_query("hello")


def test_a_text_that_is_refused_does_not_close_the_server_for_others(
    embedder: Embedder, embedding_server: EmbeddingServer
) -> None:
    embedding_server.then(answer({"error": {"message": "cannot embed this"}}, 400))
    with pytest.raises(EmbeddingFailed):
        embedder.embed(["a"])
    assert embedder.embed(["b"])


def test_a_server_that_is_gone_is_a_failure_that_may_pass(tenant: Tenant, settings: Any) -> None:
    embedding.forget()
    settings.EMBEDDING_BASE_URL = "http://127.0.0.1:1/v1"
    found = wanted_model(tenant.pk)
    assert found is not None
    with pytest.raises(EmbeddingFailed, match="could not be reached") as raised:
        found.embed(["a"])
    assert raised.value.transient
    embedding.forget()


def test_the_same_query_is_embedded_once(embedder: Embedder, embedding_server: EmbeddingServer, settings: Any) -> None:
    settings.EMBEDDING_QUERY_PREFIX = "query:"
    assert embedder.embed_query("hello") == embedder.embed_query("hello") != embedder.embed_query("goodbye")
    assert [body["input"] for body in embedding_server.asked] == [["query: hello"], ["query: goodbye"]]


def test_threads_share_the_client(
    embedder: Embedder, embedding_server: EmbeddingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The test's transaction is not theirs.
    monkeypatch.setattr(budgets, "has_budgets", lambda tenant_id: False)
    monkeypatch.setattr(Metered, "settle", lambda *given: None)
    found: dict[int, list[list[float]]] = {}

    def work(number: int) -> None:
        found[number] = embedder.embed([f"text {number}"])

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(found[number][0] == pytest.approx(embed(f"text {number}")) for number in range(8))
