"""Who calls: each kind of authentication as it is sent, shown, changed and refused."""

import base64
import json
from dataclasses import replace
from typing import Any

import pytest

from tools.openapi import (
    BadAuthentication,
    Operation,
    Request,
    authenticated,
    check_authentication,
    masked,
    merged,
    request_for,
    token_of,
    token_request,
)
from tools.tests.openapi.making import SERVER, operation, parameter

PAIR = base64.b64encode(b"ada:love:lace").decode()
FLOWS = {"clientCredentials": {"tokenUrl": "https://login.example.com/token", "scopes": {"read": "", "write": ""}}}
SCHEMES = {
    "header": {"type": "apiKey", "in": "header", "name": "X-Key"},
    "query": {"type": "apiKey", "in": "query", "name": "api key"},
    "cookie": {"type": "apiKey", "in": "cookie", "name": "session"},
    "oauth": {"type": "oauth2", "flows": FLOWS},
    "bearer": {"type": "http", "scheme": "Bearer"},
}


def wanting(*ways: dict[str, list[str]]) -> Operation:
    """An operation with a query and a cookie that asks for one of these."""
    found = [parameter("q", "query"), parameter("c", "cookie")]
    return operation(*found, components={"securitySchemes": SCHEMES}, security=list(ways))


def sent(authentication: Any, found: Operation | None = None, token: str = "") -> Request:
    found = found or wanting()
    return authenticated(request_for(found, {"q": "x", "c": "y"}), authentication, found, token=token)


@pytest.mark.parametrize(
    ("authentication", "headers"),
    [
        (None, {}),
        ({"type": "none"}, {}),
        ({"type": "none", "secret": None, "content": None}, {}),
        ({"type": "bearer", "secret": "s3cret"}, {"Authorization": "Bearer s3cret"}),
        ({"type": "bearer", "secret": " Bearer s3cret\n".strip()}, {"Authorization": "Bearer s3cret"}),
        ({"type": "basic", "secret": PAIR}, {"Authorization": f"Basic {PAIR}"}),
        ({"type": "basic", "secret": "ada:love:lace"}, {"Authorization": f"Basic {PAIR}"}),
        ({"type": "basic", "username": "ada", "password": "love:lace"}, {"Authorization": f"Basic {PAIR}"}),
        ({"type": "custom", "content": {"X-A": "1", "accept": "text/csv"}}, {"X-A": "1", "accept": "text/csv"}),
    ],
)
def test_headers(authentication: Any, headers: dict[str, str]) -> None:
    plain = request_for(wanting(), {"q": "x", "c": "y"})
    request = sent(authentication)
    names = {name.lower() for name in headers}
    assert request.headers == {k: v for k, v in plain.headers.items() if k.lower() not in names} | headers
    assert (request.url, request.content) == (plain.url, plain.content)


@pytest.mark.parametrize(
    ("given", "way", "url", "headers"),
    [
        ({}, "header", "", {"X-Key": "s&k"}),
        ({}, "query", "&api%20key=s%26k", {}),
        ({}, "cookie", "", {"Cookie": "c=y; session=s%26k"}),
        ({"in": "query", "name": "key"}, "header", "&key=s%26k", {}),
        ({"name": "X-Mine"}, "bearer", "", {"X-Mine": "s&k"}),
    ],
)
def test_keys_go_where_the_document_or_the_authentication_says(
    given: dict[str, str], way: str, url: str, headers: dict[str, str]
) -> None:
    request = sent({"type": "api_key", "secret": "s&k"} | given, wanting({way: []}))
    assert request.url == f"{SERVER}/things?q=x{url}"
    assert headers.items() <= request.headers.items()


def test_credentials_stay_with_the_operations_own_server() -> None:
    found = wanting()
    request = request_for(found, {})
    for url in ("https://evil.example/", "http://api.example.com/", "https://api.example.com:8443/", "https://x@evil/"):
        with pytest.raises(BadAuthentication, match="only go to the server"):
            authenticated(replace(request, url=url), {"type": "bearer", "secret": "s"}, found)


def test_a_token_is_asked_for_with_the_documents_address_and_scopes() -> None:
    found = wanting({"oauth": ["read"]})
    given = {"type": "oauth2", "client_id": "me:", "client_secret": "s/s"}
    request = token_request(given, found)
    assert (request.method, request.url) == ("POST", "https://login.example.com/token")
    assert request.headers["Authorization"] == "Basic " + base64.b64encode(b"me%3A:s%2Fs").decode()
    assert request.content == b"grant_type=client_credentials&scope=read"
    in_body = token_request(given | {"client_auth": "body", "scope": "", "token_url": "https://other.example/t"}, found)
    assert in_body.url == "https://other.example/t"
    assert in_body.content == b"grant_type=client_credentials&client_id=me%3A&client_secret=s%2Fs"
    assert "Authorization" not in in_body.headers
    assert sent(given, found, "t0ken").headers["Authorization"] == "Bearer t0ken"
    with pytest.raises(BadAuthentication, match="no token yet"):
        sent(given, found)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"access_token": "t", "token_type": "Bearer", "expires_in": 60}, ("t", 60.0)),
        ({"access_token": "t", "expires_in": "3600"}, ("t", 3600.0)),
        ({"access_token": "t"}, ("t", 300.0)),
        ({"access_token": "t", "expires_in": "soon"}, ("t", 300.0)),
        ({"access_token": "t", "expires_in": -1}, ("t", 300.0)),
    ],
)
def test_tokens(body: dict[str, Any], expected: tuple[str, float]) -> None:
    assert token_of(json.dumps(body).encode()) == expected


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("<html>", "no JSON object"),
        ("[]", "no JSON object"),
        ("[" * 100_000, "no JSON object"),
        ('{"error": "invalid_client"}', "It says: invalid_client."),
        ('{"access_token": 7}', "no token"),
        ('{"access_token": "a\\r\\nb"}', "no token"),
        ('{"access_token": "a", "token_type": "mac"}', "none of type bearer"),
    ],
)
def test_answers_without_a_token(body: str, told: str) -> None:
    with pytest.raises(BadAuthentication, match=told):
        token_of(body)


@pytest.mark.parametrize(
    ("authentication", "place"),
    [
        ([], "authentication"),
        ({}, "authentication.type"),
        ({"type": "digest"}, "authentication.type"),
        ({"type": "bearer"}, "authentication.secret"),
        ({"type": "bearer", "secret": " "}, "authentication.secret"),
        ({"type": "bearer", "secret": "a\nb"}, "authentication.secret"),
        ({"type": "bearer", "secret": 7}, "authentication.secret"),
        ({"type": "bearer", "secret": "a", "content": {}}, "authentication.content"),
        ({"type": "basic", "secret": "nonsense"}, "authentication.secret"),
        ({"type": "basic", "username": "a:b", "password": "c"}, "authentication.username"),
        ({"type": "custom"}, "authentication.content"),
        ({"type": "custom", "content": {}}, "authentication.content"),
        ({"type": "custom", "content": {"X A": "b"}}, "authentication.content.X A"),
        ({"type": "custom", "content": {"X-A": "b\r\nc"}}, "authentication.content.X-A"),
        ({"type": "custom", "content": {"X-A": 7}}, "authentication.content.X-A"),
        ({"type": "custom", "content": {"Host": "evil.example"}}, "authentication.content.Host"),
        ({"type": "api_key", "secret": "s"}, "authentication.name"),
        ({"type": "api_key", "secret": "s", "name": "a b"}, "authentication.name"),
        ({"type": "api_key", "secret": "s", "name": "k", "in": "body"}, "authentication.in"),
        ({"type": "oauth2", "client_id": "a"}, "authentication.client_secret"),
        ({"type": "oauth2", "client_id": "a", "client_secret": "b"}, "authentication.token_url"),
        ({"type": "oauth2", "client_id": "a", "client_secret": "b", "token_url": "/t/"}, "authentication.token_url"),
    ],
)
def test_what_cannot_be_used_is_refused_with_its_place(authentication: Any, place: str) -> None:
    with pytest.raises(BadAuthentication) as caught:
        check_authentication(authentication, wanting())
    assert caught.value.place == place


def test_without_an_operation_what_the_document_may_say_is_not_asked_for() -> None:
    check_authentication({"type": "api_key", "secret": "s"})
    check_authentication({"type": "oauth2", "client_id": "a", "client_secret": "b"})


EACH: list[dict[str, Any]] = [
    {"type": "bearer", "secret": "hush-hush"},
    {"type": "basic", "secret": "ada:hush-hush"},
    {"type": "basic", "secret": base64.b64encode(b"ada:hush-hush").decode()},
    {"type": "basic", "username": "ada", "password": "hush-hush"},
    {"type": "custom", "content": {"X-A": "hush-hush", "Authorization": "Token hush-hush"}},
    {"type": "api_key", "secret": "hush-hush", "name": "k", "in": "query"},
    {"type": "oauth2", "client_id": "me", "client_secret": "hush-hush", "token_url": "https://a.example/t"},
]


@pytest.mark.parametrize("authentication", EACH, ids=lambda each: each["type"])
def test_secrets_are_shown_nowhere(authentication: dict[str, Any]) -> None:
    shown = masked(authentication)
    request = sent(authentication, token="hush-hush")
    for text in (repr(request), str(request), json.dumps(shown), request.without_secrets("you sent hush-hush")):
        assert "hush-hush" not in text
        assert base64.b64encode(b"ada:hush-hush").decode() not in text
    assert shown["type"] == authentication["type"]
    assert "********" in json.dumps(shown)


@pytest.mark.parametrize("authentication", EACH, ids=lambda each: each["type"])
def test_what_is_sent_back_masked_stays_as_it_was(authentication: dict[str, Any]) -> None:
    assert merged(masked(authentication), authentication) == authentication


def test_a_mask_is_no_secret() -> None:
    assert merged({"type": "bearer", "secret": "new"}, {"type": "bearer", "secret": "old"})["secret"] == "new"
    assert merged(None, {"type": "bearer", "secret": "old"}) == {"type": "none"}
    masks: list[tuple[Any, Any]] = [
        ({"type": "bearer", "secret": "********"}, None),
        ({"type": "bearer", "secret": "********"}, {"type": "api_key", "secret": "x"}),
        ({"type": "custom", "content": {"B": "********"}}, {"type": "custom", "content": {"A": "x"}}),
    ]
    for new, old in masks:
        with pytest.raises(BadAuthentication, match="no secret yet"):
            merged(new, old)


def test_a_secret_does_not_follow_a_change_of_the_token_server() -> None:
    old = EACH[-1]
    with pytest.raises(BadAuthentication, match="given again"):
        merged(masked(old) | {"token_url": "https://evil.example/t"}, old)
