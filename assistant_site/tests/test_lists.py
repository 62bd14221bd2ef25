"""List pages: order, limits, cursors, and a number of queries that does not depend on the page."""

from collections.abc import Callable
from typing import Any

import pytest

from assistant_site.tests.callers import LocalCaller


@pytest.fixture
def five(alice: LocalCaller) -> list[str]:
    """Ids of five assistants made within one second, oldest first."""
    return [alice.assistant(name=str(number)) for number in range(5)]


def ids(page: Any) -> list[str]:
    return [item["id"] for item in page["data"]]


def test_the_newest_come_first(alice: LocalCaller, five: list[str]) -> None:
    page = alice.get("assistants?limit=2")

    assert ids(page) == five[:2:-1]
    assert (page["first_id"], page["last_id"], page["has_more"]) == (five[4], five[3], True)
    assert ids(alice.get("assistants?order=asc")) == five


def test_an_empty_page(alice: LocalCaller) -> None:
    page = alice.get("assistants")
    assert (page["data"], page["first_id"], page["last_id"], page["has_more"]) == ([], None, None, False)


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_walking_after_the_last_id_visits_everything_once(alice: LocalCaller, five: list[str], order: str) -> None:
    seen: list[str] = []
    page = alice.get(f"assistants?limit=2&order={order}")
    while page["data"]:
        seen += ids(page)
        page = alice.get(f"assistants?limit=2&order={order}&after={page['last_id']}")
    assert seen == (five if order == "asc" else five[::-1])
    assert page["has_more"] is False


def test_before_gives_the_nearest_in_the_order_asked_for(alice: LocalCaller, five: list[str]) -> None:
    newest_first = five[::-1]
    page = alice.get(f"assistants?limit=2&before={newest_first[3]}")
    assert (ids(page), page["has_more"]) == (newest_first[1:3], True)
    page = alice.get(f"assistants?before={newest_first[1]}")
    assert (ids(page), page["has_more"]) == (newest_first[:1], False)
    assert ids(alice.get(f"assistants?order=asc&before={five[2]}")) == five[:2]


def test_after_and_before_together(alice: LocalCaller, five: list[str]) -> None:
    assert ids(alice.get(f"assistants?order=asc&after={five[0]}&before={five[3]}")) == five[1:3]


def test_unknown_query_keys_are_ignored(alice: LocalCaller, five: list[str]) -> None:
    assert len(alice.get("assistants?colour=blue")["data"]) == 5


@pytest.mark.parametrize("path", ["assistants", "threads", "threads/{thread}/messages", "threads/{thread}/runs"])
def test_a_page_costs_the_same_queries_whatever_its_size(
    alice: LocalCaller, django_assert_max_num_queries: Callable[[int], Any], path: str
) -> None:
    thread = alice.thread(*[str(number) for number in range(30)])
    for number in range(5):
        alice.assistant(name=str(number))
    alice.get("assistants")  # notes the token's use
    for limit in (1, 30):
        with django_assert_max_num_queries(3):  # the token, the parent, the page
            alice.get(path.format(thread=thread) + f"?limit={limit}")
