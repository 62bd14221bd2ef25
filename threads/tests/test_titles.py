"""Titles of threads, threads that are put away, and how threads are found."""

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from assistant_site.tests.callers import Answer, LocalCaller
from threads import titles
from threads.models import Message, Thread


def titled(page: Answer) -> list[str]:
    return [thread["title"] for thread in page["data"]]


def ids(page: Answer) -> list[str]:
    return [thread["id"] for thread in page["data"]]


def test_a_thread_shows_a_title_and_its_archiving_only_if_they_were_set(alice: LocalCaller) -> None:
    plain = alice.post("threads", {}).body
    assert not {"title", "archived"} & set(plain)
    made = alice.post("threads", {"title": "Lamps", "archived": True})
    assert (made["title"], made["archived"]) == ("Lamps", True)
    at = f"threads/{made['id']}"
    assert alice.get(at).body == made.body
    assert alice.post(at, {"archived": False}).body == {key: made[key] for key in plain} | {"title": "Lamps"}
    assert alice.post(at, {"metadata": {"a": "b"}})["title"] == "Lamps"
    for cleared in (None, ""):
        assert alice.post(at, {"title": "Lights"})["title"] == "Lights"
        assert "title" not in alice.post(at, {"title": cleared}).body
    assert alice.post(at, {"archived": True})["archived"] is True
    assert "archived" not in alice.post(at, {"archived": None}).body


def test_the_moment_of_archiving_is_the_first(alice: LocalCaller) -> None:
    thread = alice.post("threads", {"archived": True})["id"]
    first = Thread.objects.of(alice.tenant).get(pk=thread).archived_at
    assert first is not None
    alice.post(f"threads/{thread}", {"archived": True})
    assert Thread.objects.of(alice.tenant).get(pk=thread).archived_at == first


def test_a_thread_that_is_made_with_a_run_has_its_title_too(alice: LocalCaller) -> None:
    thread = {"title": "Lamps", "messages": [{"role": "user", "content": "x"}]}
    run = alice.post("threads/runs", {"assistant_id": alice.assistant(), "thread": thread})
    assert alice.get(f"threads/{run['thread_id']}")["title"] == "Lamps"
    renamed = alice.post(f"threads/{run['thread_id']}", {"title": "Lights", "archived": True})
    assert (renamed["title"], renamed["archived"]) == ("Lights", True), "although a run holds it"
    [listed] = alice.get("threads")["data"]
    assert (listed["title"], listed["archived"], listed["active_run_id"]) == ("Lights", True, run["id"])


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        ({"title": "x" * 201}, "string_above_max_length", "title"),
        ({"title": 1}, "invalid_type", "title"),
        ({"title": "a\x00b"}, "invalid_value", "title"),
        ({"archived": "true"}, "invalid_type", "archived"),
    ],
)
def test_what_is_refused(alice: LocalCaller, body: dict[str, Any], code: str, param: str) -> None:
    thread = alice.thread()
    for path in ("threads", f"threads/{thread}"):
        refused = alice.post(path, body)
        assert (refused.status, refused.error["code"], refused.error["param"]) == (400, code, param)
    assert alice.post(f"threads/{thread}", {"title": "灯" * 200})["title"] == "灯" * 200


@pytest.mark.parametrize(
    ("texts", "title"),
    [
        ([], ""),
        (["Which lamp?"], "Which lamp?"),
        (["\n \u3000\n  Which \t lamp?  \nA long one."], "Which lamp?"),
        (["x" * 80], "x" * 80),
        (["x" * 78 + " yyyy"], "x" * 78 + "…"),
        (["我想买一盏灯。" * 20], ("我想买一盏灯。" * 20)[:79] + "…"),
        (["first", "second"], "first"),
        ([" " * 50_000 + "far away"], "far away"),
    ],
)
def test_a_title_is_made_of_the_first_message(alice: LocalCaller, texts: list[str], title: str) -> None:
    alice.thread(*texts)
    [listed] = alice.get("threads")["data"]
    assert (listed["title"], listed["archived"], listed["active_run_id"]) == (title, False, None)
    assert len(listed["title"]) <= 80


def test_only_what_a_user_said_makes_a_title(alice: LocalCaller) -> None:
    greeting = {"role": "assistant", "content": "How can I help?"}
    image = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
    asked = {"role": "user", "content": [image, {"type": "text", "text": "What is this?"}]}
    alice.post("threads", {"messages": [greeting, asked, {"role": "user", "content": "And that?"}]})
    alice.post("threads", {"messages": [greeting, {"role": "user", "content": [image]}]})
    alice.post("threads", {"messages": [greeting] * titles.BEGINNING + [asked]})
    assert titled(alice.get("threads?order=asc")) == ["What is this?", "", ""]


def test_a_page_costs_no_more_queries_than_a_thread(alice: LocalCaller) -> None:
    def queries(limit: int) -> int:
        with CaptureQueriesContext(connection) as asked:
            assert len(alice.get(f"threads?limit={limit}")["data"]) == limit
        return len(asked)

    for number in range(12):
        alice.thread(str(number))
    made = queries(12)
    assert queries(1) == made
    Thread.objects.of(alice.tenant).update(title="given")
    assert queries(12) == made - 1


def test_archived_threads_are_listed_apart(alice: LocalCaller) -> None:
    there, away = alice.thread("there"), alice.post("threads", {"title": "away", "archived": True})["id"]
    assert ids(alice.get("threads")) == [away, there]
    assert ids(alice.get("threads?archived=true")) == [away]
    assert ids(alice.get("threads?archived=false")) == [there]
    refused = alice.get("threads?archived=yes")
    assert (refused.status, refused.error["code"], refused.error["param"]) == (400, "invalid_value", "archived")


@pytest.fixture
def library(alice: LocalCaller, bob: LocalCaller) -> dict[str, str]:
    """Threads by a word for each, the oldest first; Bob has one of the same texts."""
    found = {
        "lamps": alice.thread("Which LAMP is the brightest?", "Äußerst hell, please"),
        "chinese": alice.thread("我想买一盏明亮的台灯"),
        "japanese": alice.thread("明るいランプはどれですか"),
        "percent": alice.thread("100% wool_sweater \\ 'quoted'"),
        "titled": str(alice.post("threads", {"title": "My Lamps", "user": "carol"})["id"]),
        "archived": str(
            alice.post(
                "threads", {"archived": True, "messages": [{"role": "user", "content": [text("x"), text("a lamp")]}]}
            )["id"]
        ),
    }
    bob.thread("Which LAMP is the brightest? 台灯 100% wool_sweater")
    return found


def text(value: str) -> dict[str, str]:
    return {"type": "text", "text": value}


@pytest.mark.parametrize(
    ("search", "found"),
    [
        ("lamp", ["archived", "titled", "lamps"]),
        ("LAMP is", ["lamps"]),
        ("äußerst HELL", ["lamps"]),
        ("ÄUSSERST", []),
        ("台灯", ["chinese"]),
        ("ランプ", ["japanese"]),
        ("明", ["japanese", "chinese"]),
        ("100%25", ["percent"]),
        ("1%25l", []),
        ("l_s", ["percent"]),
        ("wool_s", ["percent"]),
        ("woo__s", []),
        ("\\ 'quo", ["percent"]),
        ("text", []),
        ("nowhere", []),
        ("lamp&archived=true", ["archived"]),
        ("lamp&archived=false", ["titled", "lamps"]),
        ("lamp&user=carol", ["titled"]),
        ("lamp&order=asc", ["lamps", "titled", "archived"]),
    ],
)
def test_threads_are_found_by_their_words(
    alice: LocalCaller, library: dict[str, str], search: str, found: list[str]
) -> None:
    page = alice.get(f"threads?search={search}")
    names = {id: name for name, id in library.items()}
    assert [names[id] for id in ids(page)] == found
    assert page["has_more"] is False
    expected = (library[found[0]], library[found[-1]]) if found else (None, None)
    assert (page["first_id"], page["last_id"]) == expected


def test_what_the_first_messages_do_not_say_is_not_found(alice: LocalCaller) -> None:
    thread = alice.thread(*["filler"] * (titles.BEGINNING - 1), "the needle", "the haystack")
    assert ids(alice.get("threads?search=needle")) == [thread]
    assert ids(alice.get("threads?search=haystack")) == []


def test_a_search_is_refused_if_it_is_too_long(alice: LocalCaller) -> None:
    refused = alice.get(f"threads?search={'x' * 201}")
    assert (refused.status, refused.error["code"], refused.error["param"]) == (400, "string_above_max_length", "search")
    assert alice.get("threads?search=%00").status == 400
    twice = alice.get("threads?search=a&search=b")
    assert (twice.status, twice.error["code"]) == (400, "duplicate_parameter")
    assert alice.get(f"threads?search={'x' * 200}")["data"] == []


def walked(caller: LocalCaller, query: str) -> tuple[list[str], int]:
    """All that a search finds, page by page, and how many pages these were."""
    seen, pages = [], 1
    page = caller.get(f"threads?{query}")
    while page["has_more"]:
        seen += ids(page)
        page = caller.get(f"threads?{query}&after={page['last_id']}")
        pages += 1
    return seen + ids(page), pages


def test_a_search_goes_on_behind_its_last_id(alice: LocalCaller) -> None:
    made = [alice.thread("odd" if number % 2 else "even") for number in range(9)]
    assert walked(alice, "search=odd&limit=2") == (made[7::-2], 2)
    assert walked(alice, "search=even&limit=2&order=asc") == (made[::2], 3)
    before = alice.get(f"threads?search=odd&limit=2&before={made[0]}")
    assert (ids(before), before["has_more"]) == ([made[3], made[1]], True)
    rest = alice.get(f"threads?search=odd&limit=2&before={before['first_id']}")
    assert (ids(rest), rest["has_more"]) == ([made[7], made[5]], False)


def test_a_search_looks_at_so_many_threads_at_once(alice: LocalCaller, monkeypatch: pytest.MonkeyPatch) -> None:
    assert sum(titles.BATCHES) == 1_000
    monkeypatch.setattr(titles, "BATCHES", (2, 3))
    oldest = alice.thread("needle")
    rows = [Thread(tenant=alice.tenant, message_count=1) for _ in range(12)]
    Thread.objects.insert(rows)
    parts = [{"type": "text", "text": {"value": "hay", "annotations": []}}]
    Message.objects.insert([Message(tenant=alice.tenant, thread=row, role="user", content=parts) for row in rows])

    page = alice.get("threads?search=needle")
    assert (page["data"], page["has_more"], page["last_id"]) == ([], True, rows[-5].pk)
    assert walked(alice, "search=needle") == ([oldest], 3)
    monkeypatch.setattr(titles, "SEARCH_SECONDS", 0)
    assert walked(alice, "search=needle") == ([oldest], 7), "a slow one ends with its first batch"
    backwards = alice.get(f"threads?search=needle&before={oldest}")
    assert (backwards["data"], backwards["has_more"], backwards["first_id"]) == ([], True, rows[1].pk)
