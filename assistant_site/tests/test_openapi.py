"""The OpenAPI document and Swagger UI: true, whole and local."""

import json
from typing import Any

import pytest
from django.contrib.staticfiles import finders
from django.test import Client
from drf_spectacular.drainage import GENERATOR_STATS
from drf_spectacular.validation import validate_schema

from assistant_site.tests import official
from assistant_site.tests.callers import LocalCaller
from assistant_site.tests.test_tenancy import routes

ACTIONS = {"listActions", "createActions", "getAction", "modifyAction", "deleteAction", "runAction"}
MCP = {"callAssistantsOverMcp", "callAssistantOverMcp"}
TOKENS = {"listTokens", "createToken", "getToken", "modifyToken", "refreshToken", "refreshTokenByGet", "deleteToken"}
TENANTS = {"listTenants", "createTenant", "getTenant", "modifyTenant", "suspendTenant", "resumeTenant", "deleteTenant"}
END_USERS = {"listEndUsers", "getEndUser", "modifyEndUser", "listAllRuns", "eraseEndUser", "exportEndUser"}
BUDGETS = {"listBudgets", "createBudget", "getBudget", "modifyBudget", "deleteBudget"}
PRICES = {"listPrices", "createPrice", "deletePrice"}
OPERATING = {"getUsage", "getLimits", "listAuditLog"} | TOKENS | TENANTS | END_USERS | BUDGETS | PRICES
# Ours, not OpenAI's.
EXTENSIONS = {"listThreads", "streamRunEvents", "getRunTrace"} | ACTIONS | MCP | OPERATING


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    GENERATOR_STATS.reset()
    answer = Client().get("/openapi.json")
    assert answer.status_code == 200
    found: dict[str, Any] = json.loads(answer.content)
    return found


def test_it_is_valid_and_complete(document: dict[str, Any]) -> None:
    validate_schema(document)  # type: ignore[no-untyped-call]
    assert not GENERATOR_STATS, "warnings of the generator"
    described = {
        (path.removeprefix("/v1/"), method.upper())
        for path, operations in document["paths"].items()
        for method in operations
    }
    served = {
        (route.replace("<path:", "<str:").replace("<str:", "{").replace(">", "}"), verb)
        for route, verbs in routes()
        for verb in verbs
    }
    assert described == served


def test_operations_have_openais_names(document: dict[str, Any]) -> None:
    theirs = official.document()
    if theirs is None:
        pytest.skip("the official document is not beside the checkout")

    def names(found: dict[str, Any], prefix: str) -> dict[tuple[str, str], str]:
        return {
            (path.removeprefix(prefix), method): operation["operationId"]
            for path, operations in found["paths"].items()
            for method, operation in operations.items()
        }

    known = names(theirs, "")
    for where, name in names(document, "/v1").items():
        assert name in EXTENSIONS or known[where] == name


def test_the_example_of_an_action_makes_one(document: dict[str, Any], alice: LocalCaller) -> None:
    content = document["paths"]["/v1/actions"]["post"]["requestBody"]["content"]["application/json"]
    [example] = content["examples"].values()
    [action] = alice.post("actions", example["value"]).body
    assert action["url"] == "https://weather.example.com/cities/{city}"
    assert action["authentication"] == {"type": "bearer", "secret": "********"}


OUR_FIELDS = {"extra_body", "tool_approvals", "user", "title", "archived"}  # docs/extensions.md


def test_request_fields_are_openais(document: dict[str, Any]) -> None:
    theirs = official.document()
    if theirs is None:
        pytest.skip("the official document is not beside the checkout")
    for name in (
        "CreateAssistantRequest",
        "ModifyAssistantRequest",
        "CreateThreadRequest",
        "CreateMessageRequest",
        "CreateRunRequest",
        "CreateThreadAndRunRequest",
        "SubmitToolOutputsRunRequest",
        "CreateFileRequest",
        "CreateUploadRequest",
        "AddUploadPartRequest",
        "CompleteUploadRequest",
        "CreateVectorStoreRequest",
        "UpdateVectorStoreRequest",
        "CreateVectorStoreFileRequest",
        "UpdateVectorStoreFileAttributesRequest",
        "CreateVectorStoreFileBatchRequest",
        "VectorStoreSearchRequest",
    ):
        fields = set(document["components"]["schemas"][name]["properties"]) - OUR_FIELDS
        assert fields == set(theirs["components"]["schemas"][name]["properties"]), name


def test_forms_are_described(document: dict[str, Any]) -> None:
    for path, field in (("/v1/files", "file"), ("/v1/uploads/{upload_id}/parts", "data")):
        [(kind, body)] = document["paths"][path]["post"]["requestBody"]["content"].items()
        assert kind == "multipart/form-data"
        schema = document["components"]["schemas"][body["schema"]["$ref"].rpartition("/")[2]]
        assert schema["properties"][field] == {"type": "string", "format": "binary"}
        assert field in schema["required"]


def test_swagger_ui_needs_nothing_from_elsewhere() -> None:
    page = Client().get("/docs").content.decode()
    assert "/openapi.json" in page
    addresses = [part.split('"')[0] for part in page.replace("href=", "src=").split('src="')[1:]]
    assert addresses
    for address in addresses:
        assert address.startswith("/static/"), address
        assert finders.find(address.removeprefix("/static/")), address
