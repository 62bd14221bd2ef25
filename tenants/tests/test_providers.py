"""Whose model server answers for whom, in which order and by which name; and how its key is kept."""

import itertools
import random
import time
from collections import Counter
from typing import Any

import pytest
from cryptography.fernet import Fernet
from pytest_django.fixtures import Settings

from assistant_site.llm.errors import TurnFailed
from assistant_site.tests.callers import LocalCaller
from tenants import encryption, health, routes
from tenants.models import ApiToken, ModelAlias, ModelProfile, Provider, Tenant
from tenants.routes import Profile, Route, routes_for


@pytest.fixture(autouse=True)
def forgotten(settings: Settings) -> None:
    routes.forget()
    health.forget()
    settings.OPENAI_BASE_URL, settings.OPENAI_API_KEY = "http://env/v1", "env-key"


def provider(name: str, tenant: Tenant | None, **fields: Any) -> Provider:
    made = Provider(name=name, tenant=tenant, base_url=f"http://{name}/v1/", **fields)
    made.set_api_key(f"{name}-key")
    made.save()
    return made


def found(caller: LocalCaller, model: str = "m", token_id: str = "") -> list[str]:
    return [route.name for route in routes_for(caller.tenant.pk, token_id, model)]


def test_the_tokens_own_then_the_tenants_then_the_shared_then_the_environments(
    alice: LocalCaller, bob: LocalCaller, settings: Settings
) -> None:
    token = ApiToken.objects.get(tenant=alice.tenant)
    assert routes_for(alice.tenant.pk, "", "m") == [Route(routes.from_environment(), "m")]
    provider("shared", None)
    provider("own", alice.tenant, quirks={"stream": "false"})
    of_token = provider("of-token", alice.tenant, token=token)

    [route] = routes_for(alice.tenant.pk, "", "m")
    assert (route.endpoint.base_url, route.endpoint.api_key) == ("http://own/v1", "own-key")
    assert route.endpoint.quirks == {"stream": "false"}
    assert "own-key" not in repr(route)
    assert found(alice, token_id=token.pk) == ["of-token"]
    assert found(bob, token_id=token.pk) == found(bob) == ["shared"]

    Provider.objects.filter(tenant=alice.tenant).update(is_enabled=False)
    routes.forget()
    assert found(alice) == ["shared"]
    assert found(alice, token_id=token.pk) == []  # nobody else pays for it
    of_token.delete()
    assert found(alice, token_id=token.pk) == ["shared"]
    settings.OPENAI_BASE_URL = ""
    Provider.objects.all().delete()
    assert routes_for(alice.tenant.pk, "", "m")[0].endpoint.base_url == settings.DEMO_BASE_URL


def test_a_provider_is_asked_for_the_models_that_it_has(alice: LocalCaller) -> None:
    provider("qwen", alice.tenant, model_names=["qwen3:*", "gpt-4o-mini"], priority=1)
    provider("renamed", alice.tenant, model_names=["qwen3:32b=Qwen/Qwen3-32B"], priority=2)
    provider("all", alice.tenant, priority=3)
    asked = {
        model: [(route.name, route.model) for route in routes_for(alice.tenant.pk, "", model)]
        for model in ("qwen3:32b", "gpt-4o-mini", "gpt-4o", "qwen3.32b")
    }
    assert asked == {
        "qwen3:32b": [("qwen", "qwen3:32b"), ("renamed", "Qwen/Qwen3-32B"), ("all", "qwen3:32b")],
        "gpt-4o-mini": [("qwen", "gpt-4o-mini"), ("all", "gpt-4o-mini")],
        "gpt-4o": [("all", "gpt-4o")],
        "qwen3.32b": [("all", "qwen3.32b")],
    }


def test_aliases_are_followed_once_the_tenants_before_the_shared(alice: LocalCaller, bob: LocalCaller) -> None:
    ModelAlias.objects.create(alias="gpt-4-1106-preview", model="qwen3:32b")
    ModelAlias.objects.create(alias="fast", model="qwen3:1b")
    ModelAlias.objects.create(tenant=alice.tenant, alias="gpt-4-1106-preview", model="fast")
    for caller, theirs in ((alice, "fast"), (bob, "qwen3:32b")):
        assert [route.model for route in routes_for(caller.tenant.pk, "", "gpt-4-1106-preview")] == [theirs]


def test_equals_are_chosen_by_weight_and_those_that_have_failed_come_last(
    alice: LocalCaller, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = itertools.count(1_000.0, 0.0).__next__
    monkeypatch.setattr(time, "monotonic", lambda: clock())
    heavy = provider("heavy", alice.tenant, weight=3)
    provider("light", alice.tenant, weight=1)
    provider("reserve", alice.tenant, priority=1)
    directory = routes.directory_of(alice.tenant.pk)
    random.seed(20_260_101)

    def order() -> tuple[str, ...]:
        return tuple(route.name for route in directory.routes("m"))

    orders = Counter(order() for _ in range(2_000))
    assert set(orders) == {("heavy", "light", "reserve"), ("light", "heavy", "reserve")}
    assert 0.72 < orders["heavy", "light", "reserve"] / 2_000 < 0.78

    health.note(heavy.pk, "other", TurnFailed("server_error", "No such model.", lacks_model=True), "")
    assert len({order() for _ in range(100)}) == 2  # it misses another model, not this one
    waits = []
    for asked_for in (None, None, 25.0, None, 600.0):
        health.note(heavy.pk, "m", TurnFailed("server_error", "Down.", retry_after=asked_for), "")
        health.note(heavy.pk, "m", TurnFailed("server_error", "Down."), "")  # of the same outage
        assert {order() for _ in range(100)} == {("light", "reserve", "heavy")}
        began = time.monotonic()
        until = health._cooling[heavy.pk, ""].until
        waits.append(until - began)
        clock = itertools.count(until, 0.0).__next__
        assert len({order() for _ in range(100)}) == 2
    assert waits == [10, 20, 40, 60, 60]
    health.note(heavy.pk, "m", TurnFailed("server_error", "Down."), "")
    health.succeeded(heavy.pk, "m")
    assert len({order() for _ in range(100)}) == 2


def test_failures_and_successes_come_to_the_row_now_and_then(
    alice: LocalCaller, django_assert_num_queries: Any
) -> None:
    own = provider("own", alice.tenant)
    failure = TurnFailed("rate_limit_exceeded", "Too many.", status=429, detail="for key own-key")
    health.note(own.pk, "m", failure, "own-key")
    health.succeeded(own.pk, "m")
    health.succeeded("", "m")  # the environment's has no row
    assert health.is_due()
    with django_assert_num_queries(1):
        health.write()
    own.refresh_from_db()
    assert own.failure == "Too many. (HTTP 429) Asked for m. for key ***"
    assert own.failed_at is not None
    assert own.succeeded_at is not None
    assert own.failed_at < own.succeeded_at
    health.note(own.pk, "m", failure, "own-key")
    health.succeeded(own.pk, "m")
    assert not health.is_due()  # so soon


def test_profiles_add_up_from_the_most_particular(alice: LocalCaller, bob: LocalCaller) -> None:
    ModelAlias.objects.create(alias="gpt-4", model="qwen3:32b")
    ModelProfile.objects.create(model="*", has_vision=False, context_window=8_000)
    ModelProfile.objects.create(model="qwen3:*", context_window=16_000, has_tools=True)
    ModelProfile.objects.create(model="qwen3:32b", max_completion_tokens=500)
    ModelProfile.objects.create(tenant=alice.tenant, model="qwen*", has_tools=False)
    of_alice, of_bob = (routes.directory_of(caller.tenant.pk).profile("gpt-4") for caller in (alice, bob))
    assert of_bob == Profile(True, False, None, 16_000, 500)
    assert of_alice == Profile(False, False, None, 16_000, 500)


def test_everything_is_read_with_one_query_and_kept_for_a_moment(
    alice: LocalCaller, django_assert_num_queries: Any
) -> None:
    provider("own", alice.tenant)
    ModelAlias.objects.create(alias="a", model="b")
    with django_assert_num_queries(1):
        assert found(alice, "a") == ["own"]
        assert routes.directory_of(alice.tenant.pk).profile("a") == Profile()


def test_a_key_can_be_decrypted_with_any_of_the_keys(settings: Settings) -> None:
    old, new = Fernet.generate_key().decode(), Fernet.generate_key().decode()
    settings.ENCRYPTION_KEYS = [old]
    stored = encryption.encrypt("secret")
    assert "secret" not in stored
    settings.ENCRYPTION_KEYS = [new, old]
    assert encryption.decrypt(stored) == "secret"
    settings.ENCRYPTION_KEYS = [new]
    with pytest.raises(encryption.Undecryptable, match="ENCRYPTION_KEYS"):
        encryption.decrypt(stored)


def test_a_key_that_cannot_be_read_is_said_so_and_another_provider_asked(alice: LocalCaller) -> None:
    Provider.objects.create(tenant=alice.tenant, name="x", base_url="http://x/v1", encrypted_key="damaged")
    failed = alice.post("chat/completions", {"model": "m", "messages": []})
    assert failed.status == 500
    assert failed.error["message"] == "The credential of the model provider cannot be read."
    provider("other", alice.tenant, priority=5)
    assert found(alice) == ["other"]
