"""What is searched for: the model's queries, and the sites that they are limited to."""

from collections.abc import Iterable, Mapping
from typing import Any

MOST_QUERIES = 3
MOST_CHARACTERS = 400
MOST_SITES = 10  # that search engines take in one query


def queries_in(arguments: Mapping[str, Any]) -> list[str]:
    """The queries, whichever way the model wrote them: `query`, a list of them, or under the name `queries`."""
    given = arguments.get("query") or arguments.get("queries") or []
    texts = [given] if isinstance(given, str) else given if isinstance(given, list) else []
    queries = [" ".join(text.split())[:MOST_CHARACTERS] for text in texts if isinstance(text, str)]
    return list(dict.fromkeys(query for query in queries if query))[:MOST_QUERIES]


def with_sites(query: str, domains: Iterable[str], most: int = 2_000) -> str:
    """The query limited to these domains, in the words that search engines have for it, in so many characters.

    Domains for which there is no room are left out; the results are held against all of them afterwards.
    """
    sites = [f"site:{domain}" for domain in domains][:MOST_SITES]
    while len(" OR ".join(sites)) > most // 2:
        sites.pop()
    if not sites:
        return query[:most]
    limit = f" {sites[0]}" if len(sites) == 1 else f" ({' OR '.join(sites)})"
    return query[: most - len(limit)] + limit
