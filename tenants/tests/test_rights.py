"""From where, and for which models, a token is taken."""

from typing import Any

import pytest
from django.core.exceptions import ValidationError

from assistant_site.tests.callers import LocalCaller
from tenants import networks, scopes
from tenants.auth import forget_tokens
from tenants.models import ApiToken


def restrict(caller: LocalCaller, **fields: Any) -> None:
    ApiToken.objects.filter(tenant=caller.tenant).update(**fields)
    forget_tokens()


@pytest.mark.parametrize(
    ("entries", "address", "lies_in"),
    [
        (["10.1.0.0/16"], "10.1.255.255", True),
        (["10.1.0.0/16"], "10.2.0.0", False),
        (["192.0.2.7"], "192.0.2.7", True),
        (["192.0.2.7"], "::ffff:192.0.2.7", True),
        (["192.0.2.7"], "192.0.2.7:51234", True),
        (["10.0.0.0/8"], "2002:0a01:0001::", False),  # anybody can have such an address
        (["10.0.0.0/8"], "64:ff9b::10.1.0.1", False),
        (["2001:db8::/32"], "2001:db8:1::1", True),
        (["2001:db8::/32"], "[2001:db8:1::1]:443", True),
        (["fe80::/10"], "fe80::1%eth0", True),
        (["2001:db8::/32"], "192.0.2.7", False),
        (["0.0.0.0/0", "::/0"], "", False),
        (["0.0.0.0/0", "::/0"], "unknown", False),
    ],
)
def test_networks(entries: list[str], address: str, lies_in: bool) -> None:
    assert networks.contain(entries, address) is lies_in


def test_networks_in_networks() -> None:
    assert networks.are_within(["10.1.0.0/16", "::1"], ["10.0.0.0/8", "::/0"])
    assert not networks.are_within(["10.0.0.0/7"], ["10.0.0.0/8"])
    assert not networks.are_within(["::/0"], ["0.0.0.0/0"])


def test_scopes_include_each_other() -> None:
    assert scopes.granted(("admin",)) == {scope for scope in scopes.SCOPES if "." in scope}
    assert scopes.granted(("threads.write",)) == {"threads.read", "threads.write"}
    assert scopes.granted(("write",)) > scopes.granted(("read",))
    assert "tokens.read" not in scopes.granted(("read", "write"))
    assert scopes.granted(()) == scopes.granted(("nonsense", "threads.erase")) == frozenset()


def test_a_token_from_elsewhere(alice: LocalCaller, settings: Any) -> None:
    restrict(alice, allowed_networks=["192.0.2.0/24"])
    assert alice.get("assistants").error["code"] == "ip_not_authorized"
    forwarded = {"X-Forwarded-For": "203.0.113.9, 192.0.2.55"}
    assert alice.call("GET", "/v1/assistants", **forwarded).status == 401, "anybody can say so"
    settings.TRUST_PROXY_HEADERS = True
    assert alice.call("GET", "/v1/assistants", **forwarded).status == 200
    spoofed = {"X-Forwarded-For": "192.0.2.55, 203.0.113.9"}
    assert alice.call("GET", "/v1/assistants", **spoofed).status == 401
    settings.TRUST_PROXY_HEADERS = False
    restrict(alice, allowed_networks=["127.0.0.1"])
    assert alice.get("assistants").status == 200


def test_a_token_for_some_models(alice: LocalCaller) -> None:
    other = alice.assistant(model="o3")
    thread = alice.thread("hello")
    restrict(alice, allowed_models=["demo*", "gpt-4o"])
    mine = alice.assistant(model="gpt-4o")
    run = {"assistant_id": mine}
    for method, path, body in (
        ("POST", "assistants", {"model": "o3"}),
        ("POST", f"assistants/{mine}", {"model": "gpt-4o-mini"}),
        ("POST", f"threads/{thread}/runs", {"assistant_id": other}),
        ("POST", f"threads/{thread}/runs", {**run, "model": "GPT-4o"}),
        ("POST", "threads/runs", {**run, "model": "o3", "thread": {"messages": [{"role": "user", "content": "x"}]}}),
        ("POST", "chat/completions", {"model": "o3", "messages": []}),
        ("POST", "embeddings", {"model": "text-embedding-3-small", "input": "x"}),
    ):
        refused = alice.call(method, f"/v1/{path}", body)
        assert (refused.status, refused.error["code"]) == (403, "model_not_found"), path
        model = body.get("model", "o3")
        assert refused.error["message"] == (f"Project `{alice.tenant.pk}` does not have access to model `{model}`")
    assert alice.post("chat/completions", {"messages": []}).error["param"] == "model"
    assert alice.post(f"assistants/{other}", {"name": "still o3"}).status == 200
    assert alice.post(f"threads/{thread}/runs", {**run, "model": "demo-instant"}).status == 200


def test_a_stored_answer_is_for_those_who_might_ask(alice: LocalCaller) -> None:
    key = {"Idempotency-Key": "once"}
    assert alice.call("POST", "/v1/threads", {}, **key).status == 200
    again = alice.call("POST", "/v1/threads", {}, **key)
    assert again.headers["idempotent-replayed"] == "true"
    restrict(alice, scopes=["threads.read"])
    assert alice.call("POST", "/v1/threads", {}, **key).error["code"] == "missing_scope"
    restrict(alice, scopes=["write"], allowed_networks=["192.0.2.1"])
    assert alice.call("POST", "/v1/threads", {}, **key).status == 401


def test_messages_that_come_with_a_run_are_writing_to_the_thread(alice: LocalCaller) -> None:
    assistant, thread = alice.assistant(), alice.thread("hello")
    restrict(alice, scopes=["runs.write"])
    body = {"assistant_id": assistant, "additional_messages": [{"role": "user", "content": "and this"}]}
    assert "threads.write" in alice.post(f"threads/{thread}/runs", body).error["message"]
    assert alice.post("threads/runs", {"assistant_id": assistant}).status == 403
    assert alice.post(f"threads/{thread}/runs", {"assistant_id": assistant}).status == 200


def test_who_calls_a_tool_over_mcp_may_start_runs(alice: LocalCaller) -> None:
    path = f"assistants/{alice.assistant()}/mcp"
    call = {"method": "tools/call", "params": {"name": "ask", "arguments": {"message": "Hello"}}}
    restrict(alice, scopes=["assistants.read"])
    assert alice.post(path, {"jsonrpc": "2.0", "id": 1, "method": "tools/list"})["result"]["tools"]
    refused = alice.post(path, {"jsonrpc": "2.0", "id": 2, **call})["result"]
    assert refused["isError"]
    assert "Missing scopes: runs.write, threads.write." in refused["content"][0]["text"]
    restrict(alice, scopes=["runs.write", "threads.write"])
    assert alice.post(path, {"jsonrpc": "2.0", "id": 3, **call}).status == 403


def test_forms_take_only_what_means_something(alice: LocalCaller) -> None:
    token = ApiToken.objects.get(tenant=alice.tenant)
    token.full_clean()
    for name, wrong in (
        ("scopes", ["threads.erase"]),
        ("scopes", "read"),
        ("allowed_networks", ["10.0.0.0/99"]),
        ("allowed_models", [1]),
    ):
        before = getattr(token, name)
        setattr(token, name, wrong)
        with pytest.raises(ValidationError) as refused:
            token.full_clean()
        assert list(refused.value.message_dict) == [name]
        setattr(token, name, before)
