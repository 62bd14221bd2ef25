"""Which provider is asked for whom, in which order, and what is remembered."""

import logging
import secrets
from dataclasses import replace
from typing import Any

import pytest
from django.conf import LazySettings

from assistant_site import valkey
from assistant_site.llm.tests.quirk_server import QuirkServer, answering
from tenants.models import Tenant
from tools.web_search import accounts, searching
from tools.web_search.asking import BAD_ACCESS, BUSY, Access
from tools.web_search.hits import SearchOptions
from tools.web_search.models import SearchKey
from tools.web_search.providers import PROVIDERS
from tools.web_search.searching import NOT_CACHED, NOT_CONFIGURED, Found, search, search_all
from tools.web_search.tests.recorded import ANSWERS, BRAVE, KEY, SEARXNG, TAVILY, access_to, run

pytestmark = pytest.mark.usefixtures("search_settings")


@pytest.fixture
def tenant_id() -> str:
    """A name of its own, for the cache outlives a test."""
    return f"tenant_{secrets.token_hex(6)}"


def once(tenant_id: str, *accesses: Access, query: str = "django", **options: Any) -> Found:
    live = options.pop("live", True)
    return run(search(tenant_id, accesses, query, SearchOptions(**options), live=live))


# --- The chain --------------------------------------------------------------------------------------------------------


def test_without_a_provider_a_sentence(tenant_id: str) -> None:
    assert once(tenant_id) == Found(failure=NOT_CONFIGURED)


def test_the_next_one_is_asked_where_one_fails(tenant_id: str, caplog: pytest.LogCaptureFixture) -> None:
    with (
        QuirkServer(answering({"detail": {"error": f"bad {KEY}"}}, 401)) as first,
        QuirkServer(answering(BRAVE)) as next,
    ):
        found = once(tenant_id, access_to(first, "tavily"), access_to(next, "brave"))
        assert len(first.requests) == len(next.requests) == 1
    assert [hit.source for hit in found.hits] == ["brave"]
    assert not found.failure
    assert "Web search by tavily" in caplog.text
    assert "Check TAVILY_API_KEY: the key is not valid." in caplog.text
    assert KEY not in caplog.text


def test_the_first_that_answers_is_the_last_that_is_asked(tenant_id: str) -> None:
    with QuirkServer(answering({"results": []})) as first, QuirkServer(answering(BRAVE)) as next:
        assert once(tenant_id, access_to(first, "tavily"), access_to(next, "brave")) == Found()
        assert next.requests == []


def test_all_of_them_fail(tenant_id: str) -> None:
    with QuirkServer(answering({}, 401)) as first, QuirkServer(answering({}, 429)) as next:
        found = once(tenant_id, access_to(first, "tavily"), access_to(next, "brave"))
    assert found == Found(failure=f"Nothing was found. {BAD_ACCESS} {BUSY}")


def test_a_fault_of_ours_is_one_more_failure(tenant_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(access: Access) -> Any:
        raise RuntimeError("a fault")

    monkeypatch.setitem(PROVIDERS, "tavily", broken)
    with QuirkServer(answering(BRAVE)) as next:
        found = once(tenant_id, Access("tavily", "https://x.example", "X"), access_to(next, "brave"))
    assert len(found.hits) == 1


def test_no_further_one_is_asked_after_a_time(tenant_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searching, "SECONDS", 0.2)
    slow = replace(answering({}, 429), before=0.4)
    with QuirkServer(slow) as first, QuirkServer(answering(BRAVE)) as next:
        assert once(tenant_id, access_to(first, "tavily"), access_to(next, "brave")).failure
        assert next.requests == []


def test_results_are_cleaned(tenant_id: str) -> None:
    rows = [*SEARXNG["results"], *SEARXNG["results"], {"url": "javascript:x", "title": "X"}]
    with QuirkServer(answering({"results": rows})) as server:
        found = once(tenant_id, access_to(server, "searxng"))
        only = once(tenant_id, access_to(server, "searxng"), allowed_domains=("wikipedia.org",))
    assert [hit.url for hit in found.hits] == ["https://www.djangoproject.com/", "https://en.wikipedia.org/wiki/Django"]
    assert found.hits[0].snippet == "Django is a high-level Python web framework & more."
    assert found.hits[1].published == "2026-01-02"
    assert [hit.url for hit in only.hits] == ["https://en.wikipedia.org/wiki/Django"]


def test_several_queries_take_turns(tenant_id: str) -> None:
    def rows(request: Any) -> Any:
        word = request.body["query"]
        urls = [f"https://{word}.example/{n}" for n in range(3)] + ["https://both.example/"]
        return answering({"results": [{"title": url, "url": url, "content": ""} for url in urls]})

    with QuirkServer(rows) as server:
        access = [access_to(server, "tavily")]
        found = run(search_all(tenant_id, access, ["a", "b"], SearchOptions(limit=5)))
    assert [hit.url[8:] for hit in found.hits] == [
        "a.example/0",
        "b.example/0",
        "a.example/1",
        "b.example/1",
        "a.example/2",
    ]


def test_one_of_several_queries_may_fail(tenant_id: str) -> None:
    def rows(request: Any) -> Any:
        return answering({}, 429) if request.body["query"] == "a" else answering(TAVILY)

    with QuirkServer(rows) as server:
        access = [access_to(server, "tavily")]
        assert len(run(search_all(tenant_id, access, ["a", "b"], SearchOptions())).hits) == 1
        assert run(search_all(tenant_id, access, ["a"], SearchOptions())).failure


# --- The cache --------------------------------------------------------------------------------------------------------


@pytest.fixture
def cached(search_settings: LazySettings) -> None:
    search_settings.WEB_SEARCH_CACHE_SECONDS = 60


@pytest.mark.usefixtures("cached")
def test_the_same_search_is_answered_from_the_cache(tenant_id: str) -> None:
    with QuirkServer(answering(TAVILY)) as server:
        access = access_to(server, "tavily")
        first = once(tenant_id, access)
        assert once(tenant_id, access) == first
        assert len(server.requests) == 1
        # Another tenant, query or option is another search.
        once(f"{tenant_id}x", access)
        once(tenant_id, access, query="other")
        once(tenant_id, access, time_range="day")
        once(tenant_id, access, limit=3)
        once(tenant_id, access, allowed_domains=("a.org",))
        assert len(server.requests) == 6


@pytest.mark.usefixtures("cached")
def test_failures_are_not_cached(tenant_id: str) -> None:
    with QuirkServer(answering({}, 429), answering(TAVILY)) as server:
        assert once(tenant_id, access_to(server, "tavily")).failure
        assert once(tenant_id, access_to(server, "tavily")).hits


@pytest.mark.usefixtures("cached")
def test_it_is_forgotten_after_its_time(tenant_id: str, search_settings: LazySettings) -> None:
    def kept() -> set[bytes]:
        return set(valkey.blocking().scan_iter("holdfast:web-search:*", count=1_000))

    before = kept()
    with QuirkServer(answering(TAVILY)) as server:
        once(tenant_id, access_to(server, "tavily"))
        names = kept() - before
        assert names
        assert all(0 < valkey.blocking().ttl(name) <= 60 for name in names)
        assert not any(b"django" in name or tenant_id.encode() in name for name in names)
        search_settings.WEB_SEARCH_CACHE_SECONDS = 0
        once(tenant_id, access_to(server, "tavily"))
        assert len(server.requests) == 2


@pytest.mark.usefixtures("cached")
def test_without_valkey_providers_are_asked(tenant_id: str, search_settings: LazySettings) -> None:
    search_settings.VALKEY_URL = "redis://127.0.0.1:1"
    with QuirkServer(answering(TAVILY)) as server:
        for _ in range(2):
            assert len(once(tenant_id, access_to(server, "tavily")).hits) == 1
        assert len(server.requests) == 2


@pytest.mark.usefixtures("cached")
def test_what_is_not_live_comes_from_the_cache_or_not_at_all(tenant_id: str) -> None:
    with QuirkServer(answering(TAVILY)) as server:
        assert once(tenant_id, access_to(server, "tavily"), live=False) == Found(failure=NOT_CACHED)
        first = once(tenant_id, access_to(server, "tavily"))
        assert once(tenant_id, access_to(server, "tavily"), live=False) == first
        assert len(server.requests) == 1


# --- Whose key --------------------------------------------------------------------------------------------------------


@pytest.fixture
def tenants(db: None) -> tuple[Tenant, Tenant]:
    return Tenant.objects.create(name="Ada"), Tenant.objects.create(name="Bert")


def give(tenant: Tenant, provider: str, key: str = "", base_url: str = "") -> SearchKey:
    row = SearchKey(tenant=tenant, provider=provider, base_url=base_url)
    row.set_key(key)
    row.save()
    return row


def of(tenant: Tenant) -> list[tuple[str, str]]:
    return [(access.provider, access.key) for access in accounts.accesses_of(str(tenant.pk))]


def test_a_tenants_own_key_comes_first_and_is_nobody_elses(
    tenants: tuple[Tenant, Tenant], search_settings: LazySettings
) -> None:
    ada, bert = tenants
    assert of(ada) == []
    search_settings.TAVILY_API_KEY = "shared tavily"
    search_settings.BRAVE_API_KEY = "shared brave"
    give(ada, "brave", "ada's brave")
    give(ada, "exa", "ada's exa")
    assert of(ada) == [("brave", "ada's brave"), ("exa", "ada's exa"), ("tavily", "shared tavily")]
    assert of(bert) == [("tavily", "shared tavily"), ("brave", "shared brave")]


def test_the_settings_order_counts(tenants: tuple[Tenant, Tenant], search_settings: LazySettings) -> None:
    ada, _ = tenants
    search_settings.SEARXNG_URL = "http://searxng.internal:8080"
    search_settings.TAVILY_API_KEY = search_settings.EXA_API_KEY = "shared"
    assert [provider for provider, _ in of(ada)] == ["searxng", "tavily", "exa"]
    search_settings.WEB_SEARCH = ["exa", "brave", "searxng"]
    assert [provider for provider, _ in of(ada)] == ["exa", "searxng"]
    give(ada, "tavily", "own")
    give(ada, "brave", "own")
    assert of(ada) == [("brave", "own"), ("tavily", "own"), ("exa", "shared"), ("searxng", "")]
    search_settings.WEB_SEARCH = ["off"]
    assert of(ada) == []


def test_only_the_operators_searxng_may_be_anywhere(
    tenants: tuple[Tenant, Tenant], search_settings: LazySettings
) -> None:
    ada, bert = tenants
    search_settings.SEARXNG_URL = "http://searxng.internal:8080"
    search_settings.FETCH_ALLOWED_HOSTS = ["shared.internal"]
    ada.fetch_allowed_hosts = "10.0.0.1"
    ada.save()
    give(ada, "searxng", base_url="http://127.0.0.1:1/sx/")
    [own] = accounts.accesses_of(str(ada.pk))
    assert (own.base_url, own.allowed_hosts) == ("http://127.0.0.1:1/sx", ("shared.internal", "10.0.0.1"))
    [shared] = accounts.accesses_of(str(bert.pk))
    assert (shared.base_url, shared.allowed_hosts) == ("http://searxng.internal:8080", ("searxng.internal",))


def test_a_tenants_searxng_in_a_private_network_is_not_asked(
    tenants: tuple[Tenant, Tenant], caplog: pytest.LogCaptureFixture
) -> None:
    ada, _ = tenants
    with QuirkServer(answering(SEARXNG)) as server:
        give(ada, "searxng", base_url=f"http://127.0.0.1:{server.port}")
        found = once("x", *accounts.accesses_of(str(ada.pk)))
        assert server.connections == 0
        assert found.failure
        assert "127.0.0.1" not in found.failure
        assert "The address of 127.0.0.1 is not public." in caplog.text
        ada.fetch_allowed_hosts = "127.0.0.1"
        ada.save()
        assert once("x", *accounts.accesses_of(str(ada.pk))).hits


def test_a_key_that_cannot_be_read_is_left_out(
    tenants: tuple[Tenant, Tenant], search_settings: LazySettings, caplog: pytest.LogCaptureFixture
) -> None:
    ada, _ = tenants
    row = give(ada, "brave", "own")
    SearchKey.rows.filter(pk=row.pk).update(encrypted_key="gAAAA-of-another-installation")
    search_settings.TAVILY_API_KEY = "shared"
    assert of(ada) == [("tavily", "shared")]
    assert str(row.pk) in caplog.text
    assert "ENCRYPTION_KEYS" in caplog.text


def test_keys_are_shown_nowhere(tenants: tuple[Tenant, Tenant]) -> None:
    ada, _ = tenants
    row = give(ada, "brave", KEY)
    [access] = accounts.accesses_of(str(ada.pk))
    assert access.key == KEY
    assert KEY not in f"{access!r} {row!r} {row} {row.encrypted_key}"


@pytest.mark.parametrize("provider", ["tavily", "brave", "serper", "exa"])
@pytest.mark.parametrize("key", ["a-secret\nkey", "a-secret-ключ", "a-secret\x00"])
def test_a_key_that_no_header_can_carry_is_not_logged(
    tenant_id: str, provider: str, key: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with QuirkServer(answering({})) as server:
        found = once(tenant_id, access_to(server, provider, key))
        assert server.requests == []
    assert found.failure
    assert "a-secret" not in caplog.text + found.failure


def test_every_provider_is_known_everywhere() -> None:
    assert set(PROVIDERS) == {name for name, _ in SearchKey.PROVIDERS} == set(accounts.base_urls()) == set(ANSWERS)


def test_the_log_of_a_whole_search_has_no_key(tenant_id: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with QuirkServer(answering(BRAVE)) as server:
        once(tenant_id, access_to(server, "brave"))
    assert KEY not in caplog.text
