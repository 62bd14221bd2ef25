"""Each style of the specification, with the strings of its own tables."""

from typing import Any

import pytest

from tools.openapi import BadArguments, request_for
from tools.openapi.operation import Operation
from tools.openapi.styles import in_header, in_path, in_query
from tools.tests.openapi.making import SERVER, operation, parameter, swagger

EMPTY = ""
TEXT = "blue"
LIST = ["blue", "black", "brown"]
OBJECT = {"R": 100, "G": 200, "B": 150}


# OpenAPI 3.0.4 and 3.1.1, "Style Examples"; the columns are empty, string, array, object.
@pytest.mark.parametrize(
    ("style", "explode", "expected"),
    [
        ("matrix", False, (";color", ";color=blue", ";color=blue,black,brown", ";color=R,100,G,200,B,150")),
        ("matrix", True, (";color", ";color=blue", ";color=blue;color=black;color=brown", ";R=100;G=200;B=150")),
        ("label", False, (".", ".blue", ".blue,black,brown", ".R,100,G,200,B,150")),
        ("label", True, (".", ".blue", ".blue.black.brown", ".R=100.G=200.B=150")),
        ("simple", False, ("", "blue", "blue,black,brown", "R,100,G,200,B,150")),
        ("simple", True, ("", "blue", "blue,black,brown", "R=100,G=200,B=150")),
    ],
)
def test_paths(style: str, explode: bool, expected: tuple[str, ...]) -> None:
    written = tuple(in_path("color", value, style, explode) for value in (EMPTY, TEXT, LIST, OBJECT))
    assert written == expected


@pytest.mark.parametrize(
    ("style", "explode", "expected"),
    [
        ("form", False, ("color=", "color=blue", "color=blue,black,brown", "color=R,100,G,200,B,150")),
        ("form", True, ("color=", "color=blue", "color=blue&color=black&color=brown", "R=100&G=200&B=150")),
        ("spaceDelimited", False, (None, None, "color=blue%20black%20brown", "color=R%20100%20G%20200%20B%20150")),
        ("pipeDelimited", False, (None, None, "color=blue%7Cblack%7Cbrown", "color=R%7C100%7CG%7C200%7CB%7C150")),
        ("deepObject", True, (None, None, None, "color%5BR%5D=100&color%5BG%5D=200&color%5BB%5D=150")),
    ],
)
def test_queries(style: str, explode: bool, expected: tuple[str | None, ...]) -> None:
    for value, string in zip((EMPTY, TEXT, LIST, OBJECT), expected, strict=True):
        if string is not None:
            assert "&".join(in_query("color", value, style, explode)) == string


@pytest.mark.parametrize(
    ("explode", "expected"),
    [
        (False, ("blue", "blue,black,brown", "R,100,G,200,B,150")),
        (True, ("blue", "blue,black,brown", "R=100,G=200,B=150")),
    ],
)
def test_headers(explode: bool, expected: tuple[str, ...]) -> None:
    assert tuple(in_header(value, "simple", explode) for value in (TEXT, LIST, OBJECT)) == expected


def colored(where: str, kind: str, **more: Any) -> Operation:
    path = "/things/{color}" if where == "path" else "/things"
    schema: dict[str, Any] = {"type": kind} | ({"items": {}} if kind == "array" else {})
    return operation(parameter("color", where, schema, **more), path=path)


@pytest.mark.parametrize(
    ("where", "kind", "value", "expected"),
    [
        ("path", "array", LIST, "/things/blue,black,brown"),
        ("path", "object", OBJECT, "/things/R,100,G,200,B,150"),
        ("query", "array", LIST, "/things?color=blue&color=black&color=brown"),
        ("query", "object", OBJECT, "/things?R=100&G=200&B=150"),
        ("query", "string", "", "/things?color="),
        ("query", "array", [], "/things"),
        ("query", "object", {}, "/things"),
        ("query", "boolean", True, "/things?color=true"),
        ("query", "integer", 3.0, "/things?color=3"),
        ("query", "number", 0.5, "/things?color=0.5"),
        ("query", "string", None, "/things"),
        ("query", "string", "a b&c=d#e/ü%", "/things?color=a%20b%26c%3Dd%23e%2F%C3%BC%25"),
    ],
)
def test_styles_that_are_not_named_are_the_usual_ones(where: str, kind: str, value: Any, expected: str) -> None:
    assert request_for(colored(where, kind), {"color": value}).url == SERVER + expected


@pytest.mark.parametrize(
    ("kind", "value", "explode", "expected"),
    [
        ("string", "blue", True, "color=blue"),
        ("array", LIST, False, "color=blue,black,brown"),
        ("object", OBJECT, False, "color=R,100,G,200,B,150"),
        ("array", LIST, True, "color=blue; color=black; color=brown"),
        ("string", "a;b=c", True, "color=a%3Bb%3Dc"),
    ],
)
def test_cookies(kind: str, value: Any, explode: bool, expected: str) -> None:
    request = request_for(colored("cookie", kind, explode=explode), {"color": value})
    assert request.headers["Cookie"] == expected


def test_two_cookies_share_a_header() -> None:
    both = operation(parameter("a", "cookie"), parameter("b", "cookie"))
    assert request_for(both, {"a": "1", "b": "2"}).headers["Cookie"] == "a=1; b=2"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"a": {"b": 1, "c": [2, 3]}}, "color%5Ba%5D%5Bb%5D=1&color%5Ba%5D%5Bc%5D%5B%5D=2&color%5Ba%5D%5Bc%5D%5B%5D=3"),
        ({"a": None, "b": "&"}, "color%5Bb%5D=%26"),
    ],
)
def test_deep_objects_in_depth(value: Any, expected: str) -> None:
    assert request_for(colored("query", "object", style="deepObject"), {"color": value}).url.endswith(f"?{expected}")


def test_reserved_characters_stay_where_they_are_allowed_and_end_nothing() -> None:
    free = colored("query", "string", allowReserved=True)
    assert request_for(free, {"color": "/a?b=c:d,e@f"}).url == f"{SERVER}/things?color=/a?b=c:d,e@f"
    assert request_for(free, {"color": "100%25 100%"}).url == f"{SERVER}/things?color=100%25%20100%25"
    assert request_for(free, {"color": "a&b#c+[d]"}).url == f"{SERVER}/things?color=a%26b%23c%2B%5Bd%5D"


def test_a_parameter_with_content_is_json() -> None:
    content = {"application/json": {"schema": {"type": "object", "properties": {"a": {"type": "integer"}}}}}
    found = operation({"name": "filter", "in": "query", "content": content})
    request = request_for(found, {"filter": {"a": 1.0, "b": "ü"}})
    assert request.url == f"{SERVER}/things?filter=%7B%22a%22%3A1%2C%22b%22%3A%22%C3%BC%22%7D"


def test_values_in_values_are_json_where_a_style_has_no_word_for_them() -> None:
    assert in_query("a", [[1, 2]], "form", True) == ["a=%5B1%2C2%5D"]


@pytest.mark.parametrize(
    ("collection_format", "expected"),
    [
        ("csv", "color=blue,black,brown"),
        ("ssv", "color=blue%20black%20brown"),
        ("tsv", "color=blue%09black%09brown"),
        ("pipes", "color=blue%7Cblack%7Cbrown"),
        ("multi", "color=blue&color=black&color=brown"),
    ],
)
def test_collections_of_swagger_2(collection_format: str, expected: str) -> None:
    listed = {"name": "color", "type": "array", "items": {"type": "string"}, "collectionFormat": collection_format}
    query = swagger(listed | {"in": "query"}).operations[0]
    assert request_for(query, {"color": LIST}).url == f"{SERVER}/things?{expected}"
    form = swagger(listed | {"in": "formData"}).operations[0]
    request = request_for(form, {"color": LIST})
    assert (request.content or b"").decode() == expected
    assert request.headers["Content-Type"] == "application/x-www-form-urlencoded"


def test_collections_of_swagger_2_in_paths_and_headers() -> None:
    listed = {"type": "array", "items": {"type": "string"}, "collectionFormat": "pipes"}
    given = {
        "parameters": [
            listed | {"name": "color", "in": "path", "required": True},
            listed | {"name": "X-Colors", "in": "header"},
        ],
        "responses": {"200": {"description": "Fine."}},
    }
    found = swagger(paths={"/things/{color}": {"get": given}}).operations[0]
    request = request_for(found, {"color": LIST, "X-Colors": LIST})
    assert request.url == f"{SERVER}/things/blue%7Cblack%7Cbrown"
    assert request.headers["X-Colors"] == "blue|black|brown"


@pytest.mark.parametrize("style", ["simple", "label", "matrix"])
@pytest.mark.parametrize("value", ["..", ".", "../admin", "a/../../admin", "..\\admin", "a/.."])
def test_no_value_climbs_out_of_its_segment(style: str, value: str) -> None:
    found = colored("path", "string", style=style)
    try:
        url = request_for(found, {"color": value}).url
    except BadArguments:
        return
    assert style != "simple"
    assert url.startswith(f"{SERVER}/things/")
    assert not {"..", "."} & set(url.replace("%2F", "/").replace("%5C", "/").split("/"))


@pytest.mark.parametrize(
    ("value", "expected"),
    [("a/b", "a%2Fb"), ("ü", "%C3%BC"), ("a?b#c", "a%3Fb%23c"), ("{color}", "%7Bcolor%7D"), ("...", "..."), (7, "7")],
)
def test_a_value_in_the_path_is_one_segment(value: Any, expected: str) -> None:
    assert request_for(colored("path", "string"), {"color": value}).url == f"{SERVER}/things/{expected}"


@pytest.mark.parametrize(
    ("style", "kind", "value"),
    [("simple", "string", ""), ("label", "string", "")]
    + [(style, "array", []) for style in ("simple", "label", "matrix")],
)
def test_a_value_in_the_path_cannot_be_empty(style: str, kind: str, value: Any) -> None:
    with pytest.raises(BadArguments, match="cannot be empty"):
        request_for(colored("path", kind, style=style), {"color": value})
