"""A new encryption key: everything that is stored encrypted comes along, and nothing can be forgotten."""

import io
import json
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.apps import apps
from django.core.management import CommandError, call_command
from django.db import connection, models
from pytest_django.fixtures import Settings

from assistant_site.tests.callers import LocalCaller
from assistants.models import Assistant
from runs import credentials
from runs.models import Run
from tenants import encryption, rotation
from tenants.models import Provider
from tools.mcp import headers
from tools.mcp.models import McpServer
from tools.openapi_actions.models import Action
from tools.web_search.models import SearchKey
from vector_stores.models import RetrievalServer

OLD, NEW = Fernet.generate_key().decode(), Fernet.generate_key().decode()
MCP = {"type": "mcp", "server_label": "docs", "server_url": "https://mcp.example.com/mcp", "authorization": "mcp-key"}
SEALED = {"action_authentications": {"a": {"type": "bearer", "secret": "run-key"}}}
BASIC = {"type": "bearer", "secret": "action-key"}


def rotated(**options: Any) -> str:
    out = io.StringIO()
    call_command("rotate_encryption_keys", stdout=out, **options)
    return out.getvalue()


@pytest.fixture
def kinds(alice: LocalCaller, settings: Settings) -> dict[str, models.Model]:
    """One of each kind of secret, on the old key."""
    settings.ENCRYPTION_KEYS = [OLD]
    provider = Provider(tenant=alice.tenant, name="p", base_url="http://p/v1")
    provider.set_api_key("provider-key")
    server = McpServer(tenant=alice.tenant, label="docs", url="https://mcp.example.com/mcp")
    server.set_headers({"Authorization": "server-key"})
    r2r = RetrievalServer(tenant=alice.tenant, base_url="http://r2r", username="u")
    r2r.set_password("r2r-key")
    search = SearchKey(tenant=alice.tenant, provider="brave")
    search.set_key("search-key")
    action = Action(tenant=alice.tenant, name="a", operation={})
    action.set_authentication(BASIC)
    assistant = alice.assistant(tools=[{"type": "code_interpreter"}, MCP])
    made = alice.post(f"threads/{alice.thread('Hi')}/runs", {"assistant_id": assistant, "extra_body": SEALED})
    for row in (provider, server, r2r, search, action):
        row.save()
    rows = [provider, server, r2r, search, action, Assistant.rows.get(pk=assistant), Run.rows.get(pk=made["id"])]
    return {type(row).__name__: row for row in rows}


def in_clear(kinds: dict[str, Any]) -> list[Any]:
    for row in kinds.values():
        row.refresh_from_db()
    return [
        kinds["Provider"].api_key,
        kinds["McpServer"].headers,
        kinds["RetrievalServer"].password,
        kinds["SearchKey"].key,
        kinds["Action"].authentication,
        headers.unsealed(kinds["Assistant"].tools[1]["sealed"]),
        headers.unsealed(kinds["Run"].tools[1]["sealed"]),
        credentials.of(kinds["Run"]),
    ]


def test_all_secrets_come_along_and_the_old_key_can_go(kinds: dict[str, models.Model], settings: Settings) -> None:
    before = in_clear(kinds)
    assert [secret for secret in ("provider-key", "run-key") if secret not in json.dumps(before)] == []
    settings.ENCRYPTION_KEYS = [NEW, OLD]
    with pytest.raises(CommandError, match="8 secrets are still on an older key"):
        rotated(check=True)
    assert "tenants.Provider.encrypted_key: 1 renewed, 0 on the first key" in rotated()
    assert "runs.Run.tools: 0 on an older key, 1 on the first key" in rotated(check=True)
    settings.ENCRYPTION_KEYS = [NEW]
    assert in_clear(kinds) == before


def test_what_cannot_be_decrypted_is_told_and_the_rest_renewed(
    kinds: dict[str, models.Model], settings: Settings
) -> None:
    Provider.objects.filter(pk=kinds["Provider"].pk).update(encrypted_key="damaged")
    settings.ENCRYPTION_KEYS = [NEW, OLD]
    out = io.StringIO()
    with pytest.raises(CommandError, match="1 secrets cannot be decrypted"):
        call_command("rotate_encryption_keys", stdout=out)
    assert f"1 cannot be decrypted: {kinds['Provider'].pk}" in out.getvalue()
    assert "tools.Action.sealed: 1 renewed" in out.getvalue()


def test_what_is_changed_meanwhile_is_not_lost(
    kinds: dict[str, Any], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.ENCRYPTION_KEYS = [NEW, OLD]
    usual = encryption.renewed

    def and_somebody_writes(stored: str) -> str:
        monkeypatch.setattr(encryption, "renewed", usual)
        kinds["Provider"].set_api_key("another-key")
        kinds["Provider"].save()
        return usual(stored)

    monkeypatch.setattr(encryption, "renewed", and_somebody_writes)
    rotated()
    assert in_clear(kinds)[0] == "another-key"


def test_many_rows_go_in_batches(alice: LocalCaller, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.ENCRYPTION_KEYS = [OLD]
    for number in range(7):
        provider = Provider(tenant=alice.tenant, name=str(number), base_url="http://p/v1")
        provider.set_api_key(f"key-{number}")
        provider.save()
    settings.ENCRYPTION_KEYS = [NEW, OLD]
    monkeypatch.setattr(rotation, "BATCH", 3)
    assert "tenants.Provider.encrypted_key: 7 renewed" in rotated()
    settings.ENCRYPTION_KEYS = [NEW]
    assert {row.api_key for row in Provider.objects.filter(tenant=alice.tenant)} == {f"key-{n}" for n in range(7)}


def test_no_secret_can_be_forgotten(kinds: dict[str, models.Model]) -> None:
    """Wherever an encrypted text lies, the column says so; and each such column is among the kinds tried here."""
    declared = {(model._meta.db_table, each.column) for model, each in rotation.secrets()}
    texts = [
        (model._meta.db_table, each.column)
        for model in apps.get_models()
        for each in model._meta.concrete_fields
        if isinstance(each, models.CharField | models.TextField | models.JSONField)
    ]
    with connection.cursor() as cursor:
        holding = set()
        for table, column in texts:
            cursor.execute(f'SELECT 1 FROM "{table}" WHERE "{column}"::text LIKE %s LIMIT 1', ["%gAAAAA%"])
            if cursor.fetchone():
                holding.add((table, column))
    assert holding == declared
    named = {(table, column) for table, column in texts if "encrypted" in str(column) or "sealed" in str(column)}
    assert named <= declared
