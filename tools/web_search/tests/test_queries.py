"""What is searched for."""

from typing import Any

import pytest

from tools.web_search.queries import MOST_CHARACTERS, queries_in, with_sites


@pytest.mark.parametrize(
    ("arguments", "queries"),
    [
        ({"query": " a\n b "}, ["a b"]),
        ({"queries": ["a", "a", "", 5, "b", "c", "d"]}, ["a", "b", "c"]),
        ({"query": "x" * 1_000}, ["x" * MOST_CHARACTERS]),
        ({"query": None, "queries": "a"}, ["a"]),
        ({"query": {"a": 1}}, []),
        ({}, []),
    ],
)
def test_queries(arguments: dict[str, Any], queries: list[str]) -> None:
    assert queries_in(arguments) == queries


@pytest.mark.parametrize(
    ("query", "domains", "most", "result"),
    [
        ("a b", [], 100, "a b"),
        ("a b", ["x.org"], 100, "a b site:x.org"),
        ("a b", ["x.org", "y.org"], 100, "a b (site:x.org OR site:y.org)"),
        ("a" * 100, ["x.org"], 40, "a" * 29 + " site:x.org"),
        ("a" * 100, ["x.org", "y.org", "z.org"], 50, "a" * 23 + " (site:x.org OR site:y.org)"),
        ("a" * 100, ["x" * 60 + ".org"], 50, "a" * 50),
    ],
)
def test_sites(query: str, domains: list[str], most: int, result: str) -> None:
    found = with_sites(query, domains, most)
    assert found == result
    assert len(found) <= most
