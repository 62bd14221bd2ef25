"""Calls: what is missing or wrong is told in words, and no argument leads to another server."""

from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools.openapi import BadArguments, Operation, request_for
from tools.tests.openapi.making import SERVER, operation, parameter, posting

TEXT = {"type": "string"}
COLOR = {"type": "string", "enum": ["red", "green"]}


@pytest.mark.parametrize(
    ("found", "arguments", "told"),
    [
        (operation(parameter("q", "query", required=True)), {}, "The argument “q” (string) is missing."),
        (operation(parameter("q", "query", required=True)), {"q": None}, "The argument “q” (string) is missing."),
        (operation(parameter("q", "query")), {"p": 1}, "There is no argument “p”. This function takes “q”."),
        (operation(), {"p": 1}, "There is no argument “p”. This function takes no arguments."),
        (operation(parameter("c", "query", COLOR)), {"c": "blue"}, '“c” must be one of "red", "green".'),
        (operation(parameter("o", "query", {"type": "object"})), {"o": "x"}, "“o” must be an object."),
        (operation(parameter("n", "query", {"type": "integer"})), {"n": [1]}, "“n” must be one value (integer)"),
        (operation(parameter("v", "query", {"enum": ["2"]})), {"v": "3"}, '“v” must be "2"; it can be left out.'),
        (operation(parameter("X-A", "header")), {"X-A": "a\r\nHost: b"}, "cannot have line breaks"),
        (posting({"type": "object", "properties": {"a": TEXT}, "required": ["a"]}), {}, "“a” (string) is missing"),
        (posting(TEXT), {}, "The argument “body” (string) is missing."),
    ],
)
def test_what_is_wrong_is_told_in_words(found: Operation, arguments: dict[str, Any], told: str) -> None:
    with pytest.raises(BadArguments) as caught:
        request_for(found, arguments)
    assert told in caught.value.message


def test_a_list_may_be_given_as_its_only_item() -> None:
    found = operation(parameter("ids", "query", {"type": "array", "items": {"type": "integer"}}))
    assert request_for(found, {"ids": 7}).url == f"{SERVER}/things?ids=7"


def test_lists_and_objects_may_be_given_as_json() -> None:
    found = operation(
        parameter("ids", "query", {"type": "array", "items": {"type": "integer"}}),
        parameter("o", "query", {"type": "object"}, style="deepObject"),
    )
    assert request_for(found, {"ids": "[1, 2.0]", "o": '{"a": 1}'}).url == f"{SERVER}/things?ids=1&ids=2&o%5Ba%5D=1"
    assert request_for(found, {"ids": "[1"}).url == f"{SERVER}/things?ids=%5B1"


def test_what_has_one_value_is_not_asked_for() -> None:
    version = parameter("v", "query", {"type": "string", "enum": ["2"]}, required=True)
    found = operation(version, parameter("q", "query"))
    assert list(found.function_def["parameters"]["properties"]) == ["q"]
    assert request_for(found, {"q": "x"}).url == f"{SERVER}/things?v=2&q=x"
    assert request_for(found, {"q": "x", "v": "2"}).url == f"{SERVER}/things?v=2&q=x"


def test_headers_of_the_connection_and_of_authentication_are_no_parameters() -> None:
    names = ["Accept", "content-type", "Authorization", "Host", "Cookie", "Content-Length", "X-Mine"]
    found = operation(*(parameter(name, "header") for name in names))
    assert [each.name for each in found.parameters] == ["X-Mine"]


def test_names_that_providers_refuse_are_replaced_and_explained() -> None:
    found = operation(parameter("filter[name]", "query"), parameter("filter(name)", "query"), parameter("名", "query"))
    properties = found.function_def["parameters"]["properties"]
    assert list(properties) == ["filter_name", "filter_name_in_query", "argument"]
    assert properties["argument"]["description"] == "(`名` in the query)"
    request = request_for(found, {"filter_name": "1", "filter_name_in_query": "2", "argument": "3"})
    assert request.url == f"{SERVER}/things?filter%5Bname%5D=1&filter%28name%29=2&%E5%90%8D=3"


def test_a_query_in_the_path_is_gone_on_with() -> None:
    found = operation(parameter("q", "query"), path="/things?kind=a b#part")
    assert request_for(found, {"q": "x"}).url == f"{SERVER}/things?kind=a%20b&q=x"


def test_a_query_of_parameters_in_the_path_is_written_by_them() -> None:
    found = operation(parameter("term", "query"), parameter("n", "query"), path="/things?v=2&term={term}&n={n}")
    assert request_for(found, {"term": "a b"}).url == f"{SERVER}/things?v=2&term=a%20b"


def deep(levels: int) -> Any:
    value: Any = "x"
    for _ in range(levels):
        value = {"a": [value]}
    return value


@pytest.mark.parametrize("value", ["\ud800", float("inf"), {1, 2}, b"bytes", deep(3_000), {"\ud800": "\ud800"}])
@pytest.mark.parametrize(
    "found",
    [
        operation(parameter("a", "path", {}), path="/{a}"),
        *(operation(parameter("a", where, {}), path="/") for where in ("query", "header", "cookie")),
        operation(parameter("a", "query", {"type": "object"}, style="deepObject", explode=True)),
        *(posting({"type": "object", "properties": {"a": {}}}, kind) for kind in
          ("application/json", "application/x-www-form-urlencoded", "multipart/form-data")),
        posting({"type": "object", "properties": {"a": {"properties": {"a": {}}}}}),
    ],
)  # fmt: skip
def test_what_cannot_be_written_is_told(found: Operation, value: Any) -> None:
    try:
        request = request_for(found, {"a": value})
    except BadArguments:
        return
    assert request.url.isascii()
    assert (request.content or b"").decode("utf-8") is not None


HOSTILE = [
    "@evil.example",
    "//evil.example",
    "\\\\evil.example",
    "evil.example:80#",
    "?@evil",
    "\r\nHost: evil",
    "%2F@",
]
EVERYWHERE = operation(
    *(parameter(f"p{n}", "path", style=style) for n, style in enumerate(("simple", "label", "matrix"))),
    parameter("q", "query", allowReserved=True),
    parameter("f", "query"),
    parameter("d", "query", {"type": "object"}, style="deepObject"),
    parameter("h", "header"),
    parameter("c", "cookie"),
    path="/{p0}{p1}/{p2}",
)


@pytest.mark.parametrize("value", HOSTILE)
@pytest.mark.parametrize("name", [each.argument for each in EVERYWHERE.parameters])
def test_no_argument_changes_the_host(name: str, value: str) -> None:
    check(EVERYWHERE, {name: {value: value} if name == "d" else value})


@given(st.dictionaries(st.sampled_from([each.argument for each in EVERYWHERE.parameters]), st.text(max_size=12)))
def test_no_text_changes_the_host(arguments: dict[str, str]) -> None:
    check(EVERYWHERE, {name: {text: text} if name == "d" else text for name, text in arguments.items()})


def check(found: Operation, arguments: dict[str, Any]) -> None:
    try:
        request = request_for(found, {"p0": "a", "p1": "b", "p2": "c"} | arguments)
    except BadArguments:
        return
    parts = urlsplit(request.url)
    assert request.url.isascii()
    assert (parts.scheme, parts.netloc, parts.fragment) == ("https", "api.example.com", "")
    assert len(parts.path.split("/")) == 4
    assert parts.path.startswith("/v1/")
    assert parts.path.count("\\") == 0
    for header in request.headers.values():
        assert header.replace("\t", " ").isprintable()  # a tab is allowed (RFC 9110, 5.5)
        assert header.isascii()


def test_what_is_written_is_what_the_client_sends() -> None:
    """The client takes addresses apart and may encode them anew; here it finds nothing to do."""
    text = "".join(map(chr, range(32, 127))).replace("/", "") + "ü报%41%zz"
    arguments = {each.argument: {text: text} if each.argument == "d" else text for each in EVERYWHERE.parameters}
    url = request_for(EVERYWHERE, arguments | {"p2": "a/b"}).url
    assert str(httpx2.URL(url)) == url
    assert httpx2.URL(url).raw_path.decode() == url.removeprefix("https://api.example.com")


def test_a_request_tells_nothing_of_its_query_or_headers() -> None:
    found = operation(parameter("q", "query"), parameter("X-A", "header"))
    assert repr(request_for(found, {"q": "private", "X-A": "private"})) == f"<Request GET {SERVER}/things>"
