"""Documents that are made to hang, to fill the memory, to reach out, or to raise what nobody expects."""

import copy
import json
import random
import time
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tools.openapi import BadArguments, BadDocument, Document, read_document, request_for
from tools.openapi import checking as judging
from tools.openapi.reading import MAX_BYTES
from tools.tests.openapi.making import described, parameter, posting

TEXT = {"type": "string"}
FOLDER = Path(__file__).resolve().parent.parent / "documents"


def refused(source: Any, told: str) -> None:
    with pytest.raises(BadDocument) as caught:
        read_document(source)
    assert told in caught.value.message, str(caught.value)
    assert len(str(caught.value)) < 2_000


@pytest.mark.parametrize(
    "reference",
    [
        "http://169.254.169.254/latest/meta-data",
        "https://evil.example/schema.json#/components",
        "file:///etc/passwd",
        "other.yaml",
        "../other.yaml#/a",
        "//evil.example/a",
        "",
        "#anchor",
        "data:application/json,{}",
    ],
)
def test_references_out_of_the_document_are_refused(reference: str) -> None:
    away = {"$ref": reference}
    place = "paths./things.post.requestBody.content.application/json.schema.properties.a.$ref"
    with pytest.raises(BadDocument) as caught:
        posting({"type": "object", "properties": {"a": away}})
    assert caught.value.place == place
    for document in (
        described(parameter("a", "query", away)),
        described(requestBody=away, method="post"),
        described() | {"paths": {"/a": away}},
        described(components={"schemas": {"A": {"allOf": [{"items": away}]}}}),
        described(components={"examples": {"A": away}}),
        described(responses={"200": away}),
        {"swagger": "2.0", "info": {"title": "T", "version": "1"}, "host": "a", "paths": {"/a": away}},
    ):
        refused(document, "leads out of the document")


def test_what_only_looks_like_a_reference_is_data() -> None:
    example = {"$ref": "https://a.example/schema"}
    schema = {"type": "object", "example": example, "properties": {"$ref": TEXT}, "x-more": example}
    assert list(posting(schema).function_def["parameters"]["properties"]) == ["ref"]


def bomb(member: str, levels: int = 9) -> str:
    """YAML in which each level holds the one before nine times."""
    names = "abcdefghijklmnop"[: levels + 1]
    lines = [f"{names[0]}: &{names[0]} {{x: 1}}"]
    for before, name in pairwise(names):
        lines.append(f"{name}: &{name} {member % ', '.join([f'*{before}'] * 9)}")
    return "\n".join(lines)


@pytest.mark.slow
def test_aliases_are_counted_where_they_are_used() -> None:
    refused(bomb("[%s]"), "more than 1,000,000 values")
    refused(bomb("{<<: [%s]}", 15), "neither")
    refused("a: &a [*a]", "more than 100 levels")
    refused("&a {b: *a}", "more than 100 levels")


@pytest.mark.parametrize(
    "text",
    ["[" * 200_000, '{"a":' * 200_000, "- " * 200_000, '{"a": ' + "[" * 101 + "]" * 101 + "}"],
    ids=["lists", "objects", "yaml", "a little"],
)
def test_depth_is_bounded(text: str) -> None:
    refused(text, "more than 100 levels")


def test_size_is_bounded() -> None:
    refused(" " * (MAX_BYTES + 1), "larger than 16 MB")
    refused(b" " * (MAX_BYTES + 1), "larger than 16 MB")
    refused("ü" * (MAX_BYTES // 2 + 1), "larger than 16 MB")
    refused(described() | {"paths": {f"/{n}": {"get": {}} for n in range(4_001)}}, "more than 4,000 operations")


def test_numbers_are_bounded() -> None:
    refused('{"openapi": ' + "9" * 100_000 + "}", "too long")
    refused({"openapi": 10**500}, "too long")
    refused('{"openapi": NaN}', "not one that JSON has")
    refused('{"openapi": 1e999}', "not one that JSON has")
    refused({"openapi": {1, 2}}, "a Python set")


def test_tags_build_nothing() -> None:
    refused("!!python/object/apply:os.system ['true']", "must be an object")
    refused("openapi: !!python/name:os.system 3", "is not known here")


def test_the_work_of_judging_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(judging.MAX_STEPS, "3.1", 1_000)
    many = described(*(parameter(f"p{n}", "query") for n in range(1_000)), version="3.1.0")
    refused(many, "too large to be judged")


@pytest.mark.parametrize("version", ["3.0.3", "3.1.0"])
def test_faults_by_the_thousand_are_not_collected(version: str) -> None:
    wrong = described(*({"name": 7} for _ in range(20_000)), version=version)
    with pytest.raises(BadDocument) as caught:
        read_document(wrong)
    assert caught.value.place.startswith("paths./things.get.parameters[0]")
    refused(
        described(requestBody={"content": {f"a/{n}": 7 for n in range(20_000)}}, method="post"), "must be an object"
    )


@pytest.mark.parametrize("version", ["3.0.3", "3.1.0"])
@pytest.mark.parametrize(
    "schemas",
    [
        {f"S{n}": {"allOf": [{"$ref": f"#/components/schemas/S{n + 1}"}] * 2} for n in range(30)},
        {
            f"S{n}": {"properties": {k: {"$ref": f"#/components/schemas/S{n + 1}"} for k in "abcdefgh"}}
            for n in range(30)
        },
        {f"S{n}": {"items": {"$ref": f"#/components/schemas/S{n + 1}"}} for n in range(30)},
        {f"S{n}": {"oneOf": [{"$ref": "#/components/schemas/S0"}, TEXT] * 5} for n in range(30)},
        {"S0": {"type": "object", "properties": {f"p{n}": TEXT for n in range(5_000)}}},
        {"S0": {"enum": list(range(20_000))}},
        {"S0": {"type": "object", "description": "a" * 1_000_000}},
    ],
    ids=["all of", "properties", "items", "circles", "wide", "enum", "long"],
)
def test_schemas_that_unfold_without_end_make_functions_of_bounded_size(version: str, schemas: dict[str, Any]) -> None:
    whole = {"S30": TEXT} | schemas
    found = posting({"$ref": "#/components/schemas/S0"}, components={"schemas": whole}, version=version)
    assert len(json.dumps(found.function_def)) < 210_000


@pytest.mark.parametrize("target", ["#", "#/", "#/info", "#/openapi", "#/paths", "#/paths/~1things/post", "#/servers"])
def test_references_to_anything_end(target: str) -> None:
    away = {"$ref": target}
    for document in (
        described(method="post", requestBody={"content": {"application/json": {"schema": away}}}),
        described(method="post", requestBody=away),
        described(parameter("a", "query", away)),
        described(away),
        described() | {"paths": {"/a": away}},
        described(components={"securitySchemes": {"a": away}}, security=[{"a": []}]),
    ):
        tried(document)


def test_references_in_circles_are_refused() -> None:
    for schemas in ({"A": {"$ref": "#/components/schemas/A"}}, {
        "A": {"$ref": "#/components/schemas/B"}, "B": {"$ref": "#/components/schemas/A"}
    }):  # fmt: skip
        refused(described(parameter("a", "query", schemas["A"]), components={"schemas": schemas}), "leads to itself")


def tried(document: Any) -> Document | None:
    """Read, and each operation called with something in each argument; nothing but our own exceptions comes out."""
    try:
        read = read_document(document)
    except BadDocument:
        return None
    for operation in read.operations:
        json.dumps(operation.as_json(), allow_nan=False)
        names = operation.function_def["parameters"]["properties"]
        for value in ("..", 7, 1.5, True, None, [], ["a", 1], {"a": "b"}, {"a": [None, {"b": 1}]}):
            try:
                request = request_for(operation, dict.fromkeys(names, value))
            except BadArguments:
                continue
            assert request.url.startswith(operation.server)
    return read


@cache
def sound() -> list[str]:
    """The Petstores, and a document with everything in it, in both versions."""
    everything = described(
        parameter("id", "path", {"type": "integer", "enum": [1, 2]}, style="label"),
        parameter("d", "query", {"type": "object", "additionalProperties": TEXT}, style="deepObject", explode=True),
        {"name": "j", "in": "query", "content": {"application/json": {"schema": {"$ref": "#/components/schemas/A"}}}},
        parameter("X-H", "header", {"type": "array", "items": TEXT}),
        parameter("c", "cookie"),
        path="/a/{id}",
        method="post",
        security=[{"key": []}, {"token": ["read"]}],
        requestBody={
            "required": True,
            "content": {
                "multipart/form-data": {
                    "schema": {"$ref": "#/components/schemas/A"},
                    "encoding": {"b": {"contentType": "text/csv"}, "e": {"style": "form", "explode": False}},
                }
            },
        },
        components={
            "schemas": {
                "A": {
                    "type": "object",
                    "required": ["b"],
                    "properties": {
                        "b": TEXT | {"format": "binary"},
                        "e": {"type": "array", "items": {"$ref": "#/components/schemas/B"}},
                        "f": {"oneOf": [TEXT, {"$ref": "#/components/schemas/A"}]},
                    },
                },
                "B": {"allOf": [{"type": "object", "properties": {"g": TEXT}}, {"required": ["g"]}]},
            },
            "securitySchemes": {
                "key": {"type": "apiKey", "in": "query", "name": "k"},
                "token": {"type": "oauth2", "flows": {"clientCredentials": {"tokenUrl": "/t", "scopes": {"read": ""}}}},
            },
        },
    )
    everything["servers"] = [{"url": "https://{h}/v1", "variables": {"h": {"default": "a.example"}}}]
    swagger = json.loads((FOLDER / "petstore-2.0.json").read_text())
    newer = everything | {"openapi": "3.1.0"}
    return [json.dumps(each) for each in (everything, newer, swagger)]


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Each member and item, as the container and its key."""
    for key in list(value) if isinstance(value, dict) else range(len(value)):
        yield value, key
        if isinstance(value[key], dict | list):
            yield from places(value[key])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.floats(allow_nan=False) | st.text(max_size=4)
    | st.sampled_from(["#", "#/components/schemas/A", "{", "http://[", "\ud800", "\0", "array", "object", "path"]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(["$ref", "type", "in", "name", "items", "a", "allOf", ""]), inner, max_size=3),
    max_leaves=4,
)  # fmt: skip


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 2), st.lists(st.tuples(st.integers(0), JSON), min_size=1, max_size=3))
def test_a_spoiled_document_raises_nothing_but_our_own(which: int, changes: list[tuple[int, Any]]) -> None:
    tried(spoiled(which, changes))


def spoiled(which: int, changes: list[tuple[int, Any]]) -> Any:
    document = json.loads(sound()[which])
    for number, value in changes:
        found = list(places(document))
        if found:
            container, key = found[number % len(found)]
            container[key] = copy.deepcopy(value)
    return document


@pytest.mark.slow
def test_any_value_of_a_sound_document_may_be_anything() -> None:
    chance = random.Random(7)
    odd: list[Any] = [
        None,
        True,
        7,
        -1.5,
        "",
        "x",
        "#",
        [],
        [[]],
        {},
        {"$ref": "#/info"},
        {"$ref": "#/components/schemas/A"},
    ]
    for text in sound():
        assert tried(json.loads(text)) is not None
        count = len(list(places(json.loads(text))))
        for number in range(0, count, 1 + count // 200):  # one in four of the long document's
            document = json.loads(text)
            container, key = list(places(document))[number]
            container[key] = chance.choice(odd)
            tried(document)


@given(st.text(max_size=60) | st.binary(max_size=60))
def test_any_text_is_a_document_or_none(text: str | bytes) -> None:
    tried(text)


def sharing(operations: int, properties: int, description: str) -> dict[str, Any]:
    """A document in which each operation has the same body."""
    whole = described(method="post", requestBody={"content": {"application/json": {"schema": {"$ref": BIG}}}})
    item = whole["paths"]["/things"]
    big = {"type": "object", "properties": {f"p{n}": TEXT | {"description": description} for n in range(properties)}}
    paths = {f"/things/{number}": item for number in range(operations)}
    return whole | {"paths": paths, "components": {"schemas": {"Big": big}}}


BIG = "#/components/schemas/Big"


@pytest.mark.slow
@pytest.mark.parametrize(("properties", "description"), [(2_400, "x"), (60, "x" * 500)])
def test_a_schema_that_all_operations_share_is_told_so_often_and_no_more(properties: int, description: str) -> None:
    source = json.dumps(sharing(2_000, properties, description))
    assert len(source) < 600_000
    began = time.process_time()
    refused(source, "The operations together take more than can be read")
    assert time.process_time() - began < 60
    assert len(read_document(sharing(20, properties, description)).operations) == 20
