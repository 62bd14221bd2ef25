"""What a run sends to the model: settings, overrides, context."""

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from assistant_site.llm.tests.quirk_server import QuirkServer, said
from assistant_site.tests.callers import LiveCaller, LocalCaller
from runs import context
from runs.models import Run
from threads.actions import insert_messages

FUNCTION = {"type": "function", "function": {"name": "f", "description": "d"}}


def draft(text: str) -> dict[str, Any]:
    """A validated message."""
    return {
        "role": "user",
        "content": [{"type": "text", "text": {"value": text, "annotations": []}}],
        "attachments": [],
        "metadata": {},
    }


def sent(lena: LiveCaller, thread: str, assistant: dict[str, Any], run: dict[str, Any]) -> dict[str, Any]:
    """The request that this run's model got."""
    with QuirkServer(said("ok")) as provider:
        lena.provided_by(provider.base_url)
        ended = lena.run(thread, lena.assistant(**assistant), **run)
        assert ended["status"] == "completed", ended
        body: dict[str, Any] = provider.requests[0].body
        assert provider.requests[0].path == "/v1/chat/completions"
        assert lena.token not in str(provider.requests[0].headers)
    return body


def test_what_nobody_set_is_left_out(lena: LiveCaller) -> None:
    body = sent(lena, lena.thread("Hi"), {"model": "m"}, {})
    assert body["messages"] == [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
    assert set(body) == {"model", "messages", "stream", "stream_options"}


def test_the_assistants_settings(lena: LiveCaller) -> None:
    schema = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}}
    settings = {"temperature": 0.5, "top_p": 0.9, "reasoning_effort": "low", "response_format": schema}
    body = sent(lena, lena.thread("Hi"), {"model": "m", "tools": [FUNCTION], **settings}, {})
    assert {name: body[name] for name in settings} == settings
    assert body["tools"] == [
        {
            "type": "function",
            "function": {"name": "f", "description": "d", "parameters": {"type": "object", "properties": {}}},
        }
    ]
    assert "tool_choice" not in body


def test_the_runs_settings_win(lena: LiveCaller) -> None:
    thread = lena.thread("Hi")
    assistant = {"model": "m", "temperature": 0.5, "tools": [FUNCTION], "instructions": "Be brief."}
    body = sent(
        lena,
        thread,
        assistant,
        {
            "model": "n",
            "instructions": "Be long.",
            "additional_instructions": "In verse.",
            "additional_messages": [{"role": "assistant", "content": "Yes?"}, {"role": "user", "content": "Go"}],
            "temperature": 1.5,
            "max_completion_tokens": 300,
            "parallel_tool_calls": False,
            "tool_choice": {"type": "function", "function": {"name": "f"}},
        },
    )
    assert body["messages"] == [
        {"role": "system", "content": "Be long.\nIn verse."},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Yes?"},
        {"role": "user", "content": "Go"},
    ]
    assert (body["model"], body["temperature"], body["max_completion_tokens"]) == ("n", 1.5, 300)
    assert (body["parallel_tool_calls"], body["tool_choice"]["function"]["name"]) == (False, "f")
    [run] = lena.get(f"threads/{thread}/runs")["data"]
    assert (run["model"], run["instructions"], run["temperature"]) == ("n", "Be long.\nIn verse.", 1.5)
    assert run["tool_choice"] == {"type": "function", "function": {"name": "f"}}


def test_no_tools_at_all(lena: LiveCaller) -> None:
    body = sent(lena, lena.thread("Hi"), {"model": "m", "tools": [FUNCTION]}, {"tool_choice": "none"})
    assert body["tool_choice"] == "none"


def test_a_forced_tool_must_be_there(lena: LiveCaller) -> None:
    choice = {"type": "function", "function": {"name": "g"}}
    body = {"assistant_id": lena.assistant(tools=[FUNCTION]), "tool_choice": choice}
    refused = lena.post(f"threads/{lena.thread('Hi')}/runs", body)
    assert (refused.status, refused.error["param"]) == (400, "tool_choice")


def test_a_forced_choice_is_for_the_first_turn_only(lena: LiveCaller) -> None:
    thread = lena.thread("Hi")
    run = lena.run(thread, lena.assistant(tools=[FUNCTION]), tool_choice="required")
    assert run["status"] == "requires_action"
    [call] = run["required_action"]["submit_tool_outputs"]["tool_calls"]
    outputs = {"tool_outputs": [{"tool_call_id": call["id"], "output": "ok"}]}
    lena.post(f"threads/{thread}/runs/{run['id']}/submit_tool_outputs", outputs)
    assert lena.settled(thread, run["id"])["status"] == "completed"


def test_one_call_a_turn(lena: LiveCaller) -> None:
    thread = lena.thread("call:f {}\ncall:f {}")
    run = lena.run(thread, lena.assistant(tools=[FUNCTION]), parallel_tool_calls=False)
    assert len(run["required_action"]["submit_tool_outputs"]["tool_calls"]) == 1


def test_pictures_go_along(lena: LiveCaller) -> None:
    picture = {"type": "image_url", "image_url": {"url": "https://example.com/a.png", "detail": "low"}}
    thread = lena.thread()
    lena.post(f"threads/{thread}/messages", {"role": "user", "content": [{"type": "text", "text": "What?"}, picture]})
    body = sent(lena, thread, {"model": "m"}, {})
    assert body["messages"][-1] == {"role": "user", "content": [{"type": "text", "text": "What?"}, picture]}


@pytest.mark.parametrize(("last", "texts"), [(1, ["4"]), (3, ["2", "3", "4"])])
def test_only_the_last_messages(lena: LiveCaller, last: int, texts: list[str]) -> None:
    thread = lena.thread(*[str(number) for number in range(5)])
    strategy = {"type": "last_messages", "last_messages": last}
    body = sent(lena, thread, {"model": "m"}, {"truncation_strategy": strategy})
    assert [message["content"] for message in body["messages"][1:]] == texts


@pytest.mark.parametrize(
    ("memory", "texts"),
    [
        ({"type": "naive"}, ["one", "two", "three", "four", "five"]),
        ({"type": "zero"}, ["four", "five"]),
        ({"type": "window", "window_size": 3}, ["three", "four", "five"]),
        ({"type": "window"}, ["one", "two", "three", "four", "five"]),
        ({"type": "window", "window_size": 3, "max_token_size": 1}, ["five"]),
    ],
)
def test_the_assistants_memory(lena: LiveCaller, memory: dict[str, Any], texts: list[str]) -> None:
    """As in Open Assistant API; it is answered as it was given."""
    roles = ["user", "assistant", "user", "user", "assistant"]
    words = ["one", "two", "three", "four", "five"]
    messages = [{"role": role, "content": word} for role, word in zip(roles, words, strict=True)]
    thread = lena.post("threads", {"messages": messages})["id"]
    metadata = {"memory": memory, "a": "b"}
    assistant = lena.send("POST", "/v1/assistants", {"model": "m", "instructions": "x", "metadata": metadata})
    assert assistant["metadata"] == metadata
    with QuirkServer(said("ok")) as provider:
        lena.provided_by(provider.base_url)
        lena.run(thread, assistant["id"])
        assert [message["content"] for message in provider.requests[0].body["messages"][1:]] == texts


@pytest.mark.parametrize(
    ("memory", "param"),
    [
        ({}, "metadata.memory.type"),
        ({"type": "long"}, "metadata.memory.type"),
        ({"type": "window", "window_size": 0}, "metadata.memory.window_size"),
        ({"type": "window", "tokens": 1}, "metadata.memory.tokens"),
        ([], "metadata.memory"),
    ],
)
def test_a_memory_that_makes_no_sense(alice: LocalCaller, memory: Any, param: str) -> None:
    refused = alice.post("assistants", {"model": "m", "metadata": {"memory": memory}})
    assert (refused.status, refused.error["param"]) == (400, param)
    thread = alice.post("threads", {"metadata": {"memory": {"type": "zero"}}})
    assert thread.error["param"] == "metadata.memory"  # of assistants only


def test_a_prompt_budget_drops_from_the_middle(lena: LiveCaller) -> None:
    thread = lena.thread(*[f"{number} " + "word " * 100 for number in range(30)])
    body = sent(lena, thread, {"model": "m"}, {"max_prompt_tokens": 1000})
    shown = [message["content"].split()[0] for message in body["messages"][1:]]
    assert shown == ["0", *[str(number) for number in range(30)][1 - len(shown) :]]
    assert 3 <= len(shown) <= 9


def test_a_long_thread_is_not_read_as_a_whole(
    lena: LiveCaller, django_assert_max_num_queries: Callable[[int], Any]
) -> None:
    thread = lena.thread()
    insert_messages(thread, lena.tenant.pk, [draft(f"{number} " + "word " * 100) for number in range(3000)])
    run = Run.objects.of(lena.tenant).get(pk=lena.run(thread, lena.assistant())["id"])
    with django_assert_max_num_queries(5):  # two pages of newest ones, the first one; the run's own step and message
        shown = context.build(run, [])
    words = [message["content"].split()[0] for message in shown if message["role"] == "user"]
    assert words[0] == "0"
    assert words[1:] == [str(number) for number in range(3000)][1 - len(words) :]
    assert 100 < len(words) < 200


def test_a_threads_first_message_is_found_without_looking_at_others(alice: LocalCaller) -> None:
    elder, thread, empty = (alice.post("threads")["id"] for _ in range(3))
    for each in (elder, thread):
        insert_messages(each, alice.tenant.pk, [draft(f"{number}") for number in range(3000)])
    with connection.cursor() as cursor, CaptureQueriesContext(connection) as asked:
        cursor.execute("ANALYZE threads_message")
        first = context.first_message(Run(pk="run_none", thread_id=thread))
        cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {asked[-1]['sql']}")
        [plan] = cursor.fetchone()[0]
    assert first is not None
    assert (first.thread_id, first.text) == (thread, "0")
    scan = plan["Plan"]["Plans"][0]
    assert (scan["Node Type"], scan["Index Name"]) == ("Index Scan", "messages_of_thread")
    assert scan["Rows Removed by Filter"] == 0
    assert context.first_message(Run(pk="run_none", thread_id=empty)) is None


def test_another_runs_calls_are_not_replayed(lena: LiveCaller) -> None:
    thread = lena.thread("call:f {}")
    assistant = lena.assistant(tools=[FUNCTION])
    run = lena.run(thread, assistant)
    [call] = run["required_action"]["submit_tool_outputs"]["tool_calls"]
    outputs = {"tool_outputs": [{"tool_call_id": call["id"], "output": "42"}]}
    lena.post(f"threads/{thread}/runs/{run['id']}/submit_tool_outputs", outputs)
    lena.settled(thread, run["id"])
    lena.post(f"threads/{thread}/messages", {"role": "user", "content": "And?"})
    body = sent(lena, thread, {"model": "m"}, {})
    assert [message["role"] for message in body["messages"]] == ["system", "user", "assistant", "user"]


def test_a_later_edit_of_the_assistant_does_not_touch_a_run(lena: LiveCaller) -> None:
    thread = lena.thread("call:f {}")
    assistant = lena.assistant(tools=[FUNCTION], model="demo-instant")
    run = lena.run(thread, assistant)
    lena.post(f"assistants/{assistant}", {"model": "other", "instructions": "x", "tools": []})
    again = lena.get(f"threads/{thread}/runs/{run['id']}")
    assert (again["model"], again["instructions"], len(again["tools"])) == ("demo-instant", "Be brief.", 1)


def test_a_run_needs_something_to_go_on(lena: LiveCaller) -> None:
    assistant = lena.post("assistants", {"model": "m"})["id"]
    for path in (f"threads/{lena.thread()}/runs", "threads/runs"):
        refused = lena.post(path, {"assistant_id": assistant})
        assert refused.status == 400
        assert refused.error["code"] == "invalid_thread"
        assert refused.error["message"] == (
            "Run creation requires a Thread with a user message or an assistant with instructions."
        )
    run = lena.run(lena.thread(), lena.assistant())
    assert run["status"] == "completed"
