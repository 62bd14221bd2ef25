"""Errors that are not about one field: keys, paths, methods, bodies, objects that are not there."""

import time

import pytest
from pytest_django.fixtures import Settings

from assistant_site.tests.callers import LocalCaller
from tenants import actions, auth, tokens
from tenants.auth import forget_tokens
from tenants.models import ApiToken, Tenant


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("assistants/asst_x", "No assistant found with id 'asst_x'."),
        ("threads/thread_x", "No thread found with id 'thread_x'."),
        ("threads/thread_x/messages", "No thread found with id 'thread_x'."),
        ("threads/{thread}/messages/msg_x", "No message found with id 'msg_x'."),
        ("threads/thread_x/runs", "No thread found with id 'thread_x'."),
        ("threads/{thread}/runs/run_x", "No run found with id 'run_x'."),
        ("threads/{thread}/runs/run_x/steps", "No run found with id 'run_x'."),
        ("threads/{thread}/runs/run_x/steps/step_123", "No run step found with id 'step_123'."),
        ("foo", "Invalid URL (GET /v1/foo)"),
        ("assistants/", "Invalid URL (GET /v1/assistants/)"),
    ],
)
def test_what_is_not_there(alice: LocalCaller, path: str, message: str) -> None:
    missing = alice.get(path.format(thread=alice.thread()))

    assert missing.status == 404
    assert missing.error == {"message": message, "type": "invalid_request_error", "param": None, "code": None}


def test_a_child_under_the_wrong_parent_is_not_there(alice: LocalCaller) -> None:
    thread, other = alice.thread("hello"), alice.thread()
    message = alice.get(f"threads/{thread}/messages")["data"][0]["id"]

    assert alice.get(f"threads/{other}/messages/{message}").error["message"] == f"No message found with id '{message}'."
    assert alice.delete(f"threads/{other}/messages/{message}").status == 404


def test_no_key(alice: LocalCaller) -> None:
    for header in ("", "Bearer", "Basic abc"):
        refused = alice.call("GET", "assistants", Authorization=header)
        assert refused.status == 401
        assert refused.error["message"].startswith("You didn't provide an API key.")
        assert refused.error["code"] is None


def test_a_wrong_key_is_starred(alice: LocalCaller) -> None:
    refused = alice.call("GET", "assistants", Authorization="Bearer not-a-real-key-authorized")

    assert refused.status == 401
    assert refused.error["code"] == "invalid_api_key"
    assert "not-a-re*************ized" in refused.error["message"]


def test_a_token_with_a_wrong_checksum_is_refused_without_a_query(
    alice: LocalCaller, django_assert_num_queries: pytest.FixtureRequest
) -> None:
    with django_assert_num_queries(0):  # type: ignore[operator]
        assert alice.call("GET", "assistants", Authorization=f"Bearer {alice.token[:-1]}!").status == 401


def test_revoked_expired_and_suspended(alice: LocalCaller) -> None:
    """Rows are kept for half a second; the waits are cut short here."""
    token = ApiToken.objects.get(digest=tokens.digest(alice.token))
    assert alice.get("assistants").status == 200

    forget_tokens()
    Tenant.objects.filter(pk=alice.tenant.pk).update(suspended_at="2026-01-01T00:00:00Z")
    assert alice.get("assistants").status == 403
    Tenant.objects.filter(pk=alice.tenant.pk).update(suspended_at=None)
    forget_tokens()

    ApiToken.objects.filter(pk=token.pk).update(expires_at="2026-01-01T00:00:00Z")
    assert alice.get("assistants").error["code"] == "invalid_api_key"
    ApiToken.objects.filter(pk=token.pk).update(expires_at=None)
    forget_tokens()

    actions.revoke_token(token)
    forget_tokens()
    assert alice.get("assistants").error["code"] == "invalid_api_key"


def test_a_revocation_is_seen_within_a_second(alice: LocalCaller) -> None:
    assert alice.get("assistants").status == 200
    ApiToken.objects.filter(digest=tokens.digest(alice.token)).update(revoked_at="2026-01-01T00:00:00Z")  # elsewhere
    time.sleep(auth.KEPT_SECONDS + 0.05)
    assert auth.KEPT_SECONDS < 1
    assert alice.get("assistants").status == 401


def test_the_last_use_of_a_token_is_noted(alice: LocalCaller) -> None:
    token = ApiToken.objects.get(digest=tokens.digest(alice.token))
    assert token.last_used_at is None
    alice.get("assistants")
    token.refresh_from_db()
    assert token.last_used_at is not None


def test_the_beta_header_is_only_demanded_when_configured(alice: LocalCaller, settings: Settings) -> None:
    assert alice.get("assistants").status == 200

    settings.REQUIRE_BETA_HEADER = True
    refused = alice.get("assistants")
    assert refused.status == 400
    assert refused.error["code"] == "invalid_beta"
    assert refused.error["message"] == (
        "You must provide the 'OpenAI-Beta' header to access the Assistants API. Please try again by setting the "
        "header 'OpenAI-Beta: assistants=v2'."
    )
    assert alice.call("GET", "assistants", **{"OpenAI-Beta": "realtime=v1, assistants=v2"}).status == 200


@pytest.mark.parametrize("body", [b"{", b"model=gpt", b'{"a": NaN}', b'\xff\xfe{"model": "m"}', b"[" * 100_000])
def test_a_body_that_is_no_json(alice: LocalCaller, body: bytes) -> None:
    refused = alice.post("assistants", body)

    assert refused.status == 400
    assert refused.error["message"].startswith("We could not parse the JSON body of your request.")
    assert (refused.error["type"], refused.error["code"]) == ("invalid_request_error", None)


@pytest.mark.parametrize(("body", "word"), [(b"[]", "an array"), (b'"x"', "a string"), (b"null", "null")])
def test_a_body_that_is_no_object(alice: LocalCaller, body: bytes, word: str) -> None:
    for path in ("assistants", "threads", f"threads/{alice.thread()}"):
        refused = alice.post(path, body)
        assert refused.status == 400
        assert refused.error["message"] == (
            f"Invalid type for the request body: expected an object, but got {word} instead."
        )


def test_a_byte_order_mark_is_no_obstacle(alice: LocalCaller) -> None:
    assert alice.post("threads", b"\xef\xbb\xbf{}").status == 200


@pytest.mark.parametrize(
    "number", ["18446744073709551616", "-99999999999999999999", "1e308", "0.1", "9007199254740993"]
)
def test_any_number_in_free_json_comes_back(alice: LocalCaller, number: str) -> None:
    parameters = f'{{"type": "object", "properties": {{"x": {{"maximum": {number}}}}}}}'
    tool = f'{{"type": "function", "function": {{"name": "f", "parameters": {parameters}}}}}'
    made = alice.post("assistants", f'{{"model": "m", "tools": [{tool}]}}'.encode())
    again = alice.get(f"assistants/{made['id']}")
    for answer in (made, again):
        found = answer["tools"][0]["function"]["parameters"]["properties"]["x"]["maximum"]
        assert float(found) == float(number)
    assert len(alice.get("assistants")["data"]) == 1


def test_free_json_has_a_floor(alice: LocalCaller) -> None:
    def nested(levels: int) -> dict[str, object]:
        value: dict[str, object] = {}
        for _ in range(levels):
            value = {"a": value}
        tool = {"type": "function", "function": {"name": "f", "parameters": value}}
        return {"model": "m", "tools": [tool]}

    assert alice.post("assistants", nested(90)).status == 200
    for levels in (100, 254, 600, 900):
        refused = alice.post("assistants", nested(levels))
        assert refused.status == 400
        assert refused.error["message"] == (
            "Invalid 'tools[0].function.parameters': nested too deeply. Expected at most 100 levels of nesting."
        )
    assert len(alice.get("assistants")["data"]) == 1


@pytest.mark.parametrize(
    "path",
    [
        "threads/thread%00b",
        "threads/thread_x/messages/msg%00",
        "threads/thread_x/runs/run%00/steps",
        "assistants?after=%00",
        "assistants?before=a%00b",
        "threads/{thread}/messages?run_id=%00",
    ],
)
def test_a_nul_in_the_address(alice: LocalCaller, path: str) -> None:
    refused = alice.get(path.format(thread=alice.thread()))
    assert refused.status == 400
    assert refused.error["code"] == "invalid_value"


def test_unknown_addresses_for_every_verb(alice: LocalCaller) -> None:
    for method in ("GET", "POST", "DELETE", "PUT"):
        missing = alice.call(method, "fine_tuning/jobs")
        assert missing.status == 404
        assert missing.error["message"] == f"Invalid URL ({method} /v1/fine_tuning/jobs)"


def test_no_body_at_all_is_an_empty_object(alice: LocalCaller) -> None:
    assert alice.post("threads", None)["metadata"] == {}


@pytest.mark.parametrize(
    ("method", "path", "hint"),
    [("PUT", "assistants", "GET or POST"), ("DELETE", "threads", "GET or POST"), ("PATCH", "models", "GET")],
)
def test_a_method_that_is_not_there(alice: LocalCaller, method: str, path: str, hint: str) -> None:
    refused = alice.call(method, path)

    assert refused.status == 405
    assert refused.error == {
        "message": f"Not allowed to {method} on /v1/{path}. (HINT: Perhaps you meant to use {hint} instead?)",
        "type": "invalid_request_error",
        "param": None,
        "code": "method_not_supported",
    }


def test_headers_of_every_answer(alice: LocalCaller) -> None:
    for answer in (alice.get("assistants"), alice.get("foo"), alice.call("GET", "assistants", Authorization="")):
        assert answer.headers["x-request-id"].startswith("req_")
        assert len(answer.headers["x-request-id"]) == 36
        assert int(answer.headers["openai-processing-ms"]) >= 1
        assert answer.headers["openai-version"] == "2020-10-01"
        assert answer.headers["content-type"] == "application/json"
    assert alice.get("assistants").headers["openai-organization"] == alice.tenant.pk


def test_both_prefixes(alice: LocalCaller) -> None:
    assistant = alice.assistant(name="same")
    assert alice.get(f"/api/v1/assistants/{assistant}")["name"] == "same"


def test_a_bug_is_answered_in_the_envelope(alice: LocalCaller, monkeypatch: pytest.MonkeyPatch) -> None:
    from assistants.serializers import AssistantObjectSerializer

    def broken(row: object) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(AssistantObjectSerializer, "of", broken)
    failed = alice.post("assistants", {"model": "m"})

    assert failed.status == 500
    assert failed.error["type"] == "server_error"
    assert failed.headers["x-request-id"] in failed.error["message"]
    assert "secret" not in failed.error["message"]


def test_a_host_that_is_none(alice: LocalCaller) -> None:
    refused = alice.call("GET", "/v1/threads", Host="a b!!")
    assert (refused.status, refused.error["type"]) == (400, "invalid_request_error")
    assert "Host" in refused.error["message"]
