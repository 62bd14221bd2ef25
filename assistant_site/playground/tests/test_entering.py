"""How a browser gets a token for the playground, and gives it back."""

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from assistant_site import guessing, valkey
from assistant_site.operating.tests.staff import member
from assistant_site.tests.callers import LocalCaller
from audit.models import AuditEntry
from tenants import actions, auth, deletion
from tenants.models import ApiToken, MadeFor, Provider, Tenant

pytestmark = pytest.mark.django_db
KEY = "a key that is long enough"


@pytest.fixture(autouse=True)
def a_key(settings: Settings) -> None:
    settings.PLAYGROUND_KEY = KEY


def enter(key: Any = KEY, *, address: str = "127.0.0.1", **headers: str) -> Any:
    body = {"key": key}
    return Client().post(
        "/playground/enter", body, content_type="application/json", headers=headers, REMOTE_ADDR=address
    )


def asks(token: str) -> int:
    return Client().get("/v1/assistants", headers={"Authorization": f"Bearer {token}"}).status_code


def error_of(answer: Any) -> dict[str, Any]:
    assert set(answer.json()) == {"error"}
    return dict(answer.json()["error"])


def playground_tokens(tenant: Tenant) -> list[ApiToken]:
    return list(ApiToken.objects.filter(tenant=tenant, made_for=MadeFor.PLAYGROUND).order_by("pk"))


# --- With the key ----------------------------------------------------------------------------------------------------


def test_the_key_opens_the_first_tenant_for_a_day(alice: LocalCaller, bob: LocalCaller) -> None:
    answer = enter()

    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"
    body = answer.json()
    assert set(body) == {"token", "tenant", "expires_at"}
    assert body["tenant"] == {"id": alice.tenant.pk, "name": alice.tenant.name}
    assert abs(body["expires_at"] - (timezone.now() + timedelta(hours=24)).timestamp()) < 60
    caller = LocalCaller(alice.tenant, body["token"])
    assert caller.get("assistants").status == 200
    assert caller.post("assistants", {"model": "demo"}).status == 200
    assert caller.get("usage").status == 200
    assert caller.get("tokens").status == 403  # reads and writes; keeps nobody's tokens
    [token] = playground_tokens(alice.tenant)
    assert (token.name, token.scopes) == ("Playground", ["read", "write"])


def test_the_token_ends_by_itself(alice: LocalCaller) -> None:
    token = enter().json()["token"]
    assert asks(token) == 200
    ApiToken.objects.filter(made_for=MadeFor.PLAYGROUND).update(expires_at=timezone.now())
    auth.forget_tokens()
    assert asks(token) == 401


def test_who_entered_is_in_the_audit_log(alice: LocalCaller) -> None:
    enter(address="192.0.2.7")
    [token] = playground_tokens(alice.tenant)
    entry = AuditEntry.objects.get(object_id=token.pk)
    assert (entry.action, entry.tenant_id, entry.address) == ("token.created", alice.tenant.pk, "192.0.2.7")
    assert (entry.actor_kind, entry.actor_name) == ("system", "the playground's link")
    assert entry.after is not None
    assert entry.after["digest"] == "***"


def test_a_wrong_key_is_told_what_to_do(alice: LocalCaller, own_address: str) -> None:
    answer = enter("a key that is long enougH", address=own_address)
    assert answer.status_code == 401
    assert error_of(answer)["code"] == "invalid_playground_key"
    assert "Open the link that the last start of Holdfast has printed" in error_of(answer)["message"]
    assert KEY not in answer.content.decode()
    assert playground_tokens(alice.tenant) == []


@pytest.mark.parametrize("key", [None, 7, ["x"], {}])
def test_what_is_no_key_is_refused(key: Any) -> None:
    answer = enter(key)
    assert (answer.status_code, error_of(answer)["param"]) == (400, "key")


@pytest.mark.parametrize("key", ["", "é" * 30, "\x00", "k" * 100_000])
def test_odd_keys_are_wrong_keys(key: str, own_address: str) -> None:
    assert enter(key, address=own_address).status_code == 401


@pytest.mark.parametrize("body", [b"", b"[]", b"7", b"{", b"\xff", b'{"key": "\\ud800"}'])
def test_a_body_that_is_none_is_refused(body: bytes, own_address: str) -> None:
    answer = Client().post("/playground/enter", body, content_type="application/json", REMOTE_ADDR=own_address)
    assert answer.status_code == 400
    assert error_of(answer)["message"]


def test_without_a_key_nobody_enters(alice: LocalCaller, settings: Settings) -> None:
    settings.PLAYGROUND_KEY = ""
    for key in ("", KEY):
        answer = enter(key)
        assert (answer.status_code, error_of(answer)["code"]) == (403, "playground_key_off")
    assert playground_tokens(alice.tenant) == []


def test_without_a_tenant_there_is_nothing_to_enter() -> None:
    assert not Tenant.objects.exists()
    answer = enter()
    assert answer.status_code == 404
    assert "no tenant yet" in error_of(answer)["message"]


def test_a_suspended_tenant_is_not_entered(alice: LocalCaller) -> None:
    actions.suspend_tenant(alice.tenant)
    answer = enter()
    assert (answer.status_code, error_of(answer)["code"]) == (403, "account_suspended")
    assert f"{alice.tenant.name} is suspended" in error_of(answer)["message"]


def test_too_many_wrong_keys_from_one_address_end_the_trying(alice: LocalCaller, own_address: str) -> None:
    for _ in range(guessing.MOST_A_MINUTE):
        assert enter("wrong", address=own_address).status_code in (401, 429)  # a minute may begin between
    neighbour = own_address.removesuffix("::1") + ":1::9"
    refused = [enter("wrong", address=neighbour) for _ in range(guessing.MOST_A_MINUTE)][-1]
    if refused.status_code == 401:  # the minute began just now
        refused = enter("wrong", address=own_address)
    assert refused.status_code == 429
    assert error_of(refused)["code"] == "rate_limit_exceeded"
    assert 1 <= int(refused.headers["Retry-After"]) <= 60
    assert enter("wrong", address="192.0.2.200").status_code == 401  # others may go on


def test_the_right_key_costs_nothing_however_often(alice: LocalCaller, own_address: str) -> None:
    for _ in range(guessing.MOST_A_MINUTE + 2):
        assert enter(address=own_address).status_code == 200


def test_while_valkey_is_gone_people_enter(
    alice: LocalCaller, monkeypatch: pytest.MonkeyPatch, own_address: str
) -> None:
    def gone() -> Any:
        raise valkey.Failed("gone")

    monkeypatch.setattr(valkey, "blocking", gone)
    assert enter("wrong", address=own_address).status_code == 401
    assert enter(address=own_address).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "cross-site", "Origin": "http://testserver"},
        {"Origin": "https://elsewhere.example"},
        {"Origin": "null"},
    ],
)
def test_another_sites_page_does_not_enter(alice: LocalCaller, headers: dict[str, str]) -> None:
    answer = enter(**headers)
    assert answer.status_code == 403
    assert "another site" in error_of(answer)["message"]
    assert playground_tokens(alice.tenant) == []


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "same-origin", "Origin": "https://proxy.example"},
        {"Sec-Fetch-Site": "none"},
        {"Origin": "http://testserver"},
        {},
    ],
)
def test_our_own_page_enters(alice: LocalCaller, headers: dict[str, str]) -> None:
    assert enter(**headers).status_code == 200


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
def test_a_form_does_not_enter(alice: LocalCaller, content_type: str) -> None:
    answer = Client().generic("POST", "/playground/enter", f'{{"key": "{KEY}"}}', content_type=content_type)
    assert answer.status_code == 400
    assert error_of(answer)["message"] == "Send Content-Type: application/json."


@pytest.mark.parametrize(
    ("path", "allowed"),
    [("enter", "POST"), ("leave", "POST"), ("tenants", "GET"), ("tenants/tenant_x/enter", "POST")],
)
def test_other_methods_are_refused_in_the_envelope(path: str, allowed: str) -> None:
    for method in {"GET", "POST", "PUT", "DELETE", "OPTIONS"} - {allowed}:
        answer = Client().generic(method, f"/playground/{path}")
        assert (answer.status_code, answer.headers["Allow"]) == (405, allowed)
        assert error_of(answer)["code"] == "method_not_supported"


# --- As staff --------------------------------------------------------------------------------------------------------


def choose(client: Client, tenant: str, **headers: str) -> Any:
    return client.post(f"/playground/tenants/{tenant}/enter", headers=headers)


def strict(role: str) -> tuple[Client, str]:
    """A member of the staff whose requests need the page's token, and that token as the page tells it."""
    client = member(role)
    client.handler.enforce_csrf_checks = True
    page = client.get("/").content.decode()
    return client, page.partition('"csrf": "')[2].partition('"')[0]


def test_staff_choose_a_tenant_by_name(alice: LocalCaller, bob: LocalCaller) -> None:
    actions.suspend_tenant(bob.tenant)
    answer = member("operator").get("/playground/tenants")
    assert answer.status_code == 200
    both = sorted([(alice.tenant, True), (bob.tenant, False)], key=lambda each: each[0].name)
    assert answer.json() == {
        "data": [{"id": tenant.pk, "name": tenant.name, "is_open": is_open} for tenant, is_open in both],
        "has_more": False,
    }
    part = alice.tenant.name[1:].upper()
    found = member("operator").get("/playground/tenants", {"search": f" {part} "}).json()["data"]
    assert [each["id"] for each in found] == [alice.tenant.pk]
    assert member("operator").get("/playground/tenants", {"search": "nobody\x00%_"}).json()["data"] == []


def test_a_long_list_of_tenants_is_cut_and_says_so() -> None:
    Tenant.objects.bulk_create([Tenant(name=f"Tenant {number:03}") for number in range(53)])
    listed = member("operator").get("/playground/tenants").json()
    assert [each["name"] for each in listed["data"]] == [f"Tenant {number:03}" for number in range(50)]
    assert listed["has_more"] is True


def test_a_tenant_that_is_being_deleted_is_not_offered(alice: LocalCaller) -> None:
    deletion.begin(alice.tenant)
    assert member("operator").get("/playground/tenants").json()["data"] == []
    refused = choose(member("operator"), alice.tenant.pk)
    assert refused.status_code == 403
    assert "is being deleted" in error_of(refused)["message"]


def test_staff_get_a_token_of_the_tenant_that_they_choose(alice: LocalCaller, bob: LocalCaller) -> None:
    client, csrf = strict("operator")
    answer = choose(client, bob.tenant.pk, **{"X-CSRFToken": csrf})

    assert answer.status_code == 200
    body = answer.json()
    assert body["tenant"] == {"id": bob.tenant.pk, "name": bob.tenant.name}
    assert abs(body["expires_at"] - (timezone.now() + timedelta(hours=12)).timestamp()) < 60
    assert asks(body["token"]) == 200
    [token] = playground_tokens(bob.tenant)
    assert (token.name, token.scopes) == ("Playground of the operator", ["read", "write"])
    entry = AuditEntry.objects.get(object_id=token.pk, action="token.created")
    assert (entry.actor_kind, entry.actor_name, entry.tenant_id) == ("staff", "the operator", bob.tenant.pk)
    assert playground_tokens(alice.tenant) == []


@pytest.mark.parametrize("csrf", ["", "x", "a" * 64])
def test_a_forged_choice_is_refused(alice: LocalCaller, csrf: str) -> None:
    client, _ = strict("operator")
    answer = choose(client, alice.tenant.pk, **({"X-CSRFToken": csrf} if csrf else {}))
    assert (answer.status_code, error_of(answer)["code"]) == (403, "csrf_failed")
    assert playground_tokens(alice.tenant) == []


@pytest.mark.parametrize("role", ["support", "auditor", ""])
def test_a_role_without_the_rights_is_told_so(alice: LocalCaller, role: str) -> None:
    client = member(role)
    for answer in (client.get("/playground/tenants"), choose(client, alice.tenant.pk)):
        assert answer.status_code == 403
        assert "Your role may not" in error_of(answer)["message"]
    assert playground_tokens(alice.tenant) == []


def test_where_content_is_hidden_nobody_of_the_staff_enters(alice: LocalCaller, settings: Settings) -> None:
    settings.ADMIN_SHOWS_CONTENT = False
    assert choose(member("superuser"), alice.tenant.pk).status_code == 403
    assert playground_tokens(alice.tenant) == []


def test_who_is_not_signed_in_is_told_where(alice: LocalCaller, django_user_model: Any) -> None:
    visitor = Client()
    for answer in (visitor.get("/playground/tenants"), choose(visitor, alice.tenant.pk)):
        assert answer.status_code == 401
        assert "/admin/" in error_of(answer)["message"]
    visitor.force_login(django_user_model.objects.create_user("customer", is_staff=False, is_superuser=True))
    assert choose(visitor, alice.tenant.pk).status_code == 403
    gone = member("operator")
    django_user_model.objects.update(is_active=False)
    assert choose(gone, alice.tenant.pk).status_code == 401


@pytest.mark.parametrize("tenant", ["tenant_unknown", "x", "%00"])
def test_an_unknown_tenant_is_not_found(tenant: str) -> None:
    answer = choose(member("operator"), tenant)
    assert answer.status_code == 404
    assert error_of(answer)["message"].startswith("No tenant found with id ")


def test_a_suspended_tenant_is_not_entered_by_staff(alice: LocalCaller) -> None:
    actions.suspend_tenant(alice.tenant)
    refused = choose(member("operator"), alice.tenant.pk)
    assert (refused.status_code, error_of(refused)["code"]) == (403, "account_suspended")


# --- Lists stay short, and signing out -------------------------------------------------------------------------------


def test_tokens_that_have_ended_go_when_a_new_one_comes(alice: LocalCaller, bob: LocalCaller) -> None:
    enter(), enter()
    choose(member("operator"), bob.tenant.pk)
    expired, revoked = playground_tokens(alice.tenant)
    ApiToken.objects.filter(pk=expired.pk).update(expires_at=timezone.now())
    ApiToken.objects.filter(tenant=bob.tenant).update(expires_at=timezone.now())
    actions.revoke_token(revoked)

    enter()

    assert not {expired.pk, revoked.pk} & {token.pk for token in playground_tokens(alice.tenant)}
    assert len(playground_tokens(alice.tenant)) == 1
    assert len(playground_tokens(bob.tenant)) == 1  # another tenant's wait for one of their own
    assert asks(alice.token) == 200
    deleted = AuditEntry.objects.filter(action="token.deleted")
    assert {entry.object_id for entry in deleted} == {expired.pk, revoked.pk}


def test_a_programs_token_stays_whatever_its_name(alice: LocalCaller) -> None:
    token, _ = actions.issue_token(tenant=alice.tenant, name="Playground", expires_at=timezone.now())
    enter()
    assert ApiToken.objects.filter(pk=token.pk).exists()


def test_one_name_has_so_many_at_once_and_the_oldest_goes(alice: LocalCaller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(actions, "MOST_PLAYGROUND_TOKENS", 3)
    of_staff = choose(member("operator"), alice.tenant.pk).json()["token"]
    values = [enter().json()["token"] for _ in range(4)]
    assert [asks(value) for value in values] == [401, 200, 200, 200]
    assert asks(of_staff) == 200


def test_a_browsers_token_changes_nothing_for_programs(alice: LocalCaller) -> None:
    """A provider that is set for the tenant's only program serves the browser too."""
    enter()
    token = ApiToken.objects.get(tenant=alice.tenant, made_for=MadeFor.PROGRAMS)
    actions.provide_token(token, base_url="https://models.example/v1", api_key=None)
    assert Provider.objects.get(tenant=alice.tenant).token is None


def leave(token: str) -> Any:
    return Client().post("/playground/leave", headers={"Authorization": f"Bearer {token}"} if token else {})


def test_signing_out_ends_the_token(alice: LocalCaller) -> None:
    first, second = enter().json()["token"], enter().json()["token"]
    answer = leave(first)
    assert (answer.status_code, answer.json()) == (200, {"revoked": True})
    assert (asks(first), asks(second)) == (401, 200)
    ended, _ = playground_tokens(alice.tenant)
    entry = AuditEntry.objects.get(object_id=ended.pk, action="token.revoked")
    assert (entry.actor_kind, entry.actor_id) == ("token", ended.pk)
    assert leave(first).status_code == 401


def test_signing_out_does_not_end_a_programs_token(alice: LocalCaller, settings: Settings) -> None:
    actions.change_token(ApiToken.objects.get(tenant=alice.tenant), {"name": "Playground"})
    answer = leave(alice.token)
    assert answer.status_code == 403
    assert "stays as it is" in error_of(answer)["message"]
    assert asks(alice.token) == 200
    settings.ADMIN_TOKEN = "an admin token for tests"
    assert leave(settings.ADMIN_TOKEN).status_code == 403


@pytest.mark.parametrize("token", ["", "sk-something"])
def test_signing_out_without_a_token_is_refused(token: str, settings: Settings) -> None:
    assert leave(token).status_code == 401
    settings.AUTH_ENABLED = False
    assert leave(token).status_code == 403
