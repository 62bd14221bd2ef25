"""What the engine promises, held against the fake with every `make test` and against the real R2R with `make r2r`."""

import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import orjson
import pytest
from pytest_django.fixtures import Settings

from assistant_site.tests.callers import LocalCaller
from assistant_site.tests.stack import free_port
from vector_stores import r2r, searching
from vector_stores.models import Chunk, StoreFile, VectorStore
from vector_stores.r2r import delivery, errors
from vector_stores.r2r.connection import Call, Session, Tokens, session_of
from vector_stores.r2r.documents import Catalog, document_id_of
from vector_stores.tests.r2r import real
from vector_stores.tests.r2r.fake import FakeR2R
from vector_stores.tests.r2r.rows import Text, bring, keep_passages, new_file, new_store

pytestmark = pytest.mark.slow

REAL = pytest.param("real", marks=pytest.mark.r2r)
real_only = pytest.mark.parametrize("running", [REAL], indirect=True)  # the fake is never slow

RECIPES = ["Whisk three eggs with sugar", "Melt butter in a small pan", "Bake the cake for an hour"]
PLANETS = ["Jupiter is the largest planet", "Saturn has rings of ice", "火星是太阳系的第四颗行星"]


@dataclass
class Server:
    """An R2R that runs, and what tests do to it."""

    running: "FakeR2R | real.RealR2R"

    def set_embeddings(self, *, down: bool) -> None:
        if isinstance(self.running, FakeR2R):
            self.running.embeddings_are_down = down
        else:
            self.running.embeddings.is_down = down


@pytest.fixture(scope="module", params=["fake", REAL])
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    if request.param == "fake":
        with FakeR2R() as fake:
            yield Server(fake)
        return
    if not real.is_installed():
        pytest.skip("R2R is not installed: make r2r installs it")
    with real.RealR2R(tmp_path_factory.mktemp("r2r")) as started:
        yield Server(started)


@pytest.fixture
def server(running: Server, settings: Settings, db: None) -> Server:
    """Everybody's R2R."""
    settings.R2R_BASE_URL = running.running.base_url
    settings.R2R_USERNAME, settings.R2R_PASSWORD = running.running.username, running.running.password
    return running


@pytest.fixture
def store(server: Server, alice: LocalCaller) -> VectorStore:
    return new_store(alice.tenant)


def catalog_of(store: VectorStore) -> Catalog:
    configured = r2r.configured(store.tenant_id)
    assert configured
    return Catalog(configured.account)


def session_for(store: VectorStore) -> Session:
    return session_of(catalog_of(store).account)


def texts_kept_of(store_file: StoreFile) -> list[str]:
    """What R2R has of a file, in no order."""
    return sorted(catalog_of(store_file.vector_store).texts_of(document_id_of(store_file.pk)))


def found(store: VectorStore, query: str, files: list[str] | None = None) -> list[tuple[str, int]]:
    return [(store_file, position) for store_file, position, _ in r2r.search([store], files, query, 20)]


def test_a_passage_is_found_at_its_position_with_a_score_between_0_and_1(store: VectorStore) -> None:
    recipes = bring(store, RECIPES)
    bring(store, PLANETS)

    hits = r2r.search([store], None, "butter in a pan", 2)

    assert hits[0][:2] == (recipes.pk, 1)
    assert 0.5 < hits[0][2] <= 1
    assert len(hits) == 2
    assert hits[1][2] < hits[0][2]


def test_a_search_of_the_api_comes_from_r2r_and_while_it_is_down_from_the_words(
    store: VectorStore, settings: Settings
) -> None:
    recipes, _ = bring(store, RECIPES), bring(store, PLANETS, "planets.md")
    StoreFile.objects.of(store.tenant).filter(pk=recipes.pk).update(attributes={"kind": "recipe"})

    hits = searching.search([store], ["butter in a pan"], limit=2)
    assert (hits[0].filename, hits[0].text, hits[0].position) == ("notes.txt", RECIPES[1], 1)
    by_attribute = {"type": "eq", "key": "kind", "value": "recipe"}
    hits = searching.search([store], ["Saturn has rings"], limit=10, filters=by_attribute)
    assert {hit.store_file_id for hit in hits} == {recipes.pk}

    settings.R2R_BASE_URL = f"http://127.0.0.1:{free_port()}"
    hits = searching.search([store], ["butter in a pan"], limit=2)
    assert hits[0].text == RECIPES[1]


def test_chinese_is_found(store: VectorStore) -> None:
    bring(store, RECIPES)
    planets = bring(store, PLANETS)
    assert found(store, "火星 行星")[0] == (planets.pk, 2)


def test_many_passages_keep_their_positions(store: VectorStore) -> None:
    store_file = bring(store, [f"passage number{n} of many" for n in range(60)])
    for position in (0, 31, 59):
        assert found(store, f"number{position}")[0] == (store_file.pk, position)


def test_a_text_that_stands_twice_is_found_at_both_positions(store: VectorStore) -> None:
    store_file = bring(store, ["the same words", "something else", "the same words"])
    assert sorted(found(store, "the same words")[:2]) == [(store_file.pk, 0), (store_file.pk, 2)]


def test_white_space_and_quotes_arrive_as_they_are(store: VectorStore) -> None:
    texts = ['  a "quoted" line\n\n\tand & another = %41 + one  ', "naïve — 😀"]
    store_file = bring(store, texts)
    assert texts_kept_of(store_file) == sorted(texts)
    assert {position for _, position in found(store, "quoted")} == {0, 1}


def test_hybrid_scores_are_between_0_and_1_too(store: VectorStore, settings: Settings) -> None:
    settings.R2R_HYBRID_SEARCH = True
    recipes = bring(store, RECIPES)
    hits = r2r.search([store], None, "butter pan", 3)
    assert hits[0][:2] == (recipes.pk, 1)
    assert 0.9 < hits[0][2] <= 1
    assert all(0 <= score <= 1 for _, _, score in hits)


def test_a_file_of_three_megabytes_is_taken(store: VectorStore) -> None:
    texts = ["needle" if n == 678 else "hay 草料 " * 200 for n in range(1_000)]
    assert len(orjson.dumps(texts)) > 2_000_000
    store_file = bring(store, texts)
    assert found(store, "needle")[0] == (store_file.pk, 678)


def test_only_the_given_files_are_searched(store: VectorStore) -> None:
    recipes, planets = bring(store, RECIPES), bring(store, PLANETS)
    assert {file for file, _ in found(store, "butter", [planets.pk])} == {planets.pk}
    assert {file for file, _ in found(store, "butter", [planets.pk, recipes.pk])} == {planets.pk, recipes.pk}
    assert found(store, "butter", []) == []


def test_an_empty_store_and_an_empty_query_find_nothing(store: VectorStore) -> None:
    assert found(store, "butter") == []
    bring(store, RECIPES)
    assert found(store, " \n") == []


def test_the_limit_is_the_setting_when_none_is_given(store: VectorStore, settings: Settings) -> None:
    bring(store, RECIPES)
    settings.R2R_SEARCH_LIMIT = 2
    assert len(r2r.search([store], None, "butter")) == 2
    assert len(r2r.search([store], None, "butter", 1)) == 1
    assert len(r2r.search([store], None, "butter", 100_000)) == 3


def test_stores_and_tenants_do_not_see_each_other(store: VectorStore, bob: LocalCaller) -> None:
    other, bobs = new_store(store.tenant), new_store(bob.tenant)
    mine, others, his = bring(store, RECIPES), bring(other, RECIPES), bring(bobs, RECIPES)

    assert {file for file, _ in found(store, "butter")} == {mine.pk}
    assert {file for file, _ in found(bobs, "butter")} == {his.pk}
    both = {file for file, _, _ in r2r.search([store, other], None, "butter", 20)}
    assert both == {mine.pk, others.pk}
    # Not even when somebody names the file: the store it is asked for is not his.
    assert found(bobs, "butter", [mine.pk]) == []


def test_what_is_gone_here_is_not_found_there(store: VectorStore) -> None:
    recipes = bring(store, RECIPES)
    Chunk.objects.of(store.tenant).filter(store_file_id=recipes.pk, position=1).delete()
    assert sorted(position for _, position in found(store, "butter")) == [0, 2]


def test_bringing_a_file_twice_doubles_nothing(store: VectorStore) -> None:
    recipes = bring(store, RECIPES)
    r2r.put(recipes, "notes.txt", [Text(text) for text in RECIPES])
    assert texts_kept_of(recipes) == sorted(RECIPES)


def test_a_removed_file_is_gone_and_may_be_removed_again(store: VectorStore) -> None:
    recipes, planets = bring(store, RECIPES), bring(store, PLANETS)
    r2r.remove_file(store.pk, recipes.pk, tenant_id=store.tenant_id)
    r2r.remove_file(store.pk, recipes.pk, tenant_id=store.tenant_id)
    assert {file for file, _ in found(store, "butter")} == {planets.pk}
    assert catalog_of(store).document(document_id_of(recipes.pk)) is None


def test_a_removed_store_takes_its_documents_along_but_not_those_of_others(store: VectorStore) -> None:
    catalog = catalog_of(store)
    mine = [bring(store, RECIPES) for _ in range(3)]
    collection_id = catalog.collection_of(store.pk)
    somebody_elses = str(uuid4())
    put_by_hand(catalog, somebody_elses, ["not ours"], collection_id)

    assert {file for file, _ in found(store, "not ours")} == {each.pk for each in mine}
    r2r.remove_store(store.pk, tenant_id=store.tenant_id)
    r2r.remove_store(store.pk, tenant_id=store.tenant_id)

    assert catalog.collection_of(store.pk) is None
    assert [catalog.document(document_id_of(each.pk)) for each in mine] == [None, None, None]
    assert catalog.document(somebody_elses) is not None
    assert found(store, "butter") == []


def put_by_hand(catalog: Catalog, document_id: str, texts: list[str], collection_id: str | None) -> None:
    form = {
        "id": document_id,
        "chunks": orjson.dumps(texts).decode(),
        "collection_ids": orjson.dumps([collection_id]).decode(),
        "metadata": "{}",
    }
    catalog.session.call(Call("POST", "/documents", form=form))


def test_embeddings_that_fail_are_no_fault_of_file_or_question(store: VectorStore, server: Server) -> None:
    recipes = bring(store, RECIPES)
    planets = new_file(store, PLANETS)
    server.set_embeddings(down=True)
    try:
        with pytest.raises(r2r.R2RFailed) as put:
            r2r.put(planets, "notes.txt", [Text(text) for text in PLANETS])
        with pytest.raises(r2r.R2RFailed) as search:
            found(store, "butter")
    finally:
        server.set_embeddings(down=False)

    for failed in (put.value, search.value):
        assert failed.transient
        assert failed.message == errors.EMBEDDINGS_DOWN
    assert "Error getting embeddings" in put.value.detail
    assert "HTTP 400 R2RException" in search.value.detail  # whose words may quote the question
    # The failed document is in the way of nothing.
    r2r.put(planets, "notes.txt", [Text(text) for text in PLANETS])
    assert texts_kept_of(planets) == sorted(PLANETS)
    assert found(store, "Saturn rings")[0] == (planets.pk, 1)
    assert found(store, "butter")[0] == (recipes.pk, 1)


def test_a_token_that_ended_is_refreshed_and_else_a_login_made(store: VectorStore) -> None:
    bring(store, RECIPES)
    session = session_for(store)
    first = session._tokens
    assert first

    session._tokens = Tokens("ended", first.refresh)
    assert len(found(store, "butter")) == 3
    second = session._tokens
    assert second is not None
    assert second.access not in ("ended", first.access)

    session._tokens = Tokens("ended", first.refresh)  # a refresh token works once
    assert len(found(store, "butter")) == 3
    assert session._tokens is not None
    assert session._tokens.access not in ("ended", first.access, second.access)


def test_a_wrong_password_is_a_clear_state(store: VectorStore, settings: Settings) -> None:
    recipes = bring(store, RECIPES)
    settings.R2R_PASSWORD = "wrong"
    with pytest.raises(r2r.R2RFailed) as refused:
        found(store, "butter")
    assert (refused.value.message, refused.value.transient) == (errors.LOGIN_REFUSED, True)
    server = r2r.configured(store.tenant_id)
    assert server
    assert server.health() == "R2R refuses the login. Check its user and password (R2R_USERNAME, R2R_PASSWORD)."
    with pytest.raises(r2r.R2RFailed):
        r2r.remove_file(store.pk, recipes.pk, tenant_id=store.tenant_id)


def test_a_server_that_is_down_loses_nothing(store: VectorStore, server: Server) -> None:
    recipes = bring(store, RECIPES)
    planets = new_file(store, PLANETS)
    configured = r2r.configured(store.tenant_id)
    assert configured
    assert configured.health() == "ok"

    server.running.stop()
    try:
        with pytest.raises(r2r.R2RFailed) as search:
            found(store, "butter")
        with pytest.raises(r2r.R2RFailed) as put:
            r2r.put(planets, "notes.txt", [Text(text) for text in PLANETS])
        down = configured.health()
    finally:
        server.running.start()

    assert down == "R2R does not answer. Check that it runs and that its address (R2R_BASE_URL) is right."
    for failed in (search.value, put.value):
        assert (failed.message, failed.transient) == (errors.UNREACHABLE, True)
        assert configured.account.base_url not in failed.message
    r2r.put(planets, "notes.txt", [Text(text) for text in PLANETS])
    assert found(store, "butter")[0] == (recipes.pk, 1)
    assert found(store, "Saturn rings")[0] == (planets.pk, 1)


def test_a_file_for_r2rs_own_parsers(store: VectorStore, tmp_path: Path) -> None:
    path = tmp_path / "blob"
    path.write_text("".join(f"Sentence number{n} about nothing at all. " for n in range(200)))
    store_file = new_file(store, [])

    texts = r2r.put_native(store_file, path, "notes.txt")

    assert len(texts) > 3
    assert texts[0].startswith("Sentence number0 ")
    assert "number199" in texts[-1]
    keep_passages(store_file, texts)
    hits = found(store, "number199")
    assert sorted(position for _, position in hits) == list(range(len(texts)))


@pytest.mark.parametrize(("filename", "message"), [("broken.pdf", errors.UNREADABLE), ("film.mp4", errors.UNSUPPORTED)])
def test_a_file_that_its_parsers_cannot_read_fails_for_good(
    store: VectorStore, tmp_path: Path, filename: str, message: str
) -> None:
    path = tmp_path / "blob"
    path.write_bytes(b"%PDF-1.4 garbage")
    with pytest.raises(r2r.R2RFailed) as failed:
        r2r.put_native(new_file(store, []), path, filename)
    assert (failed.value.message, failed.value.transient) == (message, False)


@real_only
def test_work_that_takes_longer_than_we_wait_for_an_answer_is_followed(
    store: VectorStore, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert isinstance(server.running, real.RealR2R)
    monkeypatch.setattr(delivery, "SEND_SECONDS", 0.5)
    server.running.embeddings.pause = 3.0
    looks = []
    try:
        recipes = new_file(store, RECIPES)
        began = time.monotonic()
        passages = [Text(text) for text in RECIPES]
        r2r.put(recipes, "notes.txt", passages, meanwhile=lambda: looks.append(time.monotonic()))
    finally:
        server.running.embeddings.pause = 0.0
    assert time.monotonic() - began >= 3.0
    assert len(looks) > 3
    assert texts_kept_of(recipes) == sorted(RECIPES)


@real_only
def test_an_attempt_that_was_cut_short_is_waited_for(store: VectorStore, server: Server) -> None:
    assert isinstance(server.running, real.RealR2R)
    catalog = catalog_of(store)
    recipes = new_file(store, RECIPES)
    collection_id = catalog.made_collection_of(store.pk)
    server.running.embeddings.pause = 2.0
    earlier: dict[str, Any] = {
        "target": put_by_hand,
        "args": (catalog, document_id_of(recipes.pk), RECIPES, collection_id),
    }
    thread = threading.Thread(**earlier)
    try:
        thread.start()
        while catalog.document(document_id_of(recipes.pk)) is None:
            time.sleep(0.05)
        r2r.put(recipes, "notes.txt", [Text(text) for text in RECIPES])
    finally:
        server.running.embeddings.pause = 0.0
        thread.join()
    assert texts_kept_of(recipes) == sorted(RECIPES)
    assert {file for file, _ in found(store, "butter", [recipes.pk])} == {recipes.pk}


@real_only
def test_a_document_that_a_killed_r2r_left_unfinished_is_made_anew(
    store: VectorStore, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert isinstance(server.running, real.RealR2R)
    catalog = catalog_of(store)
    recipes = new_file(store, RECIPES)
    passages = [Text(text) for text in RECIPES]

    class Gone(Exception):
        pass

    def kill() -> None:
        assert isinstance(server.running, real.RealR2R)
        server.running.stop(signal.SIGKILL)
        raise Gone

    monkeypatch.setattr(delivery, "SEND_SECONDS", 1.0)
    server.running.embeddings.pause = 10.0
    try:
        with pytest.raises(Gone):
            r2r.put(recipes, "notes.txt", passages, meanwhile=kill)
    finally:
        server.running.embeddings.pause = 0.0
        server.running.start()

    left = catalog.document(document_id_of(recipes.pk))
    assert left
    assert left.is_unfinished
    with pytest.raises(r2r.R2RFailed) as failed:
        r2r.put(recipes, "notes.txt", passages, seconds=1.0)
    assert (failed.value.message, failed.value.transient) == (errors.TOO_LATE, True)
    r2r.put(recipes, "notes.txt", passages)
    assert texts_kept_of(recipes) == sorted(RECIPES)
    assert {file for file, _ in found(store, "butter", [recipes.pk])} == {recipes.pk}
