"""`file_search` in a run: the exact events, results with and without their texts, citations at the right characters."""

import json
from datetime import timedelta
from typing import Any

from assistant_site.llm.tests.quirk_server import QuirkServer, called, said
from assistant_site.tests.callers import LiveCaller, LocalCaller
from runs.models import Run
from runs.tests.folding import Folded, shape
from runs.tests.test_streams import FUNCTION, TEXT
from vector_stores.models import VectorStore

SEARCH = {"type": "file_search"}
MESSAGES = [{"role": "user", "content": "Hi"}]
INCLUDE = "include[]=step_details.tool_calls[*].file_search.results[*].content"
CALLS = ["run.step.created", "run.step.in_progress", "run.step.delta", "run.step.completed"]


def store_of(caller: LiveCaller, **files: str) -> str:
    """A store with these texts in files of these names."""
    ids = [caller.upload(f"{name}.txt", text.encode()) for name, text in files.items()]
    store = caller.store(file_ids=ids)
    assert [caller.indexed(store, id)["status"] for id in ids] == ["completed"] * len(ids)
    return store


def assistant_with(caller: LiveCaller, store: str, **fields: Any) -> str:
    return caller.assistant(
        tools=[SEARCH, *fields.pop("more", [])], tool_resources={"file_search": {"vector_store_ids": [store]}}, **fields
    )


def search_for(*queries: str) -> tuple[str, str]:
    return "file_search", json.dumps({"queries": queries})


def test_the_events_of_a_search(lena: LiveCaller) -> None:
    store = store_of(lena, cats="Cats sleep all day. 🐈", dogs="Dogs bark at each postman every morning.")
    with QuirkServer(
        called(search_for("cats that sleep, and dogs")),
        said("So 🐈 sl", "eep【1:", "0†cats.txt】 and bark【1:1†x】.【7:7†y】"),
    ) as provider:
        lena.provided_by(provider.base_url)
        thread = lena.thread("What do cats do?")
        events = lena.stream(f"threads/{thread}/runs", {"assistant_id": assistant_with(lena, store)})
        question, answer = (request.body for request in provider.requests)

    assert shape(events) == ["run.created", "run.queued", "run.in_progress", *CALLS, *TEXT]
    Folded(events).equals_rest(lena)
    [delta] = [
        event.data["delta"]["step_details"]["tool_calls"] for event in events if event.name == "thread.run.step.delta"
    ]
    ranking = {"ranker": "default_2024_08_21", "score_threshold": 0.0}
    opening = {
        "index": 0,
        "id": "call_0",
        "type": "file_search",
        "file_search": {"ranking_options": ranking, "results": []},
    }
    assert delta == [opening]

    # The model was offered a function, and shown the passages under their markers.
    assert [tool["function"]["name"] for tool in question["tools"]] == ["file_search"]
    output = answer["messages"][-1]["content"]
    assert "【1:0†cats.txt】 (line 1)\nCats sleep all day. 🐈" in output
    assert answer["messages"][-2]["tool_calls"][0]["function"] == {
        "name": "file_search",
        "arguments": search_for("cats that sleep, and dogs")[1],
    }

    [text] = lena.messages(thread)[-1]["content"]
    value, annotations = text["text"]["value"], text["text"]["annotations"]
    assert value == "So 🐈 sleep【1:0†cats.txt】 and bark【1:1†x】."
    assert [value[each["start_index"] : each["end_index"]] for each in annotations] == ["【1:0†cats.txt】", "【1:1†x】"]
    assert [each["text"] for each in annotations] == ["【1:0†cats.txt】", "【1:1†x】"]
    assert annotations[0]["file_citation"]["quote"] == "Cats sleep all day. 🐈"
    assert annotations[0]["file_citation"]["line"] == 1


def test_results_come_with_their_texts_only_if_asked_for(lena: LiveCaller) -> None:
    store = store_of(lena, cats="Cats sleep.")
    assistant = assistant_with(lena, store)
    thread = lena.thread("cats")
    events = lena.stream(f"threads/{thread}/runs", {"assistant_id": assistant})
    step = next(event.data for event in events if event.name == "thread.run.step.completed")
    [result] = step["step_details"]["tool_calls"][0]["file_search"]["results"]
    assert result["file_name"] == "cats.txt"
    assert 0 < result["score"] <= 1
    assert "content" not in result
    path = f"threads/{thread}/runs/{step['run_id']}/steps"
    assert lena.get(f"{path}/{step['id']}").body == step
    full = lena.get(f"{path}/{step['id']}?{INCLUDE}")["step_details"]["tool_calls"][0]["file_search"]["results"]
    assert full == [{**result, "content": [{"type": "text", "text": "Cats sleep."}]}]
    for include in (INCLUDE, INCLUDE.replace("[]", "%5B0%5D", 1)):  # PHP numbers the values of a list
        assert (
            lena.get(f"{path}?{include}")["data"][-1]["step_details"]["tool_calls"][0]["file_search"]["results"] == full
        )

    events = lena.stream(f"threads/{thread}/runs?{INCLUDE}", {"assistant_id": assistant})
    told = next(event.data for event in events if event.name == "thread.run.step.completed")
    [again] = told["step_details"]["tool_calls"][0]["file_search"]["results"]
    assert again["content"] == [{"type": "text", "text": "Cats sleep."}]


def test_a_function_beside_a_search_is_left_to_the_caller(lena: LiveCaller) -> None:
    store = store_of(lena, cats="Cats sleep.")
    with QuirkServer(called(search_for("cats"), ("lookup", "{}")), said("Both【1:0†cats.txt】")) as provider:
        lena.provided_by(provider.base_url)
        thread = lena.thread("Go")
        events = lena.stream(f"threads/{thread}/runs", {"assistant_id": assistant_with(lena, store, more=[FUNCTION])})
        folded = Folded(events)
        assert folded.run["status"] == "requires_action"
        [call] = folded.run["required_action"]["submit_tool_outputs"]["tool_calls"]
        assert call["function"]["name"] == "lookup"
        outputs = [{"tool_call_id": call["id"], "output": "42"}]
        path = f"threads/{thread}/runs/{folded.run['id']}/submit_tool_outputs"
        more = lena.stream(path, {"tool_outputs": outputs})
        Folded(more).equals_rest(lena)
        found, looked_up = provider.requests[1].body["messages"][-2:]
    assert "Cats sleep." in found["content"]
    assert looked_up["content"] == "42"
    searched, function = more[0].data["step_details"]["tool_calls"]
    assert searched["file_search"]["results"][0]["file_name"] == "cats.txt"
    assert function["function"]["output"] == "42"
    # The second turn's answer cites what the first one found, in another claim of the run.
    assert lena.messages(thread)[-1]["content"][0]["text"]["annotations"][0]["start_index"] == 4


def test_a_forced_search_is_forced_once(lena: LiveCaller) -> None:
    store = store_of(lena, cats="Cats sleep.")
    with QuirkServer(called(search_for("cats")), said("Yes.")) as provider:
        lena.provided_by(provider.base_url)
        thread = lena.thread("Go")
        lena.run(thread, assistant_with(lena, store), tool_choice=SEARCH)
        choices = [request.body.get("tool_choice") for request in provider.requests]
    assert choices == [{"type": "function", "function": {"name": "file_search"}}, None]


def test_a_function_of_the_same_name_keeps_it(lena: LiveCaller) -> None:
    own = {"type": "function", "function": {"name": "file_search", "parameters": {"type": "object", "properties": {}}}}
    with QuirkServer(called(("file_search", "{}"))) as provider:
        lena.provided_by(provider.base_url)
        thread = lena.thread("Go")
        run = lena.run(thread, lena.assistant(tools=[SEARCH, own]))
        names = [tool["function"]["name"] for tool in provider.requests[0].body["tools"]]
    assert run["status"] == "requires_action"
    assert names == ["file_search_tool", "file_search"]


def test_earlier_citations_are_not_shown_to_the_model_again(lena: LiveCaller) -> None:
    store = store_of(lena, cats="Cats sleep.")
    assistant = assistant_with(lena, store)
    with QuirkServer(
        called(search_for("cats")), said("They sleep【1:0†cats.txt】."), said("Again【1:0†cats.txt】.")
    ) as provider:
        lena.provided_by(provider.base_url)
        thread = lena.thread("Go")
        lena.run(thread, assistant)
        lena.post(f"threads/{thread}/messages", {"role": "user", "content": "And?"})
        lena.run(thread, assistant)
        history = [message["content"] for message in provider.requests[2].body["messages"]]
    assert "They sleep." in history
    assert lena.last_text(thread) == "Again."  # in this run nothing was found that it could point to


def test_what_the_model_writes_wrongly_is_told_to_it(lena: LiveCaller) -> None:
    store = store_of(lena, cats="Cats sleep.")
    with QuirkServer(said("Sorry.")) as provider:
        lena.provided_by(provider.base_url)
        for arguments, told in (
            ("{}", "at least one query"),
            ('{"queries": 7}', "at least one query"),
            ("{broken}", "not a valid JSON"),
        ):
            provider.script[:] = [called(("file_search", arguments)), said("Sorry.")]
            thread = lena.thread("Go")
            events = lena.stream(f"threads/{thread}/runs", {"assistant_id": assistant_with(lena, store)})
            assert told in provider.requests[-1].body["messages"][-1]["content"]
            Folded(events).equals_rest(lena)


def test_the_demo_model_searches_by_itself(lena: LiveCaller) -> None:
    store = store_of(lena, cats="Cats sleep all day.")
    thread = lena.thread("What do cats do?")
    run = lena.run(thread, assistant_with(lena, store))
    assert run["status"] == "completed"
    [part] = lena.messages(thread)[-1]["content"]
    [annotation] = part["text"]["annotations"]
    assert part["text"]["value"][annotation["start_index"] : annotation["end_index"]] == "【1:0†cats.txt】"
    assert "Cats sleep all day." in part["text"]["value"]


def test_a_run_with_an_expired_store_is_refused(alice: LocalCaller) -> None:
    store = alice.store(expires_after={"anchor": "last_active_at", "days": 1})
    resources = {"file_search": {"vector_store_ids": [store]}}
    assistant = alice.assistant(tools=[SEARCH], tool_resources=resources)
    thread = alice.thread("Hi")
    before = VectorStore.objects.of(alice.tenant).get().last_active_at
    run = alice.post(f"threads/{thread}/runs", {"assistant_id": assistant})["id"]
    alice.post(f"threads/{thread}/runs/{run}/cancel")

    VectorStore.objects.of(alice.tenant).update(last_active_at=before - timedelta(days=2))
    for path, more in ((f"threads/{thread}/runs", {}), ("threads/runs", {"thread": {"messages": MESSAGES}})):
        refused = alice.post(path, {"assistant_id": assistant, **more})
        assert (refused.status, refused.error["message"]) == (400, f"Vector store {store} is expired.")
    # The thread is not held by what was refused, and a run that does not search needs no store.
    assert alice.post(f"threads/{thread}/runs", {"assistant_id": assistant, "tools": []}).status == 200


def test_a_deleted_store_is_left_out(alice: LocalCaller) -> None:
    store = alice.store()
    assistant = alice.assistant(tools=[SEARCH], tool_resources={"file_search": {"vector_store_ids": [store]}})
    alice.delete(f"vector_stores/{store}")
    run = alice.post(f"threads/{alice.thread('Hi')}/runs", {"assistant_id": assistant})["id"]
    assert Run.objects.of(alice.tenant).get(pk=run).assistant_stores == []
