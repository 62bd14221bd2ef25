"""Requests with every property that OpenAI's document has for them are taken, and what can be shown again is."""

from typing import Any

import pytest

from assistant_site.tests.callers import LocalCaller

SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
TOOLS: list[dict[str, Any]] = [
    {"type": "code_interpreter"},
    {
        "type": "file_search",
        "file_search": {
            "max_num_results": 7,
            "ranking_options": {"ranker": "default_2024_08_21", "score_threshold": 0.25},
        },
    },
    {
        "type": "function",
        "function": {"name": "get_sky", "description": "The sky over a city", "parameters": SCHEMA, "strict": True},
    },
]
FORMAT = {
    "type": "json_schema",
    "json_schema": {"name": "sky", "description": "A sky", "schema": SCHEMA, "strict": True},
}
CHUNKS = {"type": "static", "static": {"max_chunk_size_tokens": 400, "chunk_overlap_tokens": 100}}
PICTURE = {"type": "image_url", "image_url": {"url": "https://example.com/sky.png", "detail": "low"}}


@pytest.fixture
def file(alice: LocalCaller) -> str:
    return alice.upload("sky.md", b"# Sky\n\nIt is blue.")


def messages(file: str) -> list[dict[str, Any]]:
    attachments = [{"file_id": file, "tools": [{"type": "code_interpreter"}, {"type": "file_search"}]}]
    content = [{"type": "text", "text": "What colour?"}, PICTURE]
    return [{"role": "user", "content": content, "attachments": attachments, "metadata": {"from": "a test"}}]


def new_stores(file: str) -> dict[str, Any]:
    store = {"file_ids": [file], "chunking_strategy": CHUNKS, "metadata": {"kind": "own"}}
    return {"code_interpreter": {"file_ids": [file]}, "file_search": {"vector_stores": [store]}}


def of_a_run() -> dict[str, Any]:
    return {
        "model": "demo",
        "instructions": "Look up.",
        "tools": TOOLS,
        "metadata": {"a": "b"},
        "temperature": 0.5,
        "top_p": 0.9,
        "max_prompt_tokens": 1000,
        "max_completion_tokens": 500,
        "truncation_strategy": {"type": "last_messages", "last_messages": 3},
        "tool_choice": {"type": "function", "function": {"name": "get_sky"}},
        "parallel_tool_calls": False,
        "response_format": FORMAT,
        "stream": False,
    }


def shown(answer: Any, sent: dict[str, Any]) -> dict[str, Any]:
    return {key: answer[key] for key in sent}


def test_an_assistant_with_everything(alice: LocalCaller, file: str) -> None:
    sent: dict[str, Any] = {
        "model": "demo",
        "name": "Sky",
        "description": "Looks up",
        "instructions": "Look up.",
        "reasoning_effort": "low",
        "tools": TOOLS,
        "metadata": {"a": "b"},
        "temperature": 0.5,
        "top_p": 0.9,
        "response_format": FORMAT,
    }
    made = alice.post("assistants", {**sent, "tool_resources": new_stores(file)})
    assert shown(made, sent) == sent
    [store] = made["tool_resources"]["file_search"]["vector_store_ids"]
    changed = {
        **sent,
        "tool_resources": {"code_interpreter": {"file_ids": []}, "file_search": {"vector_store_ids": [store]}},
    }
    assert shown(alice.post(f"assistants/{made['id']}", changed), changed) == changed
    assert shown(alice.get(f"assistants/{made['id']}"), changed) == changed


def test_a_thread_with_everything(alice: LocalCaller, file: str) -> None:
    made = alice.post(
        "threads", {"messages": messages(file), "tool_resources": new_stores(file), "metadata": {"a": "b"}}
    )
    [message] = alice.get(f"threads/{made['id']}/messages")["data"]
    assert message["content"][1] == PICTURE
    assert message["attachments"] == messages(file)[0]["attachments"]
    assert message["metadata"] == {"from": "a test"}


def test_a_run_with_everything(alice: LocalCaller, file: str) -> None:
    thread, assistant = alice.thread("Hello"), alice.assistant()
    sent = of_a_run() | {"reasoning_effort": "low"}
    more = {"additional_instructions": "And down.", "additional_messages": messages(file)}
    include = "include[]=step_details.tool_calls[*].file_search.results[*].content"
    run = alice.post(f"threads/{thread}/runs?{include}", {"assistant_id": assistant, **sent, **more})
    expected = {key: value for key, value in sent.items() if key not in ("stream", "instructions")}
    assert shown(run, expected) == expected
    assert run["instructions"] == "Look up.\nAnd down."


def test_a_thread_and_a_run_with_everything(alice: LocalCaller, file: str) -> None:
    sent = of_a_run()
    thread = {"messages": messages(file), "tool_resources": new_stores(file), "metadata": {"of": "thread"}}
    resources = {"code_interpreter": {"file_ids": [file]}, "file_search": {"vector_store_ids": [alice.store()]}}
    body = {"assistant_id": alice.assistant(), "thread": thread, "tool_resources": resources, **sent}
    run = alice.post("threads/runs", body)
    expected = {key: value for key, value in sent.items() if key != "stream"}
    assert shown(run, expected) == expected
    assert alice.get(f"threads/{run['thread_id']}")["metadata"] == {"of": "thread"}


def test_vector_stores_with_everything(alice: LocalCaller, file: str) -> None:
    store = alice.store(
        name="Sky",
        description="What is above",
        file_ids=[file],
        expires_after={"anchor": "last_active_at", "days": 3},
        chunking_strategy=CHUNKS,
        metadata={"a": "b"},
    )
    expiry = {"anchor": "last_active_at", "days": 5}
    changed = alice.post(f"vector_stores/{store}", {"name": "Skies", "expires_after": expiry, "metadata": {"c": "d"}})
    assert (changed["name"], changed["expires_after"], changed["metadata"]) == ("Skies", expiry, {"c": "d"})
    other = alice.upload("sea.md", b"# Sea")
    of_file = {"attributes": {"colour": "blue", "deep": True, "metres": 10}, "chunking_strategy": CHUNKS}
    added = alice.post(f"vector_stores/{store}/files", {"file_id": other, **of_file})
    assert shown(added, of_file) == of_file
    batch = {"files": [{"file_id": alice.upload("sun.md", b"# Sun"), **of_file}]}
    assert alice.post(f"vector_stores/{store}/file_batches", batch)["file_counts"]["total"] == 1


@pytest.mark.parametrize(
    "path", ["assistants", "files", "vector_stores", "threads/{thread}/messages", "threads/{thread}/runs"]
)
def test_lists_take_every_parameter(alice: LocalCaller, path: str) -> None:
    page = alice.get(path.format(thread=alice.thread("Hello")) + "?limit=2&order=asc&after=x_0&before=x_z")
    assert page["object"] == "list"
