"""Tenants, tokens, providers and budgets, as an operator works on them; each change is in the audit log."""

import re
from datetime import timedelta

import pytest
from django.contrib.admin.utils import quote
from django.contrib.auth import get_user_model
from django.test import Client
from django.utils import timezone

from assistant_site.operating import dashboard
from assistant_site.operating.tests.planted import plant
from assistant_site.operating.tests.staff import member, text_of
from assistant_site.tests.callers import LocalCaller
from audit.models import AuditEntry
from metering.models import Budget
from tenants import tokens
from tenants.auth import forget_tokens
from tenants.models import ApiToken, Provider, Tenant

VALUE = re.compile(r"sk-holdfast-[0-9A-Za-z]{38}")
SURE = {"_form_submitted": "on"}


@pytest.fixture
def operator(db: None) -> Client:
    return member("operator")


def shown_value(client: Client, page: str) -> str:
    """The token's value, which the page tells once."""
    found = VALUE.search(text_of(client, page))
    assert found
    assert not VALUE.search(text_of(client, page)), "it is shown once"
    return found[0]


def test_a_token_is_issued_rotated_and_revoked(operator: Client, alice: LocalCaller) -> None:
    tenant = alice.tenant
    form = {
        "tenant": tenant.pk,
        "name": "app",
        "scopes": ["read", "threads.write"],
        "allowed_models": "gpt-4.1\r\n qwen3:*\r\n\r\n",
        "allowed_networks": "",
        "requests_per_minute": "60",
    }
    made = operator.post("/admin/tenants/apitoken/add/", form)
    assert made.status_code == 302, made.content.decode()
    token = ApiToken.objects.get(tenant=tenant, name="app")
    page = f"/admin/tenants/apitoken/{token.pk}/change/"
    assert token.scopes == ["read", "threads.write"]
    assert (token.allowed_models, token.allowed_networks) == (["gpt-4.1", "qwen3:*"], [])
    assert token.requests_per_minute == 60
    first = shown_value(operator, made.headers["Location"])
    assert tokens.digest(first) == token.digest
    assert LocalCaller(tenant, first).get("assistants").status == 200

    rotated = operator.post(f"/admin/tenants/apitoken/{token.pk}/rotate/", SURE | {"overlap": "24"})
    assert rotated.status_code == 302
    second = shown_value(operator, page)
    token.refresh_from_db()
    assert token.digest == tokens.digest(second)
    assert token.previous_digest == tokens.digest(first)
    assert token.previous_until is not None
    assert timedelta(hours=23) < token.previous_until - timezone.now() <= timedelta(hours=24)
    assert "rotating" in text_of(operator, f"/admin/tenants/apitoken/?q={token.pk}")

    asked = operator.get(f"/admin/tenants/apitoken/{token.pk}/revoke_one/").content.decode()
    assert "refused from now on" in asked
    token.refresh_from_db()
    assert token.revoked_at is None, "asking changes nothing"
    operator.post(f"/admin/tenants/apitoken/{token.pk}/revoke_one/", SURE)
    forget_tokens()
    assert LocalCaller(tenant, second).get("assistants").status == 401
    again = text_of(operator, page)
    assert "rotate" not in again.lower().replace("rotated", "")
    told = AuditEntry.objects.filter(object_id=token.pk).values_list("action", "actor_name")
    assert {action for action, _ in told} == {"token.created", "token.rotated", "token.revoked"}
    assert {name for _, name in told} == {"the operator"}
    stored = "".join(str((entry.before, entry.after)) for entry in AuditEntry.objects.filter(object_id=token.pk))
    assert token.digest not in stored


def test_a_tenant_is_made_suspended_resumed_and_deleted(operator: Client) -> None:
    operator.post("/admin/tenants/tenant/add/", {"name": "Acme", "when_busy": "reject", "currency": "EUR"})
    tenant = Tenant.objects.get(name="Acme")
    at = f"/admin/tenants/tenant/{tenant.pk}"
    for button, is_open in (("suspend", False), ("resume", True)):
        assert f"/{button}/" in text_of(operator, f"{at}/change/")
        assert operator.post(f"{at}/{button}/", SURE, headers={"HX-Request": "true"}).status_code == 204
        tenant.refresh_from_db()
        assert tenant.is_open == is_open
        assert f"/{button}/" not in text_of(operator, f"{at}/change/")

    wrong = operator.post(f"{at}/delete_all/", SURE | {"name": "Another"})
    assert "This is not its name." in wrong.content.decode()
    tenant.refresh_from_db()
    assert tenant.deletion_began_at is None
    operator.post(f"{at}/delete_all/", SURE | {"name": "Acme"})
    tenant.refresh_from_db()
    assert tenant.deletion_began_at is not None
    assert "is being deleted" in text_of(operator, f"{at}/change/")  # type: ignore[unreachable]
    actions = set(AuditEntry.objects.filter(object_id=tenant.pk).values_list("action", flat=True))
    assert actions >= {"tenant.created", "tenant.suspended", "tenant.resumed"}


def test_buttons_work_by_the_addresses_that_lists_link_to(operator: Client, alice: LocalCaller) -> None:
    """They quote the keys: `tenant_5F…`."""
    run = alice.post(f"threads/{alice.thread('x')}/runs", {"assistant_id": alice.assistant()})["id"]
    token = ApiToken.objects.filter(tenant=alice.tenant)[0]

    def listed(model: str, key: str) -> str:
        link = f"/admin/{model}/{quote(key)}/change/"
        assert link in operator.get(f"/admin/{model}/?q={key}").content.decode()
        return link

    tenant_page = listed("tenants/tenant", alice.tenant.pk)
    for model, key, buttons in (
        ("tenants/tenant", alice.tenant.pk, ["new_token", "suspend", "delete_all"]),
        ("tenants/apitoken", token.pk, ["rotate", "revoke_one"]),
        ("runs/run", run, ["cancel"]),
    ):
        page = text_of(operator, listed(model, key))
        assert [button for button in buttons if f"/{button}/" not in page] == []

    rotated = operator.post(listed("tenants/apitoken", token.pk).replace("change", "rotate"), SURE | {"overlap": "1"})
    assert VALUE.search(text_of(operator, rotated.headers["Location"]))
    operator.post(tenant_page.replace("change", "delete_all"), SURE | {"name": alice.tenant.name})
    alice.tenant.refresh_from_db()
    assert alice.tenant.deletion_began_at is not None


def test_support_is_told_nothing_of_tokens_and_providers(alice: LocalCaller) -> None:
    page = text_of(member("support"), f"/admin/tenants/tenant/{alice.tenant.pk}/change/")
    assert "Tokens by day" in page
    assert [told for told in ("API tokens", "/tenants/apitoken/", "/tenants/provider/") if told in page] == []


def test_who_opens_the_page_to_sign_in_itself_comes_to_the_first_page(db: None) -> None:
    user = get_user_model().objects.create_superuser("root", password="a long password")
    answer = Client().post("/admin/login/", {"username": user.get_username(), "password": "a long password"})
    assert (answer.status_code, answer.headers["Location"]) == (302, "/admin/")


def test_a_tenants_page_tells_all_of_it(operator: Client, alice: LocalCaller) -> None:
    planted = plant(alice)
    page = text_of(operator, f"/admin/tenants/tenant/{alice.tenant.pk}/change/")
    for told in (
        *(planted[label].pk for label in ("runs.run", "tenants.provider")),
        "700 k tokens, 3 runs, 1.00 USD",
        "90%: 900 tokens of 1.00 k tokens a month",
        f"/admin/runs/run/?tenant__id__exact={alice.tenant.pk}",
        f"/admin/audit/auditentry/?q={alice.tenant.pk}",
    ):
        assert str(told) in page, told


def test_the_dashboard_tells_what_goes_on_and_what_needs_a_hand(operator: Client, alice: LocalCaller) -> None:
    plant(alice)
    for kept in (dashboard.now, dashboard.ended_lately, dashboard.used, dashboard.near_budgets):
        kept.forget()
    alice.post(f"threads/{alice.thread('x')}/runs", {"assistant_id": alice.assistant()})
    Provider.objects.filter(tenant=alice.tenant).update(failed_at=timezone.now(), failure="HTTP 503 by a storm")
    page = text_of(operator, "/admin/")
    now = dashboard.now()
    assert now.runs["queued"] >= 1
    assert now.oldest_queued is not None
    for told in ("the oldest since", alice.tenant.name, "HTTP 503 by a storm", "90%: 900 tokens"):
        assert told in page, told


def test_a_budget_is_one_of_its_kind(operator: Client, alice: LocalCaller, bob: LocalCaller) -> None:
    form = {"tenant": alice.tenant.pk, "unit": "tokens", "period": "month", "amount": "1000", "end_user": ""}
    assert operator.post("/admin/metering/budget/add/", form).status_code == 302
    again = operator.post("/admin/metering/budget/add/", form)
    assert "There is a budget of this kind already." in again.content.decode()
    other = operator.post("/admin/metering/budget/add/", form | {"token": bob.tenant.tokens.get().pk})
    assert "another tenant" in other.content.decode()
    budget = Budget.objects.of(alice.tenant).get()
    assert operator.post(f"/admin/metering/budget/{budget.pk}/change/", form | {"amount": "2000"}).status_code == 302
    assert Budget.objects.of(alice.tenant).get().amount == 2000
