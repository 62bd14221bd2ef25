"""`/v1/tokens` and `/v1/tenants`, for operators and for the administrators of a tenant."""

import json
import time
from typing import Any

import pytest
from django.test import Client

from assistant_site.tests.callers import Answer, LocalCaller, lowered
from audit.models import AuditEntry
from tenants import tokens
from tenants.auth import forget_tokens
from tenants.models import ApiToken, Provider, Tenant

ADMIN_TOKEN = "an admin token for tests"
KEY = "sk-a-very-secret-key-1234"
OWN_MODELS = {"llm_base_url": "https://llm.example/v1", "llm_api_key": KEY, "description": "shop"}


class Operator:
    """Whoever holds the admin token, or another one."""

    def __init__(self, token: str = ADMIN_TOKEN) -> None:
        self.token = token
        self.client = Client(raise_request_exception=False)

    def call(self, method: str, path: str, body: Any = None) -> Answer:
        content = b"" if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {self.token}"}
        answer = self.client.generic(method, f"/v1/{path}", content, headers=headers)
        return Answer(answer.status_code, lowered(answer.headers), answer.json())

    def get(self, path: str) -> Answer:
        return self.call("GET", path)

    def post(self, path: str, body: Any = None) -> Answer:
        return self.call("POST", path, body)


@pytest.fixture
def operator(db: None, settings: Any) -> Operator:
    settings.ADMIN_TOKEN = ADMIN_TOKEN
    return Operator()


def administrator(of: Tenant, operator: Operator, **fields: Any) -> Operator:
    made = operator.post("tokens", {"tenant": of.pk, "scopes": ["admin"], **fields})
    return Operator(made["assistant_token"])


def takes(value: str) -> bool:
    forget_tokens()
    return Operator(value).get("assistants").status == 200


def test_tokens_in_the_shapes_of_open_assistant_api(operator: Operator) -> None:
    made = operator.post("tokens", OWN_MODELS)
    value, id = made["assistant_token"], made["id"]
    assert tokens.is_well_formed(value)
    assert {"id", "assistant_token", "llm_base_url", "llm_api_key", "description", "created_at", "updated_at"} <= set(
        made.body
    )
    assert (made["llm_base_url"], made["llm_api_key"], made["description"]) == (
        "https://llm.example/v1",
        "…1234",
        "shop",
    )
    provider = Provider.objects.get(tenant=made["tenant"])
    assert (provider.base_url, provider.api_key, provider.token) == ("https://llm.example/v1", KEY, None)
    assert takes(value)

    for named in (id, value):
        shown = operator.get(f"tokens/{named}")
        assert shown["id"] == id
        assert value not in json.dumps(shown.body)
        assert shown["assistant_token"] == f"sk-holdfast-…{value[-4:]}"
    [listed] = [each for each in operator.get("tokens")["data"] if each["id"] == id]
    assert listed == operator.get(f"tokens/{id}").body
    assert KEY not in json.dumps(listed)

    changed = operator.post(f"tokens/modify_token/{value}", {"llm_base_url": "https://other.example/v1"})
    assert (changed["llm_base_url"], changed["llm_api_key"], changed["description"]) == (
        "https://other.example/v1",
        "…1234",
        "shop",
    )
    operator.post(f"tokens/modify_token/{id}", {"llm_api_key": changed["llm_api_key"]})  # a hint is no key
    provider.refresh_from_db()
    assert (provider.base_url, provider.api_key) == ("https://other.example/v1", KEY)
    operator.post(f"tokens/modify_token/{id}", {"llm_base_url": None})
    assert not Provider.objects.filter(tenant=made["tenant"]).exists()

    refreshed = operator.get(f"tokens/refresh_token/{value}")
    assert refreshed["id"] == id
    assert takes(refreshed["assistant_token"])
    assert not takes(value)

    assert operator.call("DELETE", f"tokens/{id}").body == {"id": id, "object": "token.deleted", "deleted": True}
    assert not takes(refreshed["assistant_token"])
    assert operator.get(f"tokens/{id}")["revoked_at"] <= time.time()
    assert operator.post(f"tokens/refresh_token/{id}").status == 400


def test_a_rotation_may_overlap(operator: Operator, alice: LocalCaller) -> None:
    id = ApiToken.objects.get(tenant=alice.tenant).pk
    second = operator.post(f"tokens/refresh_token/{id}", {"overlap_seconds": 3600})
    assert 3500 < second["previous_token_until"] - time.time() < 3700
    assert second["previous_token"] == f"sk-holdfast-…{alice.token[-4:]}"
    assert takes(alice.token)
    assert takes(second["assistant_token"])
    assert operator.get(f"tokens/{alice.token}")["id"] == id

    third = operator.post(f"tokens/refresh_token/{id}", {"overlap_seconds": 3600})
    assert not takes(alice.token), "a second rotation ends the overlap of the first"
    assert takes(second["assistant_token"])
    ApiToken.objects.filter(pk=id).update(previous_until="2026-01-01T00:00:00Z")
    assert not takes(second["assistant_token"])
    assert takes(third["assistant_token"])
    assert operator.post(f"tokens/refresh_token/{id}", {"overlap_seconds": -1}).error["param"] == "overlap_seconds"


@pytest.mark.parametrize(
    ("body", "param", "code"),
    [
        ({"llm_api_key": "x"}, "llm_base_url", "missing_required_parameter"),
        ({"llm_base_url": "ftp://x"}, "llm_base_url", "invalid_value"),
        ({"scopes": ["threads.erase"]}, "scopes[0]", "invalid_value"),
        ({"scopes": []}, "scopes", "empty_array"),
        ({"allowed_networks": ["10.0.0.0/8", "10.0.0.0/99"]}, "allowed_networks[1]", "invalid_value"),
        ({"allowed_models": "gpt-4o"}, "allowed_models", "invalid_type"),
        ({"expires_at": 1_000_000_000}, "expires_at", "invalid_value"),
        ({"expires_at": "tomorrow"}, "expires_at", "invalid_type"),
        ({"limits": {"requests_per_minute": 0}}, "limits.requests_per_minute", "integer_below_min_value"),
        ({"limits": {"requests": 1}}, "limits.requests", "unknown_parameter"),
        ({"name": ""}, "name", "empty_string"),
        ({"tenant": "x"}, "tenant", "invalid_value"),
    ],
)
def test_wrong_fields(operator: Operator, body: dict[str, Any], param: str, code: str) -> None:
    refused = operator.post("tokens", body)
    assert (refused.status, refused.error["param"], refused.error["code"]) == (400, param, code)


def test_a_token_with_all_that_it_may_be(operator: Operator, alice: LocalCaller) -> None:
    until = int(time.time()) + 3600
    fields = {
        "name": "web shop",
        "scopes": ["threads.write", "assistants.read"],
        "allowed_models": ["gpt-*"],
        "allowed_networks": ["10.1.0.0/16", "2001:db8::1/128"],
        "expires_at": until,
    }
    limits = {"requests_per_minute": 60}
    made = operator.post("tokens", {**fields, "tenant": alice.tenant.pk, "limits": limits})
    assert {name: made[name] for name in fields} == fields
    assert made["limits"] == {"requests_per_minute": 60, "tokens_per_minute": None}
    assert made["tenant"] == alice.tenant.pk

    changes = {"limits": {"tokens_per_minute": 1000}, "expires_at": None, "allowed_networks": None}
    changed = operator.post(f"tokens/modify_token/{made['id']}", changes)
    assert changed["limits"] == {"requests_per_minute": 60, "tokens_per_minute": 1000}
    assert (changed["expires_at"], changed["allowed_networks"], changed["name"]) == (None, [], "web shop")

    provided = operator.post(f"tokens/modify_token/{made['id']}", {"llm_base_url": "http://ollama:11434/v1/"})
    assert (provided["llm_base_url"], provided["llm_api_key"]) == ("http://ollama:11434/v1", None)
    assert Provider.objects.get(tenant=alice.tenant).token_id == made["id"], "the tenant's other tokens have none of it"


def test_what_operators_do_is_recorded_without_secrets(operator: Operator) -> None:
    made = operator.post("tokens", OWN_MODELS)
    operator.post(f"tokens/modify_token/{made['id']}", {"llm_api_key": "sk-another-secret-key"})
    value = operator.post(f"tokens/refresh_token/{made['id']}")["assistant_token"]
    operator.call("DELETE", f"tokens/{made['id']}")
    operator.post(f"tenants/{made['tenant']}/suspend")
    entries = list(AuditEntry.objects.filter(tenant_id=made["tenant"]).order_by("pk"))
    assert [entry.action for entry in entries] == [
        "tenant.created",
        "token.created",
        "provider.created",
        "provider.changed",
        "token.rotated",
        "token.revoked",
        "tenant.suspended",
    ]
    assert {entry.actor_kind for entry in entries} == {"admin_token"}
    text = json.dumps([[entry.before, entry.after] for entry in entries])
    for secret in (KEY, "another-secret", tokens.digest(value), tokens.digest(made["assistant_token"])):
        assert secret not in text
    assert entries[3].after == {"encrypted_key": "***"}


def test_an_administrator_keeps_the_tokens_of_its_tenant(
    operator: Operator, alice: LocalCaller, bob: LocalCaller
) -> None:
    admin = administrator(alice.tenant, operator)
    assert {each["tenant"] for each in admin.get("tokens")["data"]} == {alice.tenant.pk}
    made = admin.post("tokens", {"name": "shop", "scopes": ["threads.read"]})
    assert made["tenant"] == alice.tenant.pk
    assert admin.post(f"tokens/refresh_token/{made['id']}")["assistant_token"]
    assert admin.call("DELETE", f"tokens/{made['id']}").status == 200
    assert admin.get(f"tokens/{bob.token}").status == 404
    for body in (OWN_MODELS, {"tenant": bob.tenant.pk}, {"tenant": alice.tenant.pk}, {"llm_base_url": "http://x/v1"}):
        assert admin.post("tokens", body).status == 403
    Provider.objects.create(tenant=alice.tenant, name="p", base_url="http://inner.example/v1")
    assert "inner.example" not in json.dumps(admin.get("tokens").body)
    own = ApiToken.objects.get(digest=tokens.digest(admin.token)).pk
    assert admin.call("DELETE", f"tokens/{own}").status == 400


def test_nobody_gives_more_than_it_has(operator: Operator, alice: LocalCaller) -> None:
    until = int(time.time()) + 3600
    bounds = {
        "allowed_models": ["gpt-*"],
        "allowed_networks": ["127.0.0.0/8"],
        "expires_at": until,
        "limits": {"requests_per_minute": 100},
    }
    admin = administrator(alice.tenant, operator, **bounds)
    own = ApiToken.objects.get(digest=tokens.digest(admin.token)).pk
    inherited = admin.post("tokens", {})
    assert inherited["allowed_models"] == ["gpt-*"]
    assert inherited["allowed_networks"] == ["127.0.0.0/8"]
    assert (inherited["expires_at"], inherited["limits"]["requests_per_minute"]) == (until, 100)
    narrower = {"allowed_models": ["gpt-4*"], "allowed_networks": ["127.0.0.1"], "expires_at": until - 1}
    assert admin.post("tokens", narrower).status == 200
    for wider in (
        {"allowed_models": ["*"]},
        {"allowed_models": ["gpt-4o", "o3"]},
        {"allowed_networks": ["0.0.0.0/0"]},
        {"allowed_networks": ["127.0.0.1", "::/0"]},
        {"expires_at": until + 1},
        {"limits": {"requests_per_minute": 101}},
    ):
        assert admin.post("tokens", wider).status == 403, wider
        for id in (own, inherited["id"]):
            assert admin.post(f"tokens/modify_token/{id}", wider).status == 403, wider
    loose: dict[str, Any]
    for loose in ({"allowed_models": None}, {"allowed_networks": []}, {"expires_at": None}):
        assert admin.post(f"tokens/modify_token/{own}", loose).status == 403, loose
    assert {name: operator.get(f"tokens/{own}")[name] for name in ("allowed_models", "expires_at")} == {
        "allowed_models": ["gpt-*"],
        "expires_at": until,
    }

    keeper = administrator(alice.tenant, operator, scopes=["tokens.write", "read"])
    assert keeper.post("tokens", {}).status == 403
    assert keeper.post("tokens", {"scopes": ["admin"]}).status == 403
    assert keeper.post("tokens", {"scopes": ["threads.read"]}).status == 200
    for path in (f"tokens/refresh_token/{own}", f"tokens/modify_token/{own}"):  # else it would speak as the admin
        assert keeper.post(path, {}).status == 403
    assert keeper.call("GET", f"tokens/refresh_token/{own}").status == 403
    assert keeper.call("DELETE", f"tokens/{own}").status == 403


def test_an_administrator_cannot_take_away_the_model_server_that_pays(operator: Operator, alice: LocalCaller) -> None:
    admin = administrator(alice.tenant, operator)
    own = operator.get("tokens?limit=100&tenant=" + alice.tenant.pk)["data"][0]["id"]
    operator.post(f"tokens/modify_token/{own}", {"llm_base_url": "https://llm.example/v1", "llm_api_key": KEY})
    for fields in ({"llm_base_url": None}, {"llm_api_key": None}, {"name": "x", "llm_base_url": None}):
        assert admin.post(f"tokens/modify_token/{own}", fields).status == 403
    assert operator.get(f"tokens/{own}")["llm_base_url"] == "https://llm.example/v1"
    assert admin.post("tokens", {"llm_base_url": None, "tenant": None}).status == 200


def test_tenants(operator: Operator, alice: LocalCaller) -> None:
    fields = {
        "name": "Acme",
        "currency": "EUR",
        "when_busy": "queue",
        "fetch_allowed_hosts": ["api.corp", "10.1.0.0/16"],
    }
    made = operator.post("tenants", {**fields, "limits": {"concurrent_runs": 20, "queued_runs": 0}})
    assert {name: made[name] for name in fields} == fields
    assert (made["limits"]["concurrent_runs"], made["limits"]["queued_runs"]) == (20, 0)
    assert set(made["limits"]) >= {"storage_mb", "code_memory_mb"}
    path = f"tenants/{made['id']}"
    changed = operator.post(path, {"limits": {"concurrent_runs": None, "storage_mb": 5}, "when_busy": None})
    assert (changed["limits"]["concurrent_runs"], changed["limits"]["storage_mb"]) == (None, 5)
    assert (changed["limits"]["queued_runs"], changed["when_busy"], changed["name"]) == (0, "reject", "Acme")
    assert operator.get(path).body == changed.body
    assert made["id"] in [each["id"] for each in operator.get("tenants?limit=100")["data"]]

    for body, param in (
        ({"name": "Acme"}, "name"),
        ({}, "name"),
        ({"name": "B", "currency": "euro"}, "currency"),
        ({"name": "B", "fetch_allowed_hosts": ["http://x"]}, "fetch_allowed_hosts[0]"),
        ({"name": "B", "limits": {"code_memory_mb": 1}}, "limits.code_memory_mb"),
    ):
        refused = operator.post("tenants", body)
        assert (refused.status, refused.error["param"]) == (400, param)
    assert operator.post(path, {"name": alice.tenant.name}).error["param"] == "name"
    assert operator.get("tenants/tenant_none").status == 404

    assert operator.post(f"tenants/{alice.tenant.pk}/suspend")["suspended_at"]
    assert not takes(alice.token)
    assert operator.post(f"tenants/{alice.tenant.pk}/resume")["suspended_at"] is None
    assert takes(alice.token)
    Tenant.objects.filter(pk=made["id"]).update(deletion_began_at="2026-01-01T00:00:00Z")
    assert operator.post(f"{path}/resume").status == 400


def test_without_tokens_all_are_one_tenant(operator: Operator, alice: LocalCaller, settings: Any) -> None:
    settings.AUTH_ENABLED = False
    forget_tokens()
    nobody, anybody = Client(), Operator("sk-whatever")
    made = nobody.post("/v1/threads", {}, content_type="application/json", headers={"Authorization": ""}).json()
    assert anybody.get(f"threads/{made['id']}").status == 200
    assert Tenant.objects.get(threads__pk=made["id"]).name == "default"
    assert Operator(alice.token).get(f"threads/{made['id']}").status == 404, "a token is still its tenant's"
    assert Operator(tokens.new_value()).get("threads").status == 401
    assert anybody.get("tokens").status == 403
    assert operator.get("tokens").status == 200
    assert "AUTH_ENABLED is false" in Client().get("/readyz").json()["authentication"]


def test_while_the_operators_token_is_changed_both_are_taken(operator: Operator, settings: Any) -> None:
    settings.ADMIN_TOKEN = "the operator's new token"
    assert operator.get("tenants").status == 401
    settings.ADMIN_TOKEN_FALLBACKS = ["another one of those", ADMIN_TOKEN]
    assert operator.get("tenants").status == 200
    assert Operator("the operator's new token").get("tenants").status == 200
    assert Operator("the operator's old token").get("tenants").status == 401
