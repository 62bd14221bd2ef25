"""Assistants: defaults, echoes, edits."""

from assistant_site.tests.callers import LocalCaller


def test_the_defaults(alice: LocalCaller) -> None:
    made = alice.post("assistants", {"model": "gpt-4o"}).body

    assert made.pop("id").startswith("asst_")
    assert made.pop("created_at") > 1_700_000_000
    assert made == {
        "object": "assistant",
        "name": None,
        "description": None,
        "model": "gpt-4o",
        "instructions": None,
        "tools": [],
        "top_p": 1.0,
        "temperature": 1.0,
        "reasoning_effort": None,
        "tool_resources": {},
        "metadata": {},
        "response_format": "auto",
    }


def test_tools_are_echoed_in_their_full_form(alice: LocalCaller) -> None:
    made = alice.post(
        "assistants",
        {
            "model": "m",
            "tools": [
                {"type": "function", "function": {"name": "f", "description": "d"}},
                {"type": "file_search"},
                {"type": "code_interpreter"},
                {"type": "file_search", "file_search": {"max_num_results": 3}},
            ],
        },
    )
    ranking = {"ranking_options": {"ranker": "default_2024_08_21", "score_threshold": 0.0}}
    assert made["tools"] == [
        {
            "type": "function",
            "function": {
                "name": "f",
                "description": "d",
                "parameters": {"type": "object", "properties": {}},
                "strict": False,
            },
        },
        {"type": "file_search", "file_search": ranking},
        {"type": "code_interpreter"},
        {"type": "file_search", "file_search": {**ranking, "max_num_results": 3}},
    ]
    assert made["tool_resources"] == {"code_interpreter": {"file_ids": []}}
    # What the server gave out comes back, from clients that edit by reading and writing.
    assert alice.post(f"assistants/{made['id']}", {"tools": made["tools"]})["tools"] == made["tools"]


def test_response_formats_are_echoed_as_sent(alice: LocalCaller) -> None:
    schema = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}, "strict": True}}
    for sent in ("auto", {"type": "text"}, {"type": "json_object"}, schema):
        assert alice.post("assistants", {"model": "m", "response_format": sent})["response_format"] == sent


def test_an_edit_changes_only_what_is_given(alice: LocalCaller) -> None:
    id = alice.assistant(name="old", metadata={"a": "1"}, temperature=0.5)

    changed = alice.post(f"assistants/{id}", {"description": "new", "metadata": {"b": "2"}})
    assert (changed["name"], changed["description"], changed["metadata"]) == ("old", "new", {"b": "2"})
    assert changed["temperature"] == 0.5

    cleared = alice.post(f"assistants/{id}", {"name": None, "temperature": None, "metadata": None, "model": None})
    assert (cleared["name"], cleared["temperature"], cleared["metadata"]) == (None, 1.0, {})
    assert cleared["model"] == "demo-instant"
    assert alice.get(f"assistants/{id}").body == cleared.body


def test_tool_resources_are_replaced_tool_by_tool(alice: LocalCaller) -> None:
    file, store = alice.upload("a.py", b"print(1)"), alice.store()
    id = alice.assistant(tool_resources={"code_interpreter": {"file_ids": [file]}})

    changed = alice.post(f"assistants/{id}", {"tool_resources": {"file_search": {"vector_store_ids": [store]}}})

    assert changed["tool_resources"] == {
        "code_interpreter": {"file_ids": [file]},
        "file_search": {"vector_store_ids": [store]},
    }


def test_deletion(alice: LocalCaller) -> None:
    id = alice.assistant()

    assert alice.delete(f"assistants/{id}").body == {"id": id, "object": "assistant.deleted", "deleted": True}
    assert alice.get(f"assistants/{id}").status == 404
    assert alice.delete(f"assistants/{id}").status == 404


def test_texts_in_every_script_survive(alice: LocalCaller) -> None:
    text = "Grüße 你好 こんにちは 🎉 \u202e\u0007 ' \" \\ <b>"
    id = alice.assistant(name=text, instructions=text, metadata={text: text})
    found = alice.get(f"assistants/{id}")
    assert (found["name"], found["instructions"], found["metadata"]) == (text, text, {text: text})


def test_a_search_in_which_nothing_counts_is_refused(alice: LocalCaller) -> None:
    ranking = {"score_threshold": 0, "hybrid_search": {"embedding_weight": 0, "text_weight": 0}}
    search = {"type": "file_search", "file_search": {"ranking_options": ranking}}
    refused = alice.post("assistants", {"model": "m", "tools": [search]})
    where = "tools[0].file_search.ranking_options.hybrid_search"
    assert (refused.status, refused.error["param"]) == (400, where)
    assert refused.error["message"] == f"Invalid '{where}': at least one weight must be above 0."


def test_a_search_can_be_narrowed_and_weighted(alice: LocalCaller) -> None:
    search = {
        "type": "file_search",
        "file_search": {
            "ranking_options": {
                "ranker": "default_2024_08_21",
                "score_threshold": 0.1,
                "hybrid_search": {"embedding_weight": 1.0, "text_weight": 2.5},
            },
            "filters": {"type": "and", "filters": [{"type": "eq", "key": "a", "value": 1}]},
        },
    }
    made = alice.post("assistants", {"model": "m", "tools": [search]})
    assert made["tools"] == [search]
    search["file_search"] = {"filters": {"type": "like", "key": "a", "value": 1}}
    refused = alice.post("assistants", {"model": "m", "tools": [search]})
    assert (refused.status, refused.error["param"]) == (400, "tools[0].file_search.filters.type")
