"""What is recorded of changes over the API: who, what, from where, before and after; never a secret, never much."""

import json
from typing import Any

import pytest
from django.db.models import QuerySet

from assistant_site.tests.callers import LocalCaller
from assistant_site.tests.test_tenancy import PING
from audit import log, values
from audit.models import ActorKind, AuditEntry
from tenants.models import ApiToken, Provider
from tools.models import Action


def entries_of(caller: LocalCaller) -> QuerySet[AuditEntry]:
    return AuditEntry.objects.filter(tenant_id=caller.tenant.pk).order_by("pk")


def actions_of(caller: LocalCaller) -> list[str]:
    return list(entries_of(caller).values_list("action", flat=True))


def test_changes_of_an_assistant_are_recorded_with_their_maker(alice: LocalCaller) -> None:
    assistant = alice.assistant(name="Ann")
    alice.post(f"assistants/{assistant}", {"name": "Anna", "model": "demo-instant"})
    alice.post(f"assistants/{assistant}", {"name": "Anna"})  # changes nothing
    gone = alice.delete(f"assistants/{assistant}")
    made, changed, deleted = entries_of(alice)
    assert [made.action, changed.action, deleted.action] == [
        "assistant.created",
        "assistant.modified",
        "assistant.deleted",
    ]
    assert (changed.before, changed.after) == ({"name": "Ann"}, {"name": "Anna"})
    token = ApiToken.objects.get(tenant=alice.tenant)
    assert (deleted.actor_kind, deleted.actor_id, deleted.actor_name) == (ActorKind.TOKEN, token.pk, "test")
    assert (deleted.object_type, deleted.object_id, deleted.object_name) == ("assistant", assistant, "Anna")
    assert deleted.address == "127.0.0.1"
    assert deleted.request_id == gone.headers["x-request-id"]


def test_what_is_destroyed_is_recorded_without_its_content(alice: LocalCaller) -> None:
    thread = alice.thread("my secret diary", "and more")
    message = alice.get(f"threads/{thread}/messages")["data"][0]["id"]
    alice.delete(f"threads/{thread}/messages/{message}")
    file = alice.upload("a.txt", b"diary")
    store = alice.store(name="Books", file_ids=[file])
    alice.post(f"vector_stores/{store}", {"name": "Diaries"})
    alice.delete(f"vector_stores/{store}/files/{file}")
    alice.delete(f"vector_stores/{store}")
    alice.delete(f"files/{file}")
    alice.delete(f"threads/{thread}")
    assert actions_of(alice) == [
        "message.deleted",
        "vector_store.created",
        "vector_store.modified",
        "vector_store.file.deleted",
        "vector_store.deleted",
        "file.deleted",
        "thread.deleted",
    ]
    assert "diary" not in "".join(json.dumps([each.before, each.after]) for each in entries_of(alice))
    assert entries_of(alice).last().before == {"messages": 1}  # type: ignore[union-attr]


def test_what_is_refused_leaves_no_entry(alice: LocalCaller) -> None:
    assert alice.delete("assistants/asst_none").status == 404
    assert alice.post("assistants/asst_none", {"name": "x"}).status == 404
    assert alice.delete("files/file-none").status == 404
    assert actions_of(alice) == []


def test_what_runs_do_is_not_in_the_way(alice: LocalCaller, django_assert_num_queries: Any) -> None:
    assistant = alice.assistant()
    before = entries_of(alice).count()
    thread = alice.thread("hi")
    alice.post(f"threads/{thread}/messages", {"role": "user", "content": "x"})
    alice.post(f"threads/{thread}/runs", {"assistant_id": assistant})
    assert entries_of(alice).count() == before


SECRET = "hunter2-hunter2"


def test_no_secret_gets_in(alice: LocalCaller) -> None:
    mcp = {"type": "mcp", "server_label": "x", "server_url": f"https://mcp.example.com/mcp?apiKey={SECRET}"}
    assistant = alice.assistant(
        tools=[mcp | {"headers": {"Authorization": f"Bearer {SECRET}"}}],
        extra_body={"model_params": {"api_key": SECRET, "nested": [{"accessToken": SECRET}]}},
        instructions=f"Use https://user:{SECRET}@example.com/ and sk-holdfast-{SECRET}{SECRET}.",
    )
    alice.post(f"assistants/{assistant}", {"tools": [mcp | {"headers": {"X-Key": SECRET}}]})
    authentication = {"type": "bearer", "secret": SECRET}
    action = alice.post("actions", {"openapi_schema": PING, "authentication": authentication}).body[0]["id"]
    alice.post(f"actions/{action}", {"authentication": {"type": "bearer", "secret": f"{SECRET}!"}})
    alice.delete(f"actions/{action}")
    assert actions_of(alice) == [
        "assistant.created",
        "assistant.modified",
        "action.created",
        "action.modified",
        "action.deleted",
    ]
    changed = entries_of(alice)[3]
    assert changed.before is not None
    assert changed.before["sealed"] == values.HIDDEN  # that it was changed can be seen
    provider = Provider(tenant=alice.tenant, name="x", base_url="https://example.com/v1")
    provider.set_api_key(SECRET)
    token = ApiToken.objects.get(tenant=alice.tenant)
    for row in (provider, token, Action(tenant=alice.tenant, sealed=SECRET, operation={"headers": {"k": SECRET}})):
        log.created(row)
    written = "".join(json.dumps([each.before, each.after, each.object_name]) for each in entries_of(alice))
    for secret in (SECRET, provider.encrypted_key, token.digest, alice.token):
        assert secret not in written
    assert "https://mcp.example.com/mcp?apiKey=***" in written


@pytest.mark.parametrize(
    "name",
    [
        "sealed",
        "authentication",
        "headers",
        "Authorization",
        "api_key",
        "apiKey",
        "X-API-Key",
        "client_secret",
        "token",
        "encrypted_key",
        "encrypted_headers",
        "encrypted_password",
        "password",
        "previous_digest",
        "access_token",
    ],
)
def test_secrets_are_known_by_their_names(name: str) -> None:
    shown = values.shown({"tools": [{name: SECRET, "max_tokens": 5}]})
    assert shown == {"tools": [{name: values.HIDDEN, "max_tokens": 5}]}


def test_a_new_secret_is_seen_to_be_new(alice: LocalCaller) -> None:
    token = ApiToken.objects.get(tenant=alice.tenant)
    before = log.snapshot(token, hidden=frozenset({"hint"}))
    token.hint = "other"
    entry = log.record_row(token, "rotated", before=before, after=log.snapshot(token, hidden=frozenset({"hint"})))
    assert (entry.before, entry.after) == ({"hint": "***"}, {"hint": "***"})


def test_entries_stay_small(alice: LocalCaller) -> None:
    parameters = {"type": "object", "properties": {f"p{n}": {"description": "d" * 900} for n in range(60)}}
    tools = [{"type": "function", "function": {"name": f"f{n}", "parameters": parameters}} for n in range(20)]
    assistant = alice.assistant(
        instructions="i" * 250_000, tools=tools, metadata={f"k{n}": "v" * 512 for n in range(16)}
    )
    alice.post(f"assistants/{assistant}", {"instructions": "i" * 249_999 + "j"})
    made, changed = entries_of(alice)
    assert len(json.dumps([made.before, made.after])) < 64 * 1024
    assert made.after is not None
    assert made.after["instructions"].startswith("i" * values.MOST_TEXT + "… (250,000 characters")
    assert changed.before != changed.after  # although both begin alike
