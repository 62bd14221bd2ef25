"""Documents as they are found: each operation of each of them becomes a function."""

import gzip
import json
import time
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from jsonschema import Draft202012Validator

from tools.openapi import Document, Operation, openapi_of, read_document, request_for
from tools.openapi.functions import MAX_CHARACTERS

FOLDER = Path(__file__).resolve().parent.parent / "documents"


@cache
def petstore() -> Document:
    return read_document((FOLDER / "petstore-3.0.yaml").read_text())


@cache
def petstore_of_swagger() -> Document:
    return read_document((FOLDER / "petstore-2.0.json").read_bytes())


@cache
def github() -> Document:
    return read_document(gzip.decompress((FOLDER / "github.json.gz").read_bytes()))


@cache
def holdfast() -> Document:
    """Relative servers count from the address that the document came from."""
    return read_document(Client().get("/openapi.json").content, "https://holdfast.example/openapi.json")


def check(document: Document, written: int = 1) -> None:
    """Each function is one that models can be told of, and each operation survives being stored.

    One in `written` operations is also written as a document of its own, and read again.
    """
    for number, operation in enumerate(document.operations):
        function = operation.function_def
        parameters = function["parameters"]
        Draft202012Validator.check_schema(parameters)
        assert set(parameters["required"]) <= set(parameters["properties"])
        text = json.dumps(parameters, allow_nan=False)
        assert '"$ref"' not in text
        assert len(text) <= 2 * MAX_CHARACTERS
        assert 0 < len(function["description"]) <= 512
        assert len(function["name"]) <= 128
        assert function["name"].isidentifier()
        assert function["name"].isascii()
        assert Operation.from_json(json.loads(json.dumps(operation.as_json()))) == operation
        if number % written == 0:
            assert read_document(openapi_of(operation)).operations == (operation,)
    names = [each.operation_id for each in document.operations]
    assert len(set(names)) == len(names)


def named(document: Document, name: str) -> Operation:
    return next(each for each in document.operations if each.operation_id == name)


def test_the_petstore() -> None:
    document = petstore()
    check(document)
    assert (document.title, document.version) == ("Swagger Petstore", "1.0.0")
    assert [each.operation_id for each in document.operations] == ["listPets", "createPets", "showPetById"]
    pet = {"id": {"type": "integer", "format": "int64"}, "name": {"type": "string"}, "tag": {"type": "string"}}
    create = named(document, "createPets")
    assert create.function_def == {
        "name": "createPets",
        "description": "Create a pet",
        "parameters": {
            "type": "object",
            "properties": pet,
            "required": ["id", "name"],
            "additionalProperties": False,
        },
    }
    assert create.body_param_schema == {
        "id": pet["id"] | {"required": True},
        "name": pet["name"] | {"required": True},
        "tag": pet["tag"] | {"required": False},
    }
    show = named(document, "showPetById")
    assert show.url == "http://petstore.swagger.io/v1/pets/{petId}"
    assert show.path_param_schema == {
        "petId": {"type": "string", "description": "The id of the pet to retrieve", "required": True}
    }
    assert (show.query_param_schema, show.body_param_schema, show.body_type) == (None, None, "NONE")
    assert request_for(show, {"petId": "7"}).url == "http://petstore.swagger.io/v1/pets/7"


def test_the_petstore_of_swagger_2() -> None:
    document = petstore_of_swagger()
    check(document)
    assert len(document.operations) == 20
    assert Counter(each.body_type for each in document.operations) == {"NONE": 11, "JSON": 7, "FORM": 2}
    assert {each.server for each in document.operations} == {"https://petstore.swagger.io/v2"}
    upload = named(document, "uploadFile")
    assert upload.description == "uploads an image"
    assert upload.file_arguments == ("file",)
    find = request_for(named(document, "findPetsByStatus"), {"status": ["sold", "pending"]})
    assert find.url == "https://petstore.swagger.io/v2/pet/findByStatus?status=sold&status=pending"
    form = request_for(named(document, "updatePetWithForm"), {"petId": 7, "name": "Rex"})
    assert (form.url, form.content) == ("https://petstore.swagger.io/v2/pet/7", b"name=Rex")
    delete = request_for(named(document, "deletePet"), {"petId": 7, "api_key": "special"})
    assert delete.headers["api_key"] == "special"
    (scheme,) = named(document, "getPetById").security[0]
    assert (scheme.type, scheme.where, scheme.key) == ("apiKey", "header", "api_key")


@pytest.mark.slow
def test_githubs_twelve_hundred_operations() -> None:
    began = time.process_time()
    document = github()
    assert time.process_time() - began < 30
    check(document, written=20)
    assert len(document.operations) == 1223
    assert Counter(each.method for each in document.operations) == {
        "GET": 639,
        "POST": 193,
        "PUT": 134,
        "PATCH": 70,
        "DELETE": 187,
    }
    assert Counter(each.body_type for each in document.operations) == {"NONE": 879, "JSON": 344}
    assert sum(len(each.parameters) for each in document.operations) == 3526
    assert {each.server for each in document.operations} == {"https://api.github.com", "https://uploads.github.com"}
    issue = named(document, "issues_create")
    request = request_for(issue, {"owner": "o", "repo": "r", "title": "Ü", "labels": ["bug"]})
    assert request.url == "https://api.github.com/repos/o/r/issues"
    assert request.content == '{"title":"Ü","labels":["bug"]}'.encode()


def test_holdfasts_own() -> None:
    document = holdfast()
    check(document)
    described: dict[str, Any] = json.loads(Client().get("/openapi.json").content)
    assert len(document.operations) == sum(len(item) for item in described["paths"].values())
    assert {each.server for each in document.operations} == {"https://holdfast.example"}
    create = named(document, "createAssistant")
    request = request_for(create, {"model": "gpt", "name": "Ada"})
    assert (request.method, request.url) == ("POST", "https://holdfast.example/v1/assistants")
    assert json.loads(request.content or b"") == {"model": "gpt", "name": "Ada"}
    upload = named(document, "createFile")
    assert upload.body_type == "FORM"
    assert upload.file_arguments == ("file",)
