"""The operator's way: tenants, tokens and providers in the Django admin."""

import re
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.test import Client

from assistant_site.tests.callers import LocalCaller
from tenants.auth import forget_tokens
from tenants.models import ApiToken, Provider, Tenant
from tenants.reach import allowed_for


@pytest.fixture
def operator(db: None) -> Client:
    user = get_user_model().objects.create_superuser("operator", password="a long password")
    client = Client()
    client.force_login(user)
    return client


def test_a_tenant_and_its_token(operator: Client) -> None:
    operator.post("/admin/tenants/tenant/add/", {"name": "Acme", "when_busy": "reject"})
    tenant = Tenant.objects.get(name="Acme")

    page = operator.post(
        "/admin/tenants/apitoken/add/", {"name": "app", "tenant": tenant.pk, "scopes": ["read"]}, follow=True
    )
    value = re.search(r"sk-holdfast-[0-9A-Za-z]{38}", page.content.decode())
    assert value, "the token is shown once"
    token = ApiToken.objects.get(tenant=tenant)
    caller = LocalCaller(tenant, value[0])
    assert caller.get("assistants").status == 200

    again = operator.get(f"/admin/tenants/apitoken/{token.pk}/change/").content.decode()
    assert value[0] not in again
    assert token.hint in again
    assert token.digest not in again

    chosen = {"action": "revoke", "_selected_action": [token.pk]}
    operator.post("/admin/tenants/apitoken/", chosen, follow=True)
    forget_tokens()
    assert caller.get("assistants").status == 401


def test_a_providers_key_is_stored_encrypted_and_never_shown(operator: Client) -> None:
    form = {"name": "Ollama", "base_url": "http://ollama:11434/v1", "quirks": "{}", "new_key": "sk-very-secret"}
    answer = operator.post("/admin/tenants/provider/add/", form)
    assert answer.status_code == 302, answer.content.decode()
    provider = Provider.objects.get(base_url=form["base_url"])
    assert provider.api_key == "sk-very-secret"
    assert "secret" not in provider.encrypted_key
    assert "secret" not in operator.get(f"/admin/tenants/provider/{provider.pk}/change/").content.decode()

    kept = {**form, "new_key": "", "name": "Other", "embedding_model": "bge-m3"}
    operator.post(f"/admin/tenants/provider/{provider.pk}/change/", kept)
    provider.refresh_from_db()
    assert (provider.name, provider.api_key) == ("Other", "sk-very-secret")
    assert provider.embedding_model == "bge-m3"

    wrong = operator.post("/admin/tenants/provider/add/", {**form, "base_url": "ollama:11434"})
    assert wrong.status_code == 200
    assert "An address like https://" in wrong.content.decode()


def test_what_a_tenant_may_reach(operator: Client, settings: Any) -> None:
    settings.FETCH_ALLOWED_HOSTS = ["files.corp"]
    form = {"name": "Acme", "when_busy": "reject"}
    operator.post("/admin/tenants/tenant/add/", form | {"fetch_allowed_hosts": "api.corp\r\n 10.1.0.0/16\r\n\r\n::1"})
    tenant = Tenant.objects.get(name="Acme")
    assert allowed_for(tenant) == allowed_for(tenant.pk) == ("files.corp", "api.corp", "10.1.0.0/16", "::1")
    assert allowed_for("tenant_unknown") == ("files.corp",)
    for wrong in ("http://api.corp", "10.0.0.0/33", "*.corp", "api.corp, b", "api.corp:80", "böse.corp"):
        page = operator.post(f"/admin/tenants/tenant/{tenant.pk}/change/", form | {"fetch_allowed_hosts": wrong})
        assert "is not a host name, an address or a network" in page.content.decode(), wrong


@pytest.mark.parametrize(
    "page", ["", "tenants/tenant/", "tenants/apitoken/", "tenants/provider/", "assistants/assistant/", "runs/run/"]
)
def test_every_page_opens(operator: Client, alice: LocalCaller, page: str) -> None:
    alice.post(f"threads/{alice.thread('x')}/runs", {"assistant_id": alice.assistant()})
    assert operator.get(f"/admin/{page}").status_code == 200


def test_nobody_gets_in_without_signing_in(db: None) -> None:
    answer = Client().get("/admin/tenants/apitoken/")
    assert answer.status_code == 302
    assert "/admin/login/" in answer.headers["Location"]
