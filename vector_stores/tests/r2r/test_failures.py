"""What R2R may do to a delivery or a call, told to the fake: queues, late collections, broken answers, lost logins."""

import logging
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pytest_django.fixtures import Settings

from assistant_site.tests.callers import LocalCaller
from vector_stores import r2r
from vector_stores.models import StoreFile
from vector_stores.r2r import delivery, errors, server
from vector_stores.r2r.connection import Account, session_of
from vector_stores.r2r.documents import document_id_of
from vector_stores.tests.r2r.fake import FakeR2R, StoredDocument
from vector_stores.tests.r2r.rows import Text, new_file, new_store

pytestmark = pytest.mark.slow

TEXTS = ["Melt butter in a small pan", "Saturn has rings of ice"]
PASSAGES = [Text(text) for text in TEXTS]


@pytest.fixture
def store_file(fake: FakeR2R, alice: LocalCaller) -> StoreFile:
    return new_file(new_store(alice.tenant), TEXTS)


def put(store_file: StoreFile, **how: Any) -> None:
    r2r.put(store_file, "notes.txt", PASSAGES, **how)


def found(store_file: StoreFile, query: str = "butter") -> list[tuple[str, int]]:
    hits = r2r.search([store_file.vector_store], None, query, 10)
    return [(found_in, position) for found_in, position, _ in hits]


def sent(fake: FakeR2R) -> int:
    return fake.asked.count("POST /documents")


def document_of(fake: FakeR2R, store_file: StoreFile) -> StoredDocument:
    return fake.documents[document_id_of(store_file.pk)]


# --- ways to success -----------------------------------------------------------------------------------------------


def test_a_document_in_hatchets_hands_is_followed_to_its_end(fake: FakeR2R, store_file: StoreFile) -> None:
    fake.statuses = ["pending", "parsing", "embedding", "storing", "enriching", "success"]
    put(store_file)
    assert found(store_file)[0] == (store_file.pk, 0)


def test_a_document_that_hatchet_has_not_begun_with_is_waited_for(fake: FakeR2R, store_file: StoreFile) -> None:
    fake.is_queued = True
    looks = []

    def meanwhile() -> None:
        looks.append(1)
        if len(looks) == 3:
            fake.take_up()

    put(store_file, meanwhile=meanwhile)
    assert len(looks) >= 3
    assert found(store_file)[0] == (store_file.pk, 0)


@pytest.mark.parametrize("joins_after", [1, 10**6], ids=["late", "never"])
def test_success_is_told_before_the_document_is_in_its_collection(
    fake: FakeR2R, store_file: StoreFile, joins_after: int
) -> None:
    fake.joins_after = joins_after
    put(store_file)
    assert found(store_file)[0] == (store_file.pk, 0)


def test_an_earlier_attempt_is_found_and_waited_for(fake: FakeR2R, store_file: StoreFile) -> None:
    fake.statuses = ["embedding", "embedding", "success"]
    with pytest.raises(KeyboardInterrupt):
        put(store_file, meanwhile=interrupt)

    put(store_file)
    assert sent(fake) == 1
    assert found(store_file)[0] == (store_file.pk, 0)


def interrupt() -> None:
    raise KeyboardInterrupt


def test_an_earlier_attempt_that_fails_is_deleted_and_made_again(fake: FakeR2R, store_file: StoreFile) -> None:
    fake.statuses = ["embedding", "embedding", "failed"]
    with pytest.raises(KeyboardInterrupt):
        put(store_file, meanwhile=interrupt)
    fake.statuses = None

    put(store_file)
    assert sent(fake) == 2
    assert found(store_file)[0] == (store_file.pk, 0)


def test_an_attempt_that_r2r_forgot_is_given_up_and_the_next_begins_anew(fake: FakeR2R, store_file: StoreFile) -> None:
    fake.statuses = ["embedding"]
    for _ in range(2):  # the first sends it, the second finds it
        with pytest.raises(r2r.R2RFailed) as failed:
            put(store_file, seconds=0.2)
        assert (failed.value.message, failed.value.transient) == (errors.TOO_LATE, True)
    fake.statuses = None

    put(store_file)
    assert sent(fake) == 2
    assert found(store_file)[0] == (store_file.pk, 0)


def test_two_workers_may_make_the_same_collection(fake: FakeR2R, store_file: StoreFile) -> None:
    fake.refusals = [(404, b'{"message": "No collection found with the specified name", "error_type": "R2RException"}')]
    put(new_file(store_file.vector_store, TEXTS))
    fake.refusals = [(404, b'{"message": "No collection found with the specified name", "error_type": "R2RException"}')]
    put(store_file)
    assert len(fake.collections) == 1
    assert (store_file.pk, 0) in found(store_file)


def test_a_file_without_passages_is_not_sent(fake: FakeR2R, store_file: StoreFile) -> None:
    r2r.put(store_file, "empty.txt", [])
    assert sent(fake) == 0


# --- failures ------------------------------------------------------------------------------------------------------


def test_a_document_that_fails_for_another_reason_fails_for_good(fake: FakeR2R, store_file: StoreFile) -> None:
    fake.statuses = ["parsing", "failed"]
    with pytest.raises(r2r.R2RFailed) as failed:
        put(store_file)
    assert (failed.value.message, failed.value.transient) == (errors.UNREADABLE, False)


def test_a_document_that_vanishes_can_be_tried_again(fake: FakeR2R, store_file: StoreFile) -> None:
    fake.statuses = ["embedding"]
    with pytest.raises(r2r.R2RFailed) as failed:
        put(store_file, meanwhile=fake.documents.clear)
    assert (failed.value.message, failed.value.transient) == (errors.VANISHED, True)


def test_a_collection_that_somebody_renamed_is_said_to_the_operator(fake: FakeR2R, store_file: StoreFile) -> None:
    put(store_file)
    (collection,) = fake.collections.values()
    collection["name"] = "mine now"
    with pytest.raises(r2r.R2RFailed) as failed:
        put(new_file(store_file.vector_store, TEXTS))
    assert failed.value.transient
    assert "renamed" in failed.value.detail


def test_too_many_passages_are_refused_without_asking(
    fake: FakeR2R, store_file: StoreFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "MAX_CHUNKS", 1)
    with pytest.raises(r2r.R2RFailed, match="The file has 2 passages; the retrieval server \\(R2R\\) takes 1"):
        put(store_file)
    assert fake.asked == []


@pytest.mark.parametrize(
    ("status", "body", "message", "transient"),
    [
        (429, b'{"detail": "Rate limit exceeded"}', errors.BUSY, True),
        (502, b"<html>Bad Gateway at 10.0.0.7:7272</html>", errors.WENT_WRONG, True),
        (500, b'{"detail": {"message": "An error \'x\' occurred", "error": "x"}}', errors.WENT_WRONG, True),
        (500, b'{"detail": {"message": "$foo", "error_type": "FilterError"}}', errors.REFUSED, False),
        (500, b'{"message": "empty", "error_type": "R2RDocumentProcessingError"}', errors.UNREADABLE, False),
        (400, b'{"message": "Error getting embeddings: http://10.0.0.7", "error_type": "R2RException"}',
         errors.EMBEDDINGS_DOWN, True),
        (401, b'{"message": "Authentication error: Invalid API key or credentials."}', errors.EMBEDDINGS_DOWN, True),
        (403, b'{"message": "User has reached the maximum number of chunks allowed (10)."}', errors.FORBIDDEN, True),
        (404, b'{"detail": "Not Found"}', errors.NOT_R2R, True),
        (413, b'{"message": "File size exceeds maximum of 1 bytes"}', errors.TOO_LARGE, False),
        (415, b'{"message": "\'mp4\' is not a valid DocumentType."}', errors.UNSUPPORTED, False),
        (422, b'{"detail": [{"msg": "Input should be a valid UUID"}]}', errors.REFUSED, False),
        (200, b"<html>Welcome to nginx</html>", errors.NOT_R2R, True),
        (200, b'{"object": "list"}', errors.NOT_R2R, True),
        (307, b"", errors.NOT_R2R, True),
    ],
)  # fmt: skip
def test_what_an_answer_means(
    fake: FakeR2R, store_file: StoreFile, status: int, body: bytes, message: str, transient: bool
) -> None:
    put(store_file)
    assert found(store_file)
    fake.refusals = [(status, body)]
    with pytest.raises(r2r.R2RFailed) as failed:
        found(store_file)
    assert (failed.value.message, failed.value.transient) == (message, transient)
    assert "10.0.0.7" not in failed.value.message
    assert "POST /retrieval/search" in failed.value.detail
    assert found(store_file)


def test_hits_that_the_filter_should_have_kept_out_are_dropped(
    fake: FakeR2R, store_file: StoreFile, bob: LocalCaller, monkeypatch: pytest.MonkeyPatch
) -> None:
    bobs = new_file(new_store(bob.tenant), TEXTS)
    put(store_file)
    put(bobs)
    monkeypatch.setattr("vector_stores.tests.r2r.fake._passes", lambda document, filters: True)
    configured = r2r.configured(store_file.tenant_id)
    assert configured
    for files in (None, [store_file.pk]):
        hits = configured.search([store_file.vector_store_id], files, "butter", 10)
        assert {hit.store_file_id for hit in hits} == {store_file.pk}


def test_stores_of_two_tenants_are_never_searched_together(fake: FakeR2R, alice: LocalCaller, bob: LocalCaller) -> None:
    with pytest.raises(ValueError, match="too many values"):
        r2r.search([new_store(alice.tenant), new_store(bob.tenant)], None, "butter", 10)
    assert r2r.search([], None, "butter", 10) == []


def test_a_file_that_r2r_works_on_is_removed_later(fake: FakeR2R, store_file: StoreFile) -> None:
    fake.statuses = ["embedding"]
    with pytest.raises(r2r.R2RFailed):
        put(store_file, seconds=0.1)

    with pytest.raises(r2r.R2RFailed) as failed:
        r2r.remove_file(store_file.vector_store_id, store_file.pk, tenant_id=store_file.tenant_id)
    assert (failed.value.message, failed.value.transient) == (errors.STILL_WORKING, True)

    document_of(fake, store_file).created_at = (datetime.now(UTC) - timedelta(hours=2)).isoformat()
    r2r.remove_file(store_file.vector_store_id, store_file.pk, tenant_id=store_file.tenant_id)
    assert fake.documents == {}


# --- the login -------------------------------------------------------------------------------------------------------


def test_one_login_serves_all_calls(fake: FakeR2R, store_file: StoreFile) -> None:
    put(store_file)
    found(store_file)
    found(store_file)
    assert fake.asked.count("POST /users/login") == 1
    assert fake.asked.count("POST /users/refresh-token") == 0


def test_an_ended_token_is_refreshed_once_then_a_login_made_once(fake: FakeR2R, store_file: StoreFile) -> None:
    put(store_file)
    fake.access.clear()
    assert found(store_file)
    assert fake.asked.count("POST /users/refresh-token") == 1
    assert fake.asked.count("POST /users/login") == 1

    fake.access.clear()
    fake.refresh.clear()
    assert found(store_file)
    assert fake.asked.count("POST /users/refresh-token") == 2
    assert fake.asked.count("POST /users/login") == 2


def test_a_server_that_refuses_every_token_is_not_asked_for_ever(fake: FakeR2R, store_file: StoreFile) -> None:
    put(store_file)
    before = len(fake.asked)
    fake.refusals = [(401, b'{"message": "Invalid token or API key"}')] * 100
    with pytest.raises(r2r.R2RFailed) as failed:
        found(store_file)
    assert failed.value.message == errors.LOGIN_REFUSED
    assert len(fake.asked) - before == 5  # three tries, a refresh and a login between them


def test_threads_that_meet_an_ended_token_share_one_refresh(fake: FakeR2R, store_file: StoreFile) -> None:
    put(store_file)
    session = session_of(Account(fake.base_url, fake.username, fake.password))
    stale = session._tokens
    assert session._renewed(stale, may_refresh=True) is session._renewed(stale, may_refresh=True)
    assert fake.asked.count("POST /users/refresh-token") == 1


def test_a_server_without_login_is_asked_without_one(
    fake: FakeR2R, store_file: StoreFile, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.R2R_USERNAME = settings.R2R_PASSWORD = ""
    monkeypatch.setattr(fake, "_admit", lambda headers: None)
    put(store_file)
    assert found(store_file)
    assert not any("/users/" in asked for asked in fake.asked)


def test_neither_log_nor_repr_tells_a_secret(
    fake: FakeR2R, store_file: StoreFile, caplog: pytest.LogCaptureFixture, settings: Settings
) -> None:
    caplog.set_level(logging.DEBUG)
    put(store_file)
    configured = r2r.configured(store_file.tenant_id)
    assert configured
    assert configured.health() == "ok"
    session = session_of(configured.account)
    tokens = session._tokens
    assert tokens
    fake.embeddings_are_down = True
    with pytest.raises(r2r.R2RFailed) as failed:
        found(store_file)
    settings.R2R_PASSWORD = "another secret"
    wrong = r2r.configured(store_file.tenant_id)
    assert wrong
    assert wrong.health() != "ok"

    told = f"{caplog.text} {configured.account!r} {tokens!r} {vars(failed.value)!r}"
    for secret in (fake.password, "another secret", tokens.access, tokens.refresh, "JDJiJDEyJFY1"):
        assert secret not in told


def test_the_wait_for_an_answer_ends_and_the_document_is_looked_at(
    fake: FakeR2R, store_file: StoreFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection breaks after R2R took the file."""
    taken = fake._create_document

    def broken(**asked: Any) -> tuple[int, Any]:
        taken(**asked)
        raise ConnectionResetError

    monkeypatch.setattr(fake, "_create_document", broken)
    monkeypatch.setattr("socketserver.BaseServer.handle_error", lambda *_: None)
    monkeypatch.setattr(delivery, "SEND_SECONDS", 5.0)
    put(store_file)
    assert sent(fake) == 1
    assert found(store_file)[0] == (store_file.pk, 0)
