"""The law of tenancy: every route and verb answers a stranger's token exactly as it answers an unknown id."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.urls import URLPattern, URLResolver, get_resolver

from assistant_site.tests.callers import LocalCaller
from runs.models import Run, RunStep
from tenants.models import UnscopedQuery
from threads.models import Message

# A valid body for each route that takes one, so that nothing but ownership can refuse it.
BODIES: dict[str, dict[str, Any]] = {
    "assistants/<str:assistant_id>/mcp": {"jsonrpc": "2.0", "id": 1, "method": "tools/list"},
    "threads/<str:thread_id>/messages": {"role": "user", "content": "x"},
    "threads/<str:thread_id>/runs": {"assistant_id": "{own_assistant}"},
    "threads/<str:thread_id>/runs/<str:run_id>/submit_tool_outputs": {"tool_outputs": []},
    "uploads/<str:upload_id>/complete": {"part_ids": ["part_x"]},
    "vector_stores/<str:vector_store_id>/search": {"query": "x"},
    "vector_stores/<str:vector_store_id>/files": {"file_id": "file-x"},
    "vector_stores/<str:vector_store_id>/files/<str:file_id>": {"attributes": {}},
    "vector_stores/<str:vector_store_id>/file_batches": {"file_ids": ["file-x"]},
}
PING = {
    "openapi": "3.0.3",
    "info": {"title": "Ping", "version": "1"},
    "servers": [{"url": "https://ping.example"}],
    "paths": {"/ping": {"get": {"summary": "Pings.", "responses": {"200": {"description": "Pong."}}}}},
}
FORMS = {"uploads/<str:upload_id>/parts": "data"}  # with a file in this field
# Routes without anybody's object in their path.
FREE = {
    "assistants",
    "threads",
    "threads/runs",
    "models",
    "models/<path:model>",
    "chat/completions",
    "embeddings",
    "files",
    "uploads",
    "vector_stores",
    "actions",
    "mcp",
}
VERBS = ("GET", "POST", "DELETE")


def routes() -> Iterator[tuple[str, tuple[str, ...]]]:
    """Every API route of the URL conf under /v1, with its verbs."""

    def walk(patterns: Any, prefix: str) -> Iterator[tuple[str, Any]]:
        for entry in patterns:
            if isinstance(entry, URLResolver):
                yield from walk(entry.url_patterns, prefix + str(entry.pattern))
            elif isinstance(entry, URLPattern):
                yield prefix + str(entry.pattern), entry.callback

    for path, view in walk(get_resolver().url_patterns, ""):
        if path.startswith("v1/") and hasattr(view, "view_class"):
            verbs = tuple(verb for verb in VERBS if hasattr(view.view_class, verb.lower()))
            yield path.removeprefix("v1/"), verbs


def test_the_walk_finds_the_routes() -> None:
    found = dict(routes())
    assert len(found) >= 17
    assert found["threads/<str:thread_id>/runs/<str:run_id>"] == ("GET", "POST")


def things_of(caller: LocalCaller) -> dict[str, str]:
    """One object of each kind, ids by the names that the URL conf gives them."""
    thread = caller.thread("hello")
    assistant = caller.assistant()
    run = caller.post(f"threads/{thread}/runs", {"assistant_id": assistant})["id"]
    row = Run.objects.of(caller.tenant).get(pk=run)
    step = RunStep.objects.create(
        tenant=caller.tenant,
        run=row,
        thread_id=thread,
        assistant_id=assistant,
        type="tool_calls",
        step_details={"type": "tool_calls", "tool_calls": []},
        run_expires_at=row.expires_at,
    )
    message = Message.objects.of(caller.tenant).get(thread_id=thread).pk
    file = caller.upload("a.txt", b"a")
    store = caller.store(file_ids=[file])
    upload = {"filename": "a", "purpose": "assistants", "bytes": 1, "mime_type": "text/plain"}
    return {
        "thread_id": thread,
        "assistant_id": assistant,
        "run_id": run,
        "step_id": step.pk,
        "message_id": message,
        "file_id": file,
        "vector_store_id": store,
        "batch_id": caller.post(f"vector_stores/{store}/file_batches", {"file_ids": [file]})["id"],
        "upload_id": caller.post("uploads", upload)["id"],
        "action_id": caller.post("actions", {"openapi_schema": PING}).body[0]["id"],
    }


@pytest.mark.parametrize(("route", "verbs"), [row for row in routes() if row[0] not in FREE])
def test_a_stranger_is_answered_as_if_nothing_were_there(
    alice: LocalCaller, bob: LocalCaller, route: str, verbs: tuple[str, ...]
) -> None:
    things = things_of(alice)
    own_assistant = bob.assistant()
    body = {key: own_assistant if value == "{own_assistant}" else value for key, value in BODIES.get(route, {}).items()}

    for verb in verbs:
        path, unknown = route, route
        for name, id in things.items():
            path = path.replace(f"<str:{name}>", id)
            unknown = unknown.replace(f"<str:{name}>", id[:-4] + "none")
        assert "<" not in path, f"add {path} to things_of"
        as_stranger, as_nobody = (
            bob.post_form(where, FORMS[route], "a.txt", b"a")
            if route in FORMS
            else bob.call(verb, where, body if verb == "POST" else None)
            for where in (path, unknown)
        )

        assert as_stranger.status == as_nobody.status == 404, (verb, as_stranger.body)
        told, blank = as_stranger.error["message"], as_nobody.error["message"]
        for id in things.values():
            told, blank = told.replace(id, "X"), blank.replace(id[:-4] + "none", "X")
        assert told == blank
    assert Run.objects.of(alice.tenant).get(pk=things["run_id"]).status == "queued"


def test_lists_show_nothing_of_others(alice: LocalCaller, bob: LocalCaller) -> None:
    things_of(alice)
    assert bob.get("assistants")["data"] == []
    assert bob.get("threads")["data"] == []
    assert bob.get("files")["data"] == []
    assert bob.get("vector_stores")["data"] == []


def test_nobody_uses_anothers_files_and_stores(alice: LocalCaller, bob: LocalCaller) -> None:
    things = things_of(alice)
    file, store = things["file_id"], things["vector_store_id"]
    own = bob.store()
    for path, body in (
        ("vector_stores", {"file_ids": [file]}),
        (f"vector_stores/{own}/files", {"file_id": file}),
        (f"vector_stores/{own}/file_batches", {"file_ids": [file]}),
        ("threads", {"tool_resources": {"code_interpreter": {"file_ids": [file]}}}),
        ("assistants", {"model": "demo", "tool_resources": {"file_search": {"vector_store_ids": [store]}}}),
    ):
        refused = bob.post(path, body)
        assert refused.status == 404
        assert refused.error["message"] in (
            f"No file found with id '{file}'.",
            f"No vector store found with id '{store}'.",
        )


def test_nobody_runs_anothers_assistant(alice: LocalCaller, bob: LocalCaller) -> None:
    assistant, thread = alice.assistant(), bob.thread("hi")
    for path in (f"threads/{thread}/runs", "threads/runs"):
        refused = bob.post(path, {"assistant_id": assistant})
        assert refused.status == 404
        assert refused.error["message"] == f"No assistant found with id '{assistant}'."


def test_reading_without_a_tenant_is_an_exception() -> None:
    for query in (Message.objects.all, Message.objects.count, lambda: Run.objects.filter(pk="x")):
        with pytest.raises(UnscopedQuery):
            query()
