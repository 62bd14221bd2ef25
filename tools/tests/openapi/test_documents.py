"""What is made of a document: names, texts, servers, schemas; and where a broken one is broken."""

import copy
import json
from typing import Any

import pytest

from tools.openapi import BadDocument, read_document
from tools.tests.openapi.making import SERVER, described, operation, parameter, posting, swagger

TEXT = {"type": "string"}
FINE = {"responses": {"200": {"description": "Fine."}}}


def several(**operations: dict[str, Any]) -> dict[str, Any]:
    """A document with an operation for each name: `get_a` is GET /a."""
    document = described()
    document["paths"] = {}
    for name, each in operations.items():
        method, path = name.split("_", 1)
        document["paths"].setdefault(f"/{path}", {})[method] = FINE | each
    return document


def test_operations_have_names_that_functions_can_have() -> None:
    document = several(
        get_a={"operationId": "good_1"},
        get_b={"operationId": "pets/list all"},
        get_c={"operationId": "good_1"},
        get_d={"operationId": "2nd"},
        get_e={},
        get_f={"operationId": "x" * 200},
        get_g={"operationId": "x" * 200},
        get_h={"operationId": "报告"},
        get_i={"operationId": "good-1"},
        get_j={"operationId": "good_1_2"},
    )
    names = [each.operation_id for each in read_document(document).operations]
    assert names[:5] == ["good_1", "pets_list_all", "good_1_2", "_2nd", "get_e"]
    assert names[5:] == ["x" * 128, "x" * 126 + "_2", "_", "good_1_3", "good_1_2_2"]


def test_operations_have_a_description() -> None:
    document = several(
        get_a={"summary": "Short.", "description": "Long."},
        get_b={"summary": "Short.", "description": " "},
        get_c={},
        get_d={"description": "word " * 200},
    )
    texts = [each.description for each in read_document(document).operations]
    assert texts[:3] == ["Long.", "Short.", "GET /c"]
    assert texts[3].endswith("word…")
    assert 500 < len(texts[3]) <= 512


@pytest.mark.parametrize(
    ("servers", "url", "expected"),
    [
        ([{"url": "https://a.example/v1/"}], "", "https://a.example/v1"),
        ([{"url": "https://A.example:443/v1?x=1#y"}], "", "https://a.example/v1"),
        ([{"url": "http://a.example:8080"}, {"url": "https://b.example"}], "", "http://a.example:8080"),
        ([{"url": "/v1"}], "https://a.example/docs/openapi.json", "https://a.example/v1"),
        ([{"url": "v1"}], "https://a.example/docs/openapi.json", "https://a.example/docs/v1"),
        ([{"url": "//b.example/v1"}], "https://a.example/docs/openapi.json", "https://b.example/v1"),
        ([], "https://a.example/docs/openapi.json", "https://a.example"),
        ([{"url": "https://bücher.example/ü"}], "", "https://xn--bcher-kva.example/%C3%BC"),
        ([{"url": "http://[::1]:81/a"}], "", "http://[::1]:81/a"),
        (
            [
                {
                    "url": "https://{host}/{base}",
                    "variables": {"host": {"default": "a.example"}, "base": {"default": "v2"}},
                }
            ],
            "",
            "https://a.example/v2",
        ),
    ],
)
def test_servers(servers: list[Any], url: str, expected: str) -> None:
    document = described() | {"servers": servers}
    assert read_document(document, url).operations[0].server == expected


def test_the_nearest_servers_count() -> None:
    document = several(get_a={"servers": [{"url": "https://own.example"}]}, post_a={}, get_b={})
    document["paths"]["/a"]["servers"] = [{"url": "https://path.example"}]
    servers = [each.server for each in read_document(document).operations]
    assert servers == ["https://own.example", "https://path.example", SERVER]


@pytest.mark.parametrize(
    ("more", "url", "expected"),
    [
        ({}, "", "https://api.example.com/v1"),
        ({"schemes": ["http", "https"]}, "", "https://api.example.com/v1"),
        ({"schemes": ["http"], "basePath": "/"}, "", "http://api.example.com"),
        ({"host": None, "schemes": None}, "http://here.example/swagger.json", "http://here.example/v1"),
        ({"schemes": None}, "http://here.example/swagger.json", "http://api.example.com/v1"),
    ],
)
def test_servers_of_swagger_2(more: dict[str, Any], url: str, expected: str) -> None:
    document: dict[str, Any] = {
        "swagger": "2.0",
        "info": {"title": "T", "version": "1"},
        "paths": {"/a": {"get": FINE}},
    }
    document |= {"host": "api.example.com", "basePath": "/v1", "schemes": ["https"]} | more
    document = {name: value for name, value in document.items() if value is not None}
    assert read_document(document, url).operations[0].server == expected


def test_an_operations_parameter_goes_before_the_paths() -> None:
    document = described(parameter("q", "query", {"type": "integer"}), parameter("r", "query"))
    document["paths"]["/things"]["parameters"] = [parameter("q", "query"), parameter("q", "header")]
    found = read_document(document).operations[0]
    assert [(each.name, each.where, each.schema) for each in found.parameters] == [
        ("q", "query", {"type": "integer"}),
        ("q", "header", TEXT | {"description": "(`q` in a header)"}),
        ("r", "query", TEXT),
    ]
    assert list(found.function_def["parameters"]["properties"]) == ["q", "q_in_header", "r"]


def test_references_are_followed_wherever_they_may_stand() -> None:
    document = described(path="/a/{id}", components={
        "parameters": {"Id": parameter("id", "path", {"$ref": "#/components/schemas/Id"})},
        "schemas": {"Id": {"$ref": "#/components/schemas/Number"}, "Number": {"type": "integer"}},
        "requestBodies": {"Body": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Id"}}}}},
    })  # fmt: skip
    item = document["paths"].pop("/a/{id}")
    item["post"] = item.pop("get") | {"requestBody": {"$ref": "#/components/requestBodies/Body"}}
    item["parameters"] = [{"$ref": "#/components/parameters/Id"}]
    document["x-items"] = {"a/b": item}
    document["paths"] = {"/a/{id}": {"$ref": "#/x-items/a~1b"}}
    properties = read_document(document).operations[0].function_def["parameters"]["properties"]
    assert properties == {"id": {"type": "integer"}, "body": {"type": "integer"}}


def test_text_beside_a_reference_counts() -> None:
    found = posting(
        {"type": "object", "properties": {"a": {"$ref": "#/components/schemas/A", "description": "Mine."}}},
        components={"schemas": {"A": TEXT | {"description": "Its."}}},
        version="3.1.0",
    )
    assert found.function_def["parameters"]["properties"]["a"] == TEXT | {"description": "Mine."}


def test_a_schema_that_holds_itself_is_cut() -> None:
    tree = {
        "type": "object",
        "description": "A tree.",
        "properties": {"name": TEXT, "children": {"type": "array", "items": {"$ref": "#/components/schemas/Tree"}}},
    }
    found = posting({"$ref": "#/components/schemas/Tree"}, components={"schemas": {"Tree": tree}})
    cut = {"type": "object", "description": "A tree."}
    assert found.function_def["parameters"]["properties"] == {
        "name": TEXT,
        "children": {"type": "array", "items": cut},
    }


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"type": "string", "nullable": True}, {"type": ["string", "null"]}),
        (
            {"type": "string", "nullable": True, "enum": ["a"]},
            {"type": ["string", "null"], "enum": ["a", None]},
        ),
        (
            {"nullable": True, "allOf": [{"$ref": "#/components/schemas/A"}]},
            {"type": ["object", "null"], "properties": {"b": TEXT}},
        ),
        (
            {"nullable": True, "oneOf": [TEXT, {"type": "integer"}], "description": "D."},
            {"anyOf": [{"oneOf": [TEXT, {"type": "integer"}]}, {"type": "null"}], "description": "D."},
        ),
        (
            {"type": "integer", "minimum": 1, "exclusiveMinimum": True, "title": "T", "example": 3, "x-a": 1},
            {"type": "integer", "exclusiveMinimum": 1},
        ),
        ({"type": "array"}, {"type": "array", "items": {}}),
        (
            {"type": "string", "format": "date", "default": "now"},
            {"type": "string", "format": "date", "default": "now"},
        ),
        ({"allOf": [TEXT, {"type": "integer"}]}, {"allOf": [TEXT, {"type": "integer"}]}),
        ({"allOf": [TEXT, {"minLength": 3}], "description": "D."}, TEXT | {"description": "D.", "minLength": 3}),
        (
            {"type": "object", "additionalProperties": {"$ref": "#/components/schemas/A"}},
            {"type": "object", "additionalProperties": {"type": "object", "properties": {"b": TEXT}}},
        ),
    ],
)
def test_schemas_as_models_are_told_of_them(schema: dict[str, Any], expected: dict[str, Any]) -> None:
    components = {"schemas": {"A": {"type": "object", "properties": {"b": TEXT}}}}
    found = posting({"type": "object", "properties": {"a": schema}}, components=components)
    assert found.function_def["parameters"]["properties"]["a"] == expected


def test_security_is_the_operations_own_or_the_documents() -> None:
    document = several(get_a={}, get_b={"security": []}, get_c={"security": [{"key": []}, {}]})
    document["security"] = [{"key": [], "token": ["read"]}]
    document["components"] = {
        "securitySchemes": {
            "key": {"type": "apiKey", "in": "header", "name": "X-Key"},
            "token": {
                "type": "oauth2",
                "flows": {"clientCredentials": {"tokenUrl": "/token", "scopes": {"read": ""}}},
            },
        }
    }
    first, second, third = read_document(document, "https://a.example/openapi.json").operations
    assert [(each.type, each.key, each.token_url, each.scopes) for each in first.security[0]] == [
        ("apiKey", "X-Key", "", ()),
        ("oauth2", "", "https://a.example/token", ("read",)),
    ]
    assert second.security == ()
    assert [len(way) for way in third.security] == [1, 0]


def test_yaml_is_read_as_json_is() -> None:
    text = """
openapi: 3.0.0
info: {title: Norway, version: 1.0}
servers: &here [{url: "https://a.example"}]
paths:
  /no:
    get: &get
      operationId: no
      parameters:
      - {name: since, in: query, schema: {type: string, default: 2024-01-01, enum: [2024-01-01, on, no, 12:30, 0o17]}}
      responses: {200: {description: Fine.}}
    post: {<<: *get, operationId: yes}
    servers: *here
"""
    first, second = read_document(text).operations
    assert (first.operation_id, second.operation_id) == ("no", "yes")
    assert first.parameters[0].schema["enum"] == ["2024-01-01", "on", "no", "12:30", 15]
    assert first.parameters == second.parameters
    assert read_document(text.encode("utf-8-sig")).title == "Norway"


def test_braces_may_be_yaml_and_keys_may_come_twice() -> None:
    text = json.dumps(described())
    assert read_document(text[:-1] + ",}").operations == read_document(text).operations
    assert read_document(text[:-1] + ', "openapi": "3.1.0"}').operations == read_document(text).operations


def spoiled(*path: str | int, to: Any = None, swagger_2: bool = False) -> dict[str, Any]:
    """A sound document with this in it, or without it."""
    if swagger_2:
        document: dict[str, Any] = {
            "swagger": "2.0",
            "info": {"title": "Things", "version": "1"},
            "host": "a.example",
            "schemes": ["https"],
            "paths": {"/a": {"get": {"parameters": [{"name": "q", "in": "query", "type": "string"}]} | FINE}},
        }
    else:
        document = copy.deepcopy(described(parameter("q", "query"), parameter("id", "path"), path="/a/{id}"))
    value: Any = document
    for step in path[:-1]:
        value = value[step]
    if to is None:
        del value[path[-1]]
    else:
        value[path[-1]] = to
    return document


GET = ("paths", "/a/{id}", "get")
AT = "paths./a/{id}.get"


@pytest.mark.parametrize(
    ("document", "place", "told"),
    [
        (spoiled("openapi"), "", "neither `openapi` nor `swagger`"),
        (spoiled("openapi", to="4.0.0"), "openapi", "Version “4.0.0” is not known here"),
        (spoiled("openapi", to=[]), "openapi", "is not known here"),
        (spoiled("info"), "", "“info” is missing."),
        (spoiled("info", "title"), "info", "“title” is missing."),
        (spoiled("paths"), "", "“paths” is missing."),
        (spoiled("paths", to={}), "paths", "has no operations"),
        (spoiled("paths", to={"a": {}}), "paths", "“a” is nothing that OpenAPI knows here."),
        (spoiled("servers"), "servers", "does not say where its server is"),
        (spoiled("servers", 0, "url", to="/v1"), "servers[0].url", "is relative"),
        (spoiled("servers", 0, "url", to="ftp://a.example"), "servers[0].url", "http:// or https://"),
        (spoiled("servers", 0, "url", to="https://me:pw@a.example"), "servers[0].url", "user name or password"),
        (spoiled("servers", 0, "url", to="https://{x}.example"), "servers[0].url", "no variable “x”"),
        (spoiled("servers", 0, "url", to="https://a b"), "servers[0].url", "not a valid URL"),
        (spoiled("servers", 0, "url", to="https://a.example:99999"), "servers[0].url", "not a valid URL"),
        (spoiled("servers", 0, "url", to="https://[::1"), "servers[0].url", "not a valid URL"),
        (spoiled("servers", 0, "url", to="https://"), "servers[0].url", "not a valid URL"),
        (spoiled(*GET, "responses"), AT, "“responses” is missing."),
        (spoiled(*GET, "operationId", to=7), f"{AT}.operationId", "must be a text, and is a whole number"),
        (spoiled(*GET, "colour", to=7), AT, "“colour” is nothing that OpenAPI knows here."),
        (spoiled(*GET, "parameters", 0, "in"), f"{AT}.parameters[0]", "“in” is missing."),
        (spoiled(*GET, "parameters", 0, "in", to="body"), f"{AT}.parameters[0].in", "“path” or “query” or"),
        (spoiled(*GET, "parameters", 0, "schema", "type", to="text"), f"{AT}.parameters[0].schema.type", "“text”"),
        (spoiled(*GET, "parameters", 0, "style", to="simple"), f"{AT}.parameters[0].style", "“form”"),
        (
            spoiled(*GET, "parameters", 0, "schema", "$ref", to="#/components/schemas/No"),
            f"{AT}.parameters[0].schema.$ref",
            "points at nothing",
        ),
        (spoiled(*GET, "parameters", 1), AT, "The path has “{id}”"),
        (spoiled(*GET, "parameters", 1, to=parameter("q", "query")), f"{AT}.parameters[1]", "There is a parameter “q”"),
        (spoiled(*GET, "parameters", 0, to=parameter("a\nb", "header")), f"{AT}.parameters[0].name", "no name of a"),
        (spoiled(*GET, "requestBody", to={}), f"{AT}.requestBody", "“content” is missing."),
        (spoiled("swagger", to="1.2", swagger_2=True), "swagger", "is not known here"),
        (
            spoiled("paths", "/a", "get", "parameters", 0, "type", swagger_2=True),
            "paths./a.get.parameters[0]",
            "“type” is missing.",
        ),
        (spoiled("schemes", to=["ws"], swagger_2=True), "servers[0].url", "http:// or https://"),
        (spoiled("host", to="a.example/x y", swagger_2=True), "host", "does not have the form"),
    ],
)  # fmt: skip
def test_a_broken_document_is_refused_with_the_place(document: dict[str, Any], place: str, told: str) -> None:
    with pytest.raises(BadDocument) as caught:
        read_document(document)
    assert (caught.value.place, told in caught.value.message) == (place, True), str(caught.value)


@pytest.mark.parametrize(
    ("path", "to", "place", "told"),
    [
        ((*GET, "operationId"), 7, f"{AT}.operationId", "must be a text, and is a whole number"),
        ((*GET, "colour"), 7, AT, "“colour” is nothing that OpenAPI knows here."),
        ((*GET, "parameters", 0, "in"), None, f"{AT}.parameters[0]", "“in” is missing."),
        ((*GET, "parameters", 0, "in"), "body", f"{AT}.parameters[0].in", "“query” or “header” or"),
        ((*GET, "parameters", 0, "schema", "type"), "text", f"{AT}.parameters[0].schema.type", "no type of a schema"),
        ((*GET, "parameters", 0, "schema", "enum"), 7, f"{AT}.parameters[0].schema.enum", "must be an array"),
        ((*GET, "parameters", 0, "schema", "properties"), [], f"{AT}.parameters[0].schema.properties", "an object"),
        ((*GET, "requestBody"), {}, f"{AT}.requestBody", "“content” is missing."),
    ],
)
def test_faults_in_documents_of_3_1_have_their_place_too(path: Any, to: Any, place: str, told: str) -> None:
    with pytest.raises(BadDocument) as caught:
        read_document(spoiled(*path, to=to) | {"openapi": "3.1.0"})
    assert (caught.value.place, told in caught.value.message) == (place, True), str(caught.value)


def test_the_first_fault_in_the_documents_order_is_told() -> None:
    document = several(get_a={"responses": {"200": {}}}, get_b={"responses": 7})
    document["info"] = {"title": 7, "version": "1"}
    with pytest.raises(BadDocument) as caught:
        read_document(document)
    assert caught.value.place == "info.title"
    document["info"] = {"title": "T", "version": "1"}
    with pytest.raises(BadDocument) as caught:
        read_document(document)
    assert caught.value.place == "paths./a.get.responses.200"


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("", ""),
        ("  \n", ""),
        (b"\xff\xfe", ""),
        ('{"openapi": "3.0.0",\n "info"', "line 2, column 8"),
        ("openapi: 3.0.0\ninfo: [", "line 3, column 1"),
        ("a: 1\n---\nb: 2", ""),
        ("a: *nothing", "line 1, column 4"),
        ("[]", ""),
        ("7", ""),
    ],
)
def test_what_is_no_document_is_refused(text: str | bytes, place: str) -> None:
    with pytest.raises(BadDocument) as caught:
        read_document(text)
    assert caught.value.place == place


def test_a_parameter_that_the_path_has_no_room_for_is_not_asked_for() -> None:
    assert operation(parameter("id", "path")).parameters == ()


def test_bodies_of_swagger_2_take_json_where_they_can() -> None:
    body = {"name": "thing", "in": "body", "required": True, "schema": {"$ref": "#/definitions/Thing"}}
    definitions = {"Thing": {"type": "object", "properties": {"a": TEXT, "b": {"$ref": "#/definitions/Thing"}}}}
    found = swagger(body, consumes=["application/xml", "application/json"], definitions=definitions).operations[0]
    assert found.body is not None
    assert found.body.media_type == "application/json"
    assert found.function_def["parameters"]["properties"] == {"a": TEXT, "b": {"type": "object"}}
