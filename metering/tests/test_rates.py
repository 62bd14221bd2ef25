"""Limits per minute, as callers meet them."""

from typing import Any

import pytest

from assistant_site import valkey
from assistant_site.llm.tests.quirk_server import QuirkServer, answering
from assistant_site.tests.callers import Caller, LiveCaller, LocalCaller
from assistant_site.wire.errors import RateLimited
from metering import rates
from tenants import auth
from tenants.models import ApiToken, EndUser, Tenant


def limited(caller: Caller, of: Any = Tenant, **limits: int | None) -> None:
    of.objects.filter(**{"pk" if of is Tenant else "tenant_id": caller.tenant.pk}).update(**limits)
    auth.forget_tokens()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0ms"), (0.02, "20ms"), (1, "1s"), (20, "20s"), (16.2265, "16.227s"), (86.4, "1m26.4s"), (360, "6m0s"),
     (3600, "1h0m0s"), (0.9996, "1s")],
)  # fmt: skip
def test_durations_are_written_as_openai_does(seconds: float, text: str) -> None:
    assert rates.duration(seconds) == text


def test_requests_per_minute(alice: LocalCaller, bob: LocalCaller) -> None:
    limited(alice, requests_per_minute=3)
    limited(alice, ApiToken, requests_per_minute=100)
    for left in (2, 1, 0):
        listed = alice.get("assistants")
        assert listed.status == 200
        assert listed.headers["x-ratelimit-limit-requests"] == "3"
        assert listed.headers["x-ratelimit-remaining-requests"] == str(left)
        assert listed.headers["x-ratelimit-reset-requests"].endswith("s")
        assert "x-ratelimit-limit-tokens" not in listed.headers
    refused = alice.get("assistants")
    assert refused.status == 429
    error = refused.body["error"]
    start = f"Rate limit reached for organization {alice.tenant.pk} on requests per min (RPM): Limit 3, Used 3, "
    assert error["message"].startswith(f"{start}Requested 1. Please try again in ")
    assert (error["type"], error["code"], error["param"]) == ("requests", "rate_limit_exceeded", None)
    assert 1 <= int(refused.headers["retry-after"]) <= 20
    assert 1 <= int(refused.headers["retry-after-ms"]) <= 20_000
    assert refused.headers["x-ratelimit-remaining-requests"] == "0"
    assert not [name for name in bob.get("assistants").headers if name.startswith("x-ratelimit")]


def test_a_token_has_its_own_minute(alice: LocalCaller) -> None:
    limited(alice, ApiToken, requests_per_minute=1)
    assert alice.get("assistants").status == 200
    refused = alice.get("assistants")
    assert refused.status == 429
    assert "Rate limit reached for API key " in refused.body["error"]["message"]
    limited(alice, ApiToken, requests_per_minute=None)
    assert alice.get("assistants").status == 200


def test_tokens_per_minute_are_taken_when_they_are_spent(alice: LocalCaller) -> None:
    limited(alice, tokens_per_minute=1_000)
    token = ApiToken.objects.get(tenant=alice.tenant)
    assistant, thread = alice.assistant(), alice.thread("Hello")
    rates.count_tokens(alice.tenant.pk, token.pk, "", 3_000)
    looked = alice.get("assistants")
    assert (looked.status, looked.headers["x-ratelimit-remaining-tokens"]) == (200, "0")
    chat = ("chat/completions", {"model": "m", "messages": []})
    for path, body in ((f"threads/{thread}/runs", {"assistant_id": assistant}), chat):
        refused = alice.post(path, body)
        assert refused.status == 429, path
        assert refused.body["error"]["type"] == "tokens"
        assert "on tokens per min (TPM): Limit 1000, Used 1000" in refused.body["error"]["message"]
        assert 100 <= int(refused.headers["retry-after"]) <= 121
    assert alice.post(f"threads/{thread}/messages", {"role": "user", "content": "x"}).status == 200


def test_an_end_user_has_its_own_minute(alice: LocalCaller) -> None:
    user = EndUser.objects.create(tenant=alice.tenant, name="u1", requests_per_minute=1, tokens_per_minute=10)
    assert rates.admit(rates.of_end_user(user), costs_tokens=True)["x-ratelimit-remaining-requests"] == "0"
    with pytest.raises(RateLimited, match="user u1"):
        rates.admit(rates.of_end_user(user), costs_tokens=True)
    assert rates.admit(rates.of_end_user(user), costs_tokens=True, is_again=True)
    rates.count_tokens(alice.tenant.pk, "", "u1", 20)
    requests, tokens = rates.levels_of(rates.of_end_user(user))
    assert (requests.remaining, tokens.remaining) == (0, 0)
    assert tokens.left < -9


def test_what_is_made_for_an_end_user_is_counted(alice: LocalCaller) -> None:
    EndUser.objects.create(tenant=alice.tenant, name="u2", requests_per_minute=2)
    assistant, thread = alice.assistant(), alice.post("threads", {"user": "u2"})["id"]
    run = {"assistant_id": assistant}
    assert alice.post(f"threads/{thread}/runs", run).status == 200
    chat = {"model": "m", "messages": [], "user": "u2"}
    for path, body in (
        ("threads", {"user": "u2"}),
        ("threads/runs", {**run, "user": "u2"}),
        ("chat/completions", chat),
    ):
        refused = alice.post(path, body)
        assert refused.status == 429, path
        assert "user u2" in refused.error["message"]
    assert alice.post("threads", {"user": "u3"}).status == 200


def test_no_limit_means_no_round_trip_and_without_valkey_nothing_is_refused(
    alice: LocalCaller, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def away(*_: Any, **__: Any) -> Any:
        raise valkey.Failed("away")

    monkeypatch.setattr(rates, "_script", lambda: away)
    assert alice.get("assistants").status == 200
    assert "cannot be counted" not in caplog.text
    limited(alice, requests_per_minute=1, tokens_per_minute=1)
    for _ in range(3):
        assert alice.get("assistants").status == 200
    rates.count_tokens(alice.tenant.pk, "", "", 5)
    assert "cannot be counted" in caplog.text
    assert "5 tokens" in caplog.text


def test_our_limits_are_told_and_not_the_providers(lena: LiveCaller) -> None:
    headers = {"x-ratelimit-remaining-requests": "7"}
    with QuirkServer(answering({"id": "c"}, headers=headers)) as provider:
        lena.provided_by(provider.base_url)
        limited(lena, requests_per_minute=60)
        got = lena.send("POST", "/v1/chat/completions", {"model": "m", "messages": []})
        assert got.headers["x-ratelimit-remaining-requests"] == "59"
