"""A service of three operations, the actions that are made of its document, and runs that call them."""

import json
from typing import Any

from assistant_site.llm.tests.quirk_server import QuirkServer, called, said
from assistant_site.tests.callers import LiveCaller
from runs.tests.folding import Folded

SECRET = "hunter2-hunter2"
TOKEN = "a-token-for-a-while"


def weather(url: str, **more: Any) -> dict[str, Any]:
    """A document of three operations."""
    city = {"name": "city", "in": "path", "required": True, "schema": {"type": "string"}}
    units = {"name": "units", "in": "query", "schema": {"type": "string", "enum": ["metric", "imperial"]}}
    days = {"name": "days", "in": "query", "schema": {"type": "array", "items": {"type": "integer"}}}
    report = {
        "type": "object",
        "properties": {"city": {"type": "string"}, "degrees": {"$ref": "#/components/schemas/Degrees"}},
        "required": ["city", "degrees"],
    }
    fine = {"responses": {"200": {"description": "Fine."}}}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Weather", "version": "1"},
        "servers": [{"url": url}],
        "paths": {
            "/cities/{city}": {
                "parameters": [city],
                "get": {
                    "operationId": "get_weather",
                    "summary": "The weather.",
                    "parameters": [units, days],
                    **fine,
                },
                "delete": {"operationId": "forget_city", "summary": "Forgets.", **fine},
            },
            "/reports": {
                "post": {
                    "operationId": "report_weather",
                    "description": "Reports.",
                    "requestBody": {"required": True, "content": {"application/json": {"schema": report}}},
                    **fine,
                }
            },
        },
        "components": {"schemas": {"Degrees": {"type": "number", "minimum": -100}}},
        **more,
    }


def made(lena: LiveCaller, document: Any, **fields: Any) -> dict[str, dict[str, Any]]:
    """The actions of a document by the names of their operations."""
    answer = lena.post("actions", {"openapi_schema": document, **fields})
    assert answer.status == 200, answer.body
    return {each["operation_id"]: each for each in answer.body}


def run_of(
    lena: LiveCaller, action: dict[str, Any], arguments: dict[str, Any], *texts: str, **fields: Any
) -> tuple[Folded, str]:
    """A run in which the model calls the action once; what the model was told of it."""
    call = (action["operation_id"], json.dumps(arguments))
    with QuirkServer(called(call), said(*(texts or ["Done."]))) as provider:
        lena.provided_by(provider.base_url)
        assistant = lena.assistant(tools=[{"type": "action", "id": action["id"]}])
        events = lena.stream(f"threads/{lena.thread('Go')}/runs", {"assistant_id": assistant, **fields})
        told = provider.requests[-1].body["messages"][-1]
    folded = Folded(events)
    folded.equals_rest(lena)
    assert folded.run["status"] == "completed", folded.run
    assert told["role"] == "tool"
    return folded, told["content"]
