"""Credentials of actions: where they go, and who is never told."""

import base64
import html
import json
from typing import Any
from urllib.parse import parse_qs, quote, unquote

import pytest

from assistant_site.tests.callers import LiveCaller
from assistant_site.tests.stack import Stack
from tools.openapi_actions.models import Action
from tools.tests.service import Got, Reply, Service, replying
from tools.tests.weather import SECRET, TOKEN, made, run_of, weather


def test_secrets_are_stored_encrypted_and_never_shown(lena: LiveCaller, service: Service) -> None:
    authentication = {"type": "custom", "content": {"X-Key": SECRET, "X-Other": SECRET}}
    action = made(lena, weather(service.url), authentication=authentication)["get_weather"]
    hidden = {"type": "custom", "content": {"X-Key": "********", "X-Other": "********"}}
    assert action["authentication"] == hidden
    row = Action.objects.of(lena.tenant).get(pk=action["id"])
    assert SECRET not in row.sealed + json.dumps(row.operation) + repr(row)
    assert row.authentication == authentication

    path = f"actions/{action['id']}"
    assert lena.post(path, {"authentication": hidden, "metadata": {"a": "b"}})["authentication"] == hidden
    row.refresh_from_db()
    assert row.authentication == authentication
    moved = weather("https://elsewhere.example")
    del moved["paths"]["/reports"], moved["paths"]["/cities/{city}"]["delete"]
    refused = lena.post(path, {"openapi_schema": moved})
    assert refused.status == 400
    assert "another server" in refused.error["message"]
    assert lena.post(path, {"openapi_schema": moved, "authentication": {"type": "none"}})["url"].startswith(
        "https://else"
    )
    row.refresh_from_db()
    assert row.sealed == ""


def only_weather(url: str, **more: Any) -> dict[str, Any]:
    document = weather(url, **more)
    item = document["paths"]["/cities/{city}"]
    return document | {"paths": {"/cities/{city}": {key: item[key] for key in ("parameters", "get")}}}


def tokens_at(url: str) -> dict[str, Any]:
    flow = {"clientCredentials": {"tokenUrl": url, "scopes": {}}}
    return {"components": {"securitySchemes": {"way": {"type": "oauth2", "flows": flow}}}, "security": [{"way": []}]}


def test_a_secret_that_stays_goes_to_no_other_server(lena: LiveCaller, service: Service) -> None:
    bearer = {"type": "bearer", "secret": SECRET}
    client = {"type": "oauth2", "client_id": "me", "client_secret": SECRET}
    there = tokens_at(f"{service.url}/token")
    with Service() as thief:
        for authentication, before, after in (
            (bearer, only_weather(service.url), only_weather(thief.url)),
            (client, only_weather(service.url, **there), only_weather(thief.url, **there)),
            (client, only_weather(service.url, **there), only_weather(service.url, **tokens_at(f"{thief.url}/token"))),
        ):
            action = made(lena, before, authentication=authentication)["get_weather"]
            for shown in ({}, {"authentication": action["authentication"]}):
                refused = lena.post(f"actions/{action['id']}", {"openapi_schema": after, **shown})
                assert refused.status == 400
                assert "another server" in refused.error["message"]
            assert lena.get(f"actions/{action['id']}")["url"].startswith(service.url)
            given = {"openapi_schema": after, "authentication": authentication}
            assert lena.post(f"actions/{action['id']}", given).status == 200
        elsewhere = {**client, "client_secret": "********", "token_url": f"{thief.url}/token"}
        action = made(lena, only_weather(service.url, **there), authentication=client)["get_weather"]
        assert lena.post(f"actions/{action['id']}", {"authentication": elsewhere}).status == 400
    assert thief.got == []


def test_an_action_whose_credentials_are_lost_is_given_others(lena: LiveCaller, service: Service) -> None:
    action = made(lena, weather(service.url), authentication={"type": "bearer", "secret": SECRET})["get_weather"]
    Action.objects.of(lena.tenant).filter(pk=action["id"]).update(sealed="unreadable")
    path = f"actions/{action['id']}"
    for body, where in (({"metadata": {"a": "b"}}, path), ({"parameters": {"city": "Rome"}}, f"{path}/run")):
        failed = lena.post(where, body)
        assert failed.status == 500
        assert "give 'authentication' again" in failed.error["message"]
    assert lena.post(path, {"authentication": {"type": "bearer", "secret": "other"}}).status == 200
    assert lena.post(f"{path}/run", {"parameters": {"city": "Rome"}}).status == 200


def oauth(got: Got) -> Reply:
    if got.target == "/token":
        return replying({"access_token": TOKEN, "token_type": "bearer", "expires_in": 3600})
    return replying({"degrees": 21})


PAIR = base64.b64encode(f"user:{SECRET}".encode()).decode()
AUTHENTICATIONS: dict[str, tuple[dict[str, Any], dict[str, str], str]] = {
    "none": ({"type": "none"}, {}, ""),
    "bearer": ({"type": "bearer", "secret": SECRET}, {"authorization": f"Bearer {SECRET}"}, ""),
    "basic": ({"type": "basic", "secret": PAIR}, {"authorization": f"Basic {PAIR}"}, ""),
    "custom": ({"type": "custom", "content": {"X-A": SECRET, "X-B": "b"}}, {"x-a": SECRET, "x-b": "b"}, ""),
    "key": ({"type": "api_key", "in": "header", "name": "X-Key", "secret": SECRET}, {"x-key": SECRET}, ""),
    "query": ({"type": "api_key", "in": "query", "name": "key", "secret": SECRET}, {}, f"key={SECRET}"),
    "cookie": ({"type": "api_key", "in": "cookie", "name": "sid", "secret": SECRET}, {"cookie": f"sid={SECRET}"}, ""),
    "oauth2": (
        {
            "type": "oauth2",
            "client_id": "me",
            "client_secret": SECRET,
            "token_url": "{url}/token",
            "scope": "a b",
        },
        {"authorization": f"Bearer {TOKEN}"},
        "",
    ),
}


@pytest.mark.parametrize("at_run_time", [False, True], ids=["stored", "at-run-time"])
@pytest.mark.parametrize("kind", list(AUTHENTICATIONS))
def test_each_authentication_reaches_the_service_only(lena: LiveCaller, kind: str, at_run_time: bool) -> None:
    authentication, headers, query = AUTHENTICATIONS[kind]
    with Service(oauth) as service:
        authentication = json.loads(json.dumps(authentication).replace("{url}", service.url))
        fields = {} if at_run_time else {"authentication": authentication}
        action = made(lena, weather(service.url), **fields)["get_weather"]
        given = {"action_authentications": {action["id"]: authentication}}
        extra = {"extra_body": given} if at_run_time else {}
        folded, told = run_of(lena, action, {"city": "Rome"}, **extra)
    *tokens, got = service.got
    assert told == '{"degrees": 21}'
    assert {name: got.headers.get(name) for name in headers} == headers
    assert got.target == "/cities/Rome" + (f"?{query}" if query else "")
    if kind == "none":
        assert "authorization" not in got.headers
    if kind == "oauth2":
        [token] = tokens
        pair = base64.b64decode(token.headers["authorization"].removeprefix("Basic ")).decode()
        assert pair == f"me:{SECRET}"
        assert parse_qs(token.body.decode()) == {"grant_type": ["client_credentials"], "scope": ["a b"]}
    thread, run = folded.run["thread_id"], folded.run["id"]
    answered = [lena.get(f"threads/{thread}/runs/{run}").body, lena.steps(thread, run), lena.messages(thread)]
    assert not any(secret in json.dumps([answered, action]) for secret in (SECRET, TOKEN, PAIR))


@pytest.mark.parametrize(
    ("given", "place"),
    [("x", ""), ({}, ".type"), ({"type": "bearer", "secret": 5}, ".secret"), ({"type": "basic", "secret": SECRET}, "")],
)
def test_credentials_that_cannot_be_used_are_refused_with_the_run(lena: LiveCaller, given: Any, place: str) -> None:
    body = {"assistant_id": lena.assistant(), "extra_body": {"action_authentications": {"action_1": given}}}
    refused = lena.post(f"threads/{lena.thread('Go')}/runs", body)
    assert refused.status == 400, refused.body
    assert refused.error["param"].startswith(f"extra_body.action_authentications.action_1{place}")
    assert SECRET not in json.dumps(refused.body)


def test_a_service_that_repeats_its_secret_tells_nobody(lena: LiveCaller) -> None:
    with Service(lambda got: replying({"you_sent": got.headers, "at": got.target})) as service:
        authentication = {"type": "bearer", "secret": SECRET}
        action = made(lena, weather(service.url), authentication=authentication)["get_weather"]
        _, told = run_of(lena, action, {"city": "Rome"})
        direct = lena.post(f"actions/{action['id']}/run", {"parameters": {"city": "Rome"}})
    assert "you_sent" in told
    assert SECRET not in told
    assert "Bearer ********" in told
    assert SECRET not in json.dumps(direct.body)


@pytest.mark.parametrize(
    "authentication",
    [{"type": "bearer", "secret": 'pass"wörd/7&8'}, {"type": "custom", "content": {"X-Key": "  pass-word-78  "}}],
    ids=["bearer", "custom"],
)
def test_a_secret_is_hidden_however_it_is_written_and_wherever_the_answer_is_cut(
    lena: LiveCaller, authentication: dict[str, Any]
) -> None:
    def answer(got: Got) -> Reply:
        sent = got.headers.get("x-key") or got.headers["authorization"].removeprefix("Bearer ")
        text = unquote(sent)
        forms = [sent, json.dumps(text), json.dumps(text).replace("/", "\\/"), quote(text, safe=""), html.escape(text)]
        if got.target.endswith("/file"):
            head = {"Content-Disposition": "attachment; filename=a.txt"}
            return Reply(f"It is {text}.".encode(), content_type="text/plain; charset=utf-8", headers=head)
        return Reply(b"x" * 23_990 + text.encode() if got.target.endswith("/cut") else "\n".join(forms).encode())

    with Service(answer) as service:
        action = made(lena, weather(service.url), authentication=authentication)["get_weather"]
        told = [run_of(lena, action, {"city": city})[1] for city in ("forms", "cut")]
        folded, _ = run_of(lena, action, {"city": "file"}, "See [it](sandbox:/mnt/data/a-1-0.txt).")
        direct = lena.post(f"actions/{action['id']}/run", {"parameters": {"city": "forms"}})["data"]
    [link] = lena.messages(folded.run["thread_id"])[-1]["content"][0]["text"]["annotations"]
    content = lena.get(f"files/{link['file_path']['file_id']}/content").body
    assert told[0].count("********") == direct.count("********") == 5
    assert content == b"It is ********."
    assert not any("pass" in text for text in (*told, direct))


def test_calls_that_fail_tell_their_secrets_to_nobody_and_no_log(lena: LiveCaller, live: Stack) -> None:
    pair = base64.b64encode(f"me:{SECRET}".encode()).decode()

    def failing(got: Got) -> Reply:
        if got.target.endswith("/token"):
            return replying({"error": f"{SECRET} and {pair} are wrong"}, 401)
        return replying({"error": got.headers, "at": got.target}, 500)

    with Service() as gone:
        pass  # nobody listens there any more
    told: list[Any] = []
    with Service(failing) as service:
        for url in (service.url, gone.url, "http://169.254.169.254"):
            for authentication in (
                {"type": "api_key", "secret": SECRET, "in": "query", "name": "key"},
                {"type": "custom", "content": {"X-Key": SECRET}},
                {"type": "oauth2", "client_id": "me", "client_secret": SECRET, "token_url": f"{url}/token"},
            ):
                action = made(lena, weather(url), authentication=authentication)["report_weather"]
                arguments = {"city": "Rome", "degrees": 1}
                failed = lena.post(f"actions/{action['id']}/run", {"parameters": arguments})
                assert failed.status == 400, failed.body
                told += [failed.body, run_of(lena, action, arguments)[1]]
    for text in (json.dumps(told), live.logs(lines=100_000)):
        assert SECRET not in text
        assert pair not in text


def test_a_token_that_ended_early_is_asked_for_again(lena: LiveCaller) -> None:
    def answer(got: Got) -> Reply:
        if got.target == "/token":
            return replying({"access_token": f"token-{len(running.got)}", "expires_in": 3600})
        return replying({}, 401) if got.headers["authorization"] == "Bearer token-1" else replying({"degrees": 2})

    with Service(answer) as running:
        authentication = {
            "type": "oauth2",
            "client_id": "i",
            "client_secret": SECRET,
            "token_url": f"{running.url}/token",
        }
        action = made(lena, weather(running.url), authentication=authentication)["get_weather"]
        _, told = run_of(lena, action, {"city": "Rome"})
    assert told == '{"degrees": 2}'
    assert [got.target for got in running.got] == ["/token", "/cities/Rome", "/token", "/cities/Rome"]
