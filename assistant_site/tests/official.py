"""OpenAI's schemas as a judge of our answers, where the specification lies beside the checkout; else no judge."""

import json
import os
import re
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

_BESIDE = Path(__file__).resolve().parents[3] / "shared" / "spec"
SPEC = Path(os.environ.get("HOLDFAST_SPEC", _BESIDE)) / "openai-assistants.normalized.openapi.json"


@lru_cache(maxsize=1)
def document() -> dict[str, Any] | None:
    return json.loads(SPEC.read_text()) if SPEC.is_file() else None


@lru_cache(maxsize=1)
def _registry() -> "Registry[Any]":
    components = {"$id": "urn:spec", "components": (document() or {})["components"]}
    registry: Registry[Any] = Registry()
    schemas: Resource[Any] = Resource.from_contents(components, default_specification=DRAFT202012)
    return registry.with_resource("urn:spec", schemas)  # type: ignore[no-any-return]


@cache
def _validator(schema: str) -> Draft202012Validator:
    return Draft202012Validator({"$ref": f"urn:spec#/components/schemas/{schema}"}, registry=_registry())


TOOLS = {"code_interpreter", "file_search", "function"}


def without_extensions(value: Any) -> Any:
    """An object without what only those get who ask for it (docs/extensions.md): the rest must be OpenAI's."""
    if isinstance(value, list):
        return [without_extensions(each) for each in value]
    if not isinstance(value, dict):
        return value
    plain = {key: without_extensions(each) for key, each in value.items() if key != "extra_body"}
    if isinstance(plain.get("tools"), list):
        plain["tools"] = [tool for tool in plain["tools"] if tool["type"] in TOOLS]
    if isinstance(plain.get("annotations"), list):
        plain["annotations"] = [each for each in plain["annotations"] if each["type"] != "url_citation"]
    if isinstance(plain.get("tool_choice"), dict) and plain["tool_choice"]["type"] not in TOOLS:
        plain["tool_choice"] = "auto"
    if plain.get("object") in ("thread", "thread.run"):
        for ours in ("user", "title", "archived"):
            plain.pop(ours, None)
    if plain.pop("submit_tool_approval", None):
        plain["type"] = "submit_tool_outputs"
    return plain


def conforms(schema: str, value: Any) -> None:
    """AssertionError with the first deviation from the official schema of this name."""
    if document() is None:
        return
    for error in _validator(schema).iter_errors(without_extensions(value)):
        raise AssertionError(f"{schema}: {error.json_path}: {error.message}\n{json.dumps(value)[:2000]}")


@lru_cache(maxsize=1)
def _answers() -> list[tuple[str, re.Pattern[str], str]]:
    """Method, path and schema of every documented JSON answer."""
    found = []
    for path, operations in (document() or {"paths": {}})["paths"].items():
        pattern = re.compile("^" + re.sub(r"\{[^}]+\}", "[^/]+", path) + "$")
        for method, operation in operations.items():
            if method not in ("get", "post", "delete"):
                continue
            content = operation["responses"].get("200", {}).get("content", {})
            reference = content.get("application/json", {}).get("schema", {}).get("$ref", "")
            if reference:
                found.append((method.upper(), pattern, reference.rpartition("/")[2]))
    # Fixed paths before patterns: /threads/runs is no thread.
    return sorted(found, key=lambda row: row[1].pattern.count("[^/]+"))


def answer_conforms(method: str, path: str, status: int, body: Any) -> None:
    """Judges one REST answer; `path` comes with its prefix."""
    if document() is None:
        return
    if status >= 400:
        conforms("ErrorResponse", body)
        return
    bare = re.sub(r"^(/api)?/v1", "", path.split("?")[0])
    for of_method, pattern, schema in _answers():
        if of_method == method and pattern.match(bare):
            conforms(schema, body)
            return


def event_conforms(event: str, data: Any) -> None:
    """Judges the data of one stream event."""
    if event == "thread.created":
        conforms("ThreadObject", data)
    elif event == "thread.message.delta":
        conforms("MessageDeltaObject", data)
    elif event.startswith("thread.message."):
        conforms("MessageObject", data)
    elif event == "thread.run.step.delta":
        conforms("RunStepDeltaObject", data)
    elif event.startswith("thread.run.step."):
        conforms("RunStepObject", data)
    elif event.startswith("thread.run."):
        conforms("RunObject", data)
    elif event == "error":
        conforms("Error", data)
    else:
        raise AssertionError(f"unknown event {event}")
