"""Actions in the admin: seen and deleted, not changed; no secret is on any page."""

import json

import pytest
from django.contrib.auth.models import User
from django.test import Client

from assistant_site.tests.callers import LocalCaller
from tools.openapi_actions.models import Action

LIST = "/admin/tools/action/"
DOCUMENT = {
    "openapi": "3.0.0",
    "info": {"title": "Shop", "version": "1"},
    "servers": [{"url": "https://shop.example.com"}],
    "paths": {
        "/lamps": {
            "get": {
                "operationId": "listLamps",
                "summary": "<b>All</b> lamps",
                "responses": {"200": {"description": ""}},
            }
        }
    },
}


@pytest.fixture
def operator(db: None) -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("operator", password="for this test only"))
    return client


def made_by(caller: LocalCaller, authentication: dict[str, object]) -> str:
    [action] = caller.post("actions", {"openapi_schema": DOCUMENT, "authentication": authentication}).body
    return str(action["id"])


def page(operator: Client, where: str) -> str:
    answer = operator.get(where)
    assert answer.status_code == 200
    return answer.content.decode()


@pytest.mark.parametrize(
    "authentication",
    [
        {"type": "bearer", "secret": "s3cret-7"},
        {"type": "basic", "secret": "bGVuYTpzM2NyZXQtNw=="},
        {"type": "custom", "content": {"X-Key": "s3cret-7"}},
    ],
)
def test_an_action_is_seen_without_its_secrets(
    operator: Client, alice: LocalCaller, authentication: dict[str, object]
) -> None:
    id = made_by(alice, authentication)
    row, whole = page(operator, LIST), page(operator, f"{LIST}{id}/change/")
    for told in (row, whole):
        assert "listLamps" in told
        assert "https://shop.example.com/lamps" in told
        assert alice.tenant.name in told
        assert str(authentication["type"]) in told
        assert "s3cret-7" not in told
        assert "bGVuYTpzM2NyZXQtNw==" not in told
        assert Action.objects.across_tenants().get(pk=id).sealed not in told
    assert "********" in whole
    assert "&lt;b&gt;All&lt;/b&gt; lamps" in whole


def test_one_whose_secrets_cannot_be_read_is_seen_all_the_same(operator: Client, alice: LocalCaller) -> None:
    id = made_by(alice, {"type": "bearer", "secret": "s3cret-7"})
    Action.objects.across_tenants().filter(pk=id).update(sealed="of another key")
    assert "unreadable" in page(operator, LIST)
    assert "unreadable" in page(operator, f"{LIST}{id}/change/")


def test_it_can_be_found_and_deleted_but_neither_added_nor_changed(
    operator: Client, alice: LocalCaller, bob: LocalCaller
) -> None:
    id, other = made_by(alice, {"type": "none"}), made_by(bob, {"type": "none"})
    found = page(operator, f"{LIST}?q={alice.tenant.name.replace(' ', '+')}")
    assert f'value="{id}"' in found
    assert f'value="{other}"' not in found
    assert operator.get(f"{LIST}add/").status_code == 403
    assert operator.post(f"{LIST}{id}/change/", {"name": "other", "metadata": json.dumps({})}).status_code == 403
    assert operator.post(f"{LIST}{id}/delete/", {"post": "yes"}).status_code == 302
    assert alice.get(f"actions/{id}").status == 404
    assert bob.get(f"actions/{other}")["name"] == "listLamps"
