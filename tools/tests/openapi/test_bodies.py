"""Bodies by the byte: JSON, forms, multipart, text and files."""

import json
from typing import Any

import pytest

from tools.openapi import BadArguments, Operation, request_for
from tools.tests.openapi.making import operation, parameter, posting, swagger

TEXT = {"type": "string"}
WHOLE = {"type": "integer"}


def sent(found: Operation, **arguments: Any) -> str:
    return (request_for(found, arguments).content or b"").decode()


def thing(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


def test_json_is_compact_and_in_utf8() -> None:
    found = posting(thing(name=TEXT, sizes={"type": "array", "items": WHOLE}, of=thing(n=WHOLE)))
    request = request_for(found, {"name": "报告 ü", "sizes": [1.0, 2], "of": {"n": 3.0}})
    assert request.content == '{"name":"报告 ü","sizes":[1,2],"of":{"n":3}}'.encode()
    assert request.headers["Content-Type"] == "application/json"


def test_whole_numbers_stay_whole_only_where_the_schema_says_so() -> None:
    found = posting(thing(a=WHOLE, b={"type": "number"}, c={"type": ["integer", "null"]}), version="3.1.0")
    assert sent(found, a=1.0, b=1.0, c=2.0) == '{"a":1,"b":1.0,"c":2}'


def test_half_a_surrogate_pair_is_replaced() -> None:
    assert sent(posting(thing(a=TEXT)), a="x\ud83d") == '{"a":"x\ufffd"}'.replace("\ufffd", "\ufffd" * 3)


def test_null_is_left_out_unless_the_schema_has_it() -> None:
    found = posting(thing(a=TEXT, b=TEXT | {"nullable": True}))
    assert found.function_def["parameters"]["properties"]["b"] == {"type": ["string", "null"]}
    assert sent(found, a=None, b=None) == '{"b":null}'


def test_numbers_that_json_lacks_are_refused() -> None:
    with pytest.raises(BadArguments, match="as JSON"):
        sent(posting(thing(a={"type": "number"})), a=float("nan"))


def test_a_kind_of_json_keeps_its_name() -> None:
    found = posting(thing(a=TEXT), "application/merge-patch+json; charset=utf-8")
    assert request_for(found, {"a": "b"}).headers["Content-Type"] == "application/merge-patch+json; charset=utf-8"


def test_json_is_preferred_to_forms_and_forms_to_text() -> None:
    media = {"schema": thing(a=TEXT)}
    kinds = ["text/plain", "multipart/form-data", "application/x-www-form-urlencoded", "application/vnd.x+json"]
    for number, kind in enumerate(kinds, 1):
        found = operation(method="post", requestBody={"content": dict.fromkeys(kinds[:number], media)})
        assert found.body is not None
        assert found.body.media_type == kind


def test_a_body_that_is_no_object_is_one_argument() -> None:
    found = posting({"type": "array", "items": WHOLE})
    assert found.function_def["parameters"]["required"] == ["body"]
    assert sent(found, body=[1.0]) == "[1]"


def test_alternatives_are_one_argument_but_requirements_are_none() -> None:
    either = posting({"oneOf": [thing(a=TEXT), thing(b=TEXT)]})
    assert list(either.function_def["parameters"]["properties"]) == ["body"]
    at_least = posting(thing(a=TEXT, b=TEXT) | {"anyOf": [{"required": ["a"]}, {"required": ["b"]}]})
    assert list(at_least.function_def["parameters"]["properties"]) == ["a", "b"]


def test_an_optional_body_may_be_missing() -> None:
    found = posting(thing(a=TEXT) | {"required": ["a"]}, required=False)
    request = request_for(found, {})
    assert request.content is None
    assert "Content-Type" not in request.headers
    assert sent(posting(thing(a=TEXT))) == "{}"


def test_an_open_body_takes_what_the_document_does_not_name() -> None:
    found = posting(thing(a=TEXT) | {"additionalProperties": True})
    assert sent(found, a="1", more=[2]) == '{"a":"1","more":[2]}'
    with pytest.raises(BadArguments, match="no argument “more”"):
        sent(posting(thing(a=TEXT)), more=1)


def test_a_property_gives_way_to_a_parameter_of_its_name() -> None:
    found = posting(thing(id=WHOLE, name=TEXT), path="/things/{id}", parameters=[parameter("id", "path")])
    assert list(found.function_def["parameters"]["properties"]) == ["id", "id_in_body", "name"]
    request = request_for(found, {"id": "a", "id_in_body": 7, "name": "x"})
    assert request.url.endswith("/things/a")
    assert json.loads(request.content or b"") == {"id": 7, "name": "x"}


def test_parts_of_all_of_are_merged() -> None:
    found = posting({"allOf": [thing(a=TEXT) | {"required": ["a"]}, thing(b=WHOLE)]})
    assert found.function_def["parameters"]["properties"] == {"a": TEXT, "b": WHOLE}
    assert found.function_def["parameters"]["required"] == ["a"]


FORM = "application/x-www-form-urlencoded"


@pytest.mark.parametrize(
    ("encoding", "value", "expected"),
    [
        ({}, "a b&c", "x=a%20b%26c"),
        ({}, ["a", "b"], "x=a&x=b"),
        ({}, {"a": 1}, "x=%7B%22a%22%3A1%7D"),
        ({"explode": False}, ["a", "b"], "x=a,b"),
        ({"style": "spaceDelimited", "explode": False}, ["a", "b"], "x=a%20b"),
        ({"style": "pipeDelimited"}, ["a", "b"], "x=a%7Cb"),
        ({"style": "form"}, {"a": 1, "b": 2}, "a=1&b=2"),
        ({"style": "deepObject", "explode": True}, {"a": {"b": 1}}, "x%5Ba%5D%5Bb%5D=1"),
        ({"contentType": "application/json"}, ["a", "b"], "x=%5B%22a%22%2C%22b%22%5D"),
        ({"allowReserved": True}, "/a:b", "x=/a:b"),
        ({}, True, "x=true"),
        ({}, None, ""),
    ],
)
def test_forms(encoding: dict[str, Any], value: Any, expected: str) -> None:
    found = posting(thing(x={}), FORM, encoding={"x": encoding})
    assert found.body_type == "FORM"
    request = request_for(found, {"x": value})
    assert (request.content, request.headers["Content-Type"]) == (expected.encode(), FORM)


PICTURE = {"name": 'a"\r\nb.png', "type": "image/png", "bytes": b"\x89PNG\r\n\0"}
BINARY = {"type": "string", "format": "binary"}


def test_multipart_has_a_part_for_each_value() -> None:
    schema = thing(name=TEXT, picture=BINARY, more={"type": "array", "items": BINARY}, about=thing(n=WHOLE))
    found = posting(schema, "multipart/form-data")
    assert found.file_arguments == ("picture", "more")
    plain = {"name": "b.txt", "type": "", "bytes": b"x"}
    request = request_for(found, {"name": "ü", "picture": PICTURE, "more": [plain, plain], "about": {"n": 1.0}})
    boundary = request.headers["Content-Type"].removeprefix("multipart/form-data; boundary=")
    part = b"--" + boundary.encode() + b"\r\nContent-Disposition: form-data; "
    assert request.content == (
        part + b'name="name"\r\n\r\n' + "ü".encode() + b"\r\n"
        + part + b'name="picture"; filename="a%22%0D%0Ab.png"\r\nContent-Type: image/png\r\n\r\n\x89PNG\r\n\0\r\n'
        + (part + b'name="more"; filename="b.txt"\r\nContent-Type: application/octet-stream\r\n\r\nx\r\n') * 2
        + part + b'name="about"\r\nContent-Type: application/json\r\n\r\n{"n":1}\r\n'
        + b"--" + boundary.encode() + b"--\r\n"
    )  # fmt: skip
    assert request == request_for(found, {"name": "ü", "picture": PICTURE, "more": [plain, plain], "about": {"n": 1}})


def test_multipart_parts_have_the_content_types_of_the_document() -> None:
    encoding = {"data": {"contentType": "text/csv, text/plain"}, "list": {"contentType": "application/json"}}
    schema = thing(data=TEXT, list={"type": "array", "items": WHOLE})
    content = sent(posting(schema, "multipart/form-data", encoding=encoding), data="a,b", list=[1, 2])
    assert 'name="data"\r\nContent-Type: text/csv\r\n\r\na,b\r\n' in content
    assert 'name="list"\r\nContent-Type: application/json\r\n\r\n[1,2]\r\n' in content


def test_the_file_of_swagger_2() -> None:
    found = swagger(
        {"name": "file", "in": "formData", "type": "file", "required": True},
        {"name": "note", "in": "formData", "type": "string"},
    ).operations[0]
    assert found.file_arguments == ("file",)
    content = request_for(found, {"file": PICTURE, "note": "hi"}).content or b""
    assert b"image/png\r\n\r\n\x89PNG\r\n\0\r\n--" in content
    assert b'name="note"\r\n\r\nhi\r\n' in content


def test_text_and_bytes() -> None:
    text = posting(TEXT, "text/plain")
    request = request_for(text, {"body": "a\nü"})
    assert (request.content, request.headers["Content-Type"]) == ("a\nü".encode(), "text/plain")
    octets = posting(BINARY, "application/octet-stream")
    assert octets.file_arguments == ("body",)
    request = request_for(octets, {"body": PICTURE})
    assert (request.content, request.headers["Content-Type"]) == (PICTURE["bytes"], "image/png")


def test_a_range_of_media_types_takes_the_files_own() -> None:
    for wanted, expected in (("image/*", "image/png"), ("text/*", "image/png"), ("*/*", "application/json")):
        found = posting(BINARY if wanted != "*/*" else TEXT, wanted)
        value = "x" if wanted == "*/*" else PICTURE
        assert request_for(found, {"body": value}).headers["Content-Type"] == expected


def test_read_only_properties_are_not_asked_for() -> None:
    found = posting(thing(id=WHOLE | {"readOnly": True}, name=TEXT) | {"required": ["id", "name"]})
    assert found.function_def["parameters"]["properties"] == {"name": TEXT}
    assert sent(found, name="x") == '{"name":"x"}'
