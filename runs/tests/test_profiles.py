"""What is known of a model, and what follows for assistants, runs and prompts."""

from typing import Any

import pytest

from assistant_site.tests.callers import LocalCaller
from runs import context
from runs.models import Run
from runs.preparing import prepare
from tenants.models import ModelAlias, ModelProfile

TOOLS = [{"type": "function", "function": {"name": "f"}}]
SCHEMA = {"type": "json_schema", "json_schema": {"name": "s", "schema": {"type": "object"}}}


@pytest.fixture
def plain(alice: LocalCaller) -> LocalCaller:
    """Alice, for whom `gpt-4` is a model that has neither tools nor schemas nor eyes."""
    ModelAlias.objects.create(tenant=alice.tenant, alias="gpt-4", model="tiny:1b")
    ModelProfile.objects.create(
        tenant=alice.tenant,
        model="tiny:*",
        has_tools=False,
        has_json_schema=False,
        has_vision=False,
        context_window=2_000,
        max_completion_tokens=100,
    )
    return alice


def test_assistants_and_runs_cannot_ask_for_what_the_model_lacks(plain: LocalCaller) -> None:
    able, unable = plain.assistant(tools=TOOLS), plain.assistant(model="gpt-4")
    thread = plain.thread("Hi")
    schema = plain.assistant(response_format=SCHEMA)
    cases: list[tuple[str, dict[str, Any], str, str]] = [
        ("assistants", {"model": "gpt-4", "tools": TOOLS}, "tools", "unsupported_parameter"),
        ("assistants", {"model": "tiny:3b", "response_format": SCHEMA}, "response_format", "unsupported_parameter"),
        (f"assistants/{able}", {"model": "gpt-4"}, "model", "unsupported_model"),
        (f"assistants/{unable}", {"tools": TOOLS}, "tools", "unsupported_parameter"),
        (f"threads/{thread}/runs", {"assistant_id": able, "model": "gpt-4"}, "model", "unsupported_model"),
        (f"threads/{thread}/runs", {"assistant_id": schema, "model": "gpt-4"}, "model", "unsupported_model"),
        (f"threads/{thread}/runs", {"assistant_id": unable, "tools": TOOLS}, "tools", "unsupported_parameter"),
        (
            "threads/runs",
            {"assistant_id": unable, "response_format": SCHEMA},
            "response_format",
            "unsupported_parameter",
        ),
    ]
    for path, body, param, code in cases:
        refused = plain.post(path, body)
        assert (refused.status, refused.error["param"], refused.error["code"]) == (400, param, code)
    assert plain.post("assistants", cases[0][1]).error["message"] == (
        "Unsupported parameter: 'tools' is not supported with this model: 'gpt-4' ('tiny:1b') has no tools."
    )
    assert (
        plain.post(f"assistants/{able}", {"model": "another", "tools": TOOLS, "response_format": SCHEMA}).status == 200
    )
    assert plain.post(f"assistants/{able}", {"model": "gpt-4", "tools": [], "response_format": "auto"}).status == 200
    assert plain.post(f"assistants/{unable}", {"name": "New", "response_format": {"type": "json_object"}}).status == 200


def test_a_plain_run_does_not_ask_what_its_model_has(plain: LocalCaller, django_assert_max_num_queries: Any) -> None:
    assistant, thread = plain.assistant(model="gpt-4"), plain.thread("Hi")
    with django_assert_max_num_queries(100) as caught:
        plain.post(f"threads/{thread}/runs", {"assistant_id": assistant})
    assert not [query for query in caught.captured_queries if "modelprofile" in query["sql"]]


def test_prompts_fit_the_models_window_and_show_it_no_images(plain: LocalCaller) -> None:
    thread = plain.thread(*(f"{number} " + "word " * 300 for number in range(12)))
    image = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
    plain.post(f"threads/{thread}/messages", {"role": "user", "content": [image]})
    run = Run(
        tenant=plain.tenant,
        thread_id=thread,
        model="gpt-4",
        instructions="",
        memory={},
        spent={},
        max_completion_tokens=5_000,
        model_params={"temperature": 0.5},
    )
    prepared = prepare(run)
    assert prepared.profile.context_window == 2_000
    assert 2 < len(prepared.request.messages) < 8
    assert prepared.request.messages[-1]["content"] == (
        "[Image https://example.com/a.png is not shown. This model cannot see images.]"
    )
    assert prepared.request.options["max_completion_tokens"] == 100
    run.max_completion_tokens, run.model_params = None, {"max_tokens": 5_000}
    assert context.options_of(run, [], prepared.profile)["max_tokens"] == 100
    run.model = "another"
    assert len(prepare(run).request.messages) == 13
