"""Keyword search: passages ranked by BM25, computed in PostgreSQL over the words that `words` made.

BM25 needs to know in how many passages each word of the query is, and scoring whatever has a frequent word would mean
scoring nearly everything. So there are two statements: the first counts, the second fetches the passages that have one
of the rarest words and scores them by all words.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db import connection

from vector_stores import words

K1 = 1.2
B = 0.75
MAX_TOKENS = 64  # different words of one query
# The rarest words are taken until they are in so many passages together; more than `MAX_CANDIDATES` are never scored.
ENOUGH_CANDIDATES = 2_000
MAX_CANDIDATES = 4_000
# Nobody counts further: a word in more passages than this hardly tells them apart.
MAX_COUNTED = 20_000


@dataclass(frozen=True)
class Scope:
    """Where to search: the passages of these stores, of these files in them (None: of all), without the removed ones.

    `passages` is their number.
    """

    vector_store_ids: tuple[str, ...]
    passages: int
    store_file_ids: tuple[str, ...] | None = None
    removed_ids: tuple[str, ...] = ()

    def conditions(self) -> tuple[str, list[Any]]:
        """SQL on the columns `store_file_id` and its parameters, beginning with AND."""
        sql, values = "", list[Any]()
        if self.store_file_ids is not None:
            sql += " AND store_file_id = ANY(%s)"
            values.append(list(self.store_file_ids))
        if self.removed_ids:
            sql += " AND store_file_id <> ALL(%s)"
            values.append(list(self.removed_ids))
        return sql, values


@dataclass(frozen=True)
class WordHit:
    """`share` is the score divided by the best that a passage could have for this query: from 0 to 1."""

    chunk_id: int
    vector_store_id: str
    share: float


def best(query: str, scope: Scope, limit: int) -> list[WordHit]:
    """The passages with the query's words, best first. Two statements, or none if the query has no words."""
    tokens = list(dict.fromkeys(words.tokens_of(query)))[:MAX_TOKENS]
    if not tokens or not scope.passages or scope.store_file_ids == ():
        return []
    counts = {token: count for token, count in _counts(tokens, scope).items() if count}
    if not counts:
        return []
    weights = {token: _weight(counts.get(token, 0), scope.passages) for token in tokens}
    attainable = (K1 + 1) * sum(weights.values())
    found = _scored(_rarest(counts), {token: weights[token] for token in counts}, scope, limit)
    return [WordHit(chunk, store, min(score / attainable, 1.0)) for chunk, store, score in found]


def _weight(count: int, passages: int) -> float:
    """The inverse document frequency. The count may be newer than the number of passages."""
    passages = max(passages, count)
    return math.log(1 + (passages - count + 0.5) / (count + 0.5))


def _rarest(counts: dict[str, int]) -> list[str]:
    """The rarest words, until they are in enough passages."""
    chosen, passages = [], 0
    for token in sorted(counts, key=lambda each: counts[each]):
        chosen.append(token)
        passages += counts[token]
        if passages >= ENOUGH_CANDIDATES:
            break
    return chosen


def _term(token: str) -> str:
    return words.quoted(token) + (":*" if words.is_single(token) else "")


def _tsquery(terms: Sequence[str], scope: Scope) -> str:
    stores = " | ".join(words.quoted(words.store_word(each)) for each in scope.vector_store_ids)
    return f"({' | '.join(terms)}) & ({stores})"


_COUNT = """
SELECT number, (
    SELECT count(*) FROM (
        SELECT FROM vector_stores_chunk WHERE tokens @@ asked.query::tsquery{conditions} LIMIT %s
    ) AS hits
)
FROM unnest(%s::text[]) WITH ORDINALITY AS asked (query, number)
"""


def _counts(tokens: list[str], scope: Scope) -> dict[str, int]:
    """In how many passages each word is."""
    conditions, values = scope.conditions()
    queries = [_tsquery([_term(token)], scope) for token in tokens]
    with connection.cursor() as cursor:
        cursor.execute(_COUNT.format(conditions=conditions), [*values, MAX_COUNTED, queries])
        return {tokens[number - 1]: count for number, count in cursor.fetchall()}


# A query's single character of Chinese or the like stands for all pairs that begin with it.
_SCORE = """
SELECT id, vector_store_id, sum(
    asked.weight * found.times * (%s + 1) / (found.times + %s * (1 - %s + %s * found.token_count / found.mean))
) AS score
FROM (
    SELECT id, vector_store_id, token_count, mean, word, sum(cardinality(positions)) AS times
    FROM (
        SELECT id, vector_store_id, token_count, tokens, greatest(avg(token_count) OVER (), 1) AS mean
        FROM (
            SELECT id, vector_store_id, token_count, tokens
            FROM vector_stores_chunk WHERE tokens @@ %s::tsquery{conditions} LIMIT %s
        ) AS candidates
    ) AS measured
    CROSS JOIN LATERAL unnest(tokens) AS entry (lexeme, positions, weights)
    CROSS JOIN LATERAL (VALUES {forms}) AS form (word)
    WHERE word = ANY(%s)
    GROUP BY id, vector_store_id, token_count, mean, word
) AS found
JOIN unnest(%s::text[], %s::float8[]) AS asked (word, weight) USING (word)
GROUP BY id, vector_store_id
ORDER BY score DESC, id
LIMIT %s
"""


def _scored(chosen: list[str], weights: dict[str, float], scope: Scope, limit: int) -> list[tuple[int, str, float]]:
    """Chunk, store and score of the passages that have one of the chosen words, by all words."""
    conditions, values = scope.conditions()
    has_single = any(words.is_single(token) for token in weights)
    sql = _SCORE.format(conditions=conditions, forms="(lexeme), (left(lexeme, 1))" if has_single else "(lexeme)")
    query = _tsquery([_term(token) for token in chosen], scope)
    known = list(weights)
    with connection.cursor() as cursor:
        cursor.execute(
            sql,
            [K1, K1, B, B, query, *values, MAX_CANDIDATES, known, known, list(weights.values()), limit],
        )
        return [(chunk, store, float(score)) for chunk, store, score in cursor.fetchall()]
