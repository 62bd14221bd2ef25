"""Keyword search: passages ranked by BM25, computed in PostgreSQL over the words that `words` made.

BM25 needs to know in how many passages each word of the query is, and scoring whatever has a frequent word would mean
scoring nearly everything. So there are two statements: the first counts, the second fetches the passages that have one
of the rarest words and scores them by all words. In a large store a sample tells first which words are frequent:
counting those is slow, and their exact number matters little.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.db import connection

from assistant_site.db.scope import everything
from vector_stores import words

K1 = 1.2
B = 0.75
MAX_TOKENS = 64  # different words of one query
# The rarest words are taken as long as they are in so many passages together. If those are not `MIN_CANDIDATES`, some
# passages with the next word come along.
MAX_CANDIDATES = 2_000
MIN_CANDIDATES = 200
LARGE = 20_000  # passages
SAMPLE = 400  # of a large store's passages
FREQUENT = 0.05  # the share of the sample from which on a word is not counted


@dataclass(frozen=True)
class Scope:
    """Where to search: the passages of these stores, of these files in them (None: of all).

    `passages` is their number.
    """

    vector_store_ids: tuple[str, ...]
    passages: int
    store_file_ids: tuple[str, ...] | None = None

    def conditions(self) -> tuple[str, list[Any]]:
        """SQL on the columns `store_file_id` and its parameters, beginning with AND."""
        sql, values = "", list[Any]()
        if self.store_file_ids is not None:
            sql += " AND store_file_id = ANY(%s)"
            values.append(list(self.store_file_ids))
        return sql, values


@dataclass(frozen=True)
class WordHit:
    """`share` is the score divided by the best that a passage could have for this query: from 0 to 1."""

    chunk_id: int
    vector_store_id: str
    share: float


def best(query: str, scope: Scope, limit: int) -> list[WordHit]:
    """The passages with the query's words, best first: two statements, three in a large store."""
    tokens = list(dict.fromkeys(words.tokens_of(query)))[:MAX_TOKENS]
    if not tokens or not scope.passages or scope.store_file_ids == ():
        return []
    # Behind a policy the index of words could not be used. Numbers are all that comes from there.
    with everything():
        return _best(tokens, scope, limit)


def _best(tokens: list[str], scope: Scope, limit: int) -> list[WordHit]:
    counts = _counts(tokens, scope)
    weights = {token: _weight(counts.get(token, 0), scope.passages) for token in tokens}
    attainable = (K1 + 1) * sum(weights.values())
    if not counts:
        return []
    found = _scored(*_chosen(counts), {token: weights[token] for token in counts}, scope, limit)
    return [WordHit(chunk, store, min(score / attainable, 1.0)) for chunk, store, score in found]


def _weight(count: int, passages: int) -> float:
    """The inverse document frequency. The count may be newer than the number of passages."""
    passages = max(passages, count)
    return math.log(1 + (passages - count + 0.5) / (count + 0.5))


def _chosen(counts: dict[str, int]) -> tuple[list[str], str | None]:
    """The rarest words, whose passages are all scored, and the next one if those are too few."""
    chosen: list[str] = []
    passages = 0
    for token in sorted(counts, key=lambda each: counts[each]):
        if passages + counts[token] > MAX_CANDIDATES:
            return chosen, token if passages < MIN_CANDIDATES else None
        chosen.append(token)
        passages += counts[token]
    return chosen, None


# --- Counting --------------------------------------------------------------------------------------------------------

_COUNT = """
SELECT number, (SELECT count(*) FROM vector_stores_chunk WHERE tokens @@ asked.query::tsquery{conditions})
FROM unnest(%s::text[]) WITH ORDINALITY AS asked (query, number)
"""

# One passage of each of some files, always the same ones.
_SAMPLE = """
SELECT number, count(*) FILTER (WHERE chunk.tokens @@ asked.query::tsquery), count(*)
FROM unnest(%s::text[]) WITH ORDINALITY AS asked (query, number), (
    SELECT tokens || ''::tsvector AS tokens
    FROM (
        SELECT id, hashtext(id) AS drawn, chunk_count FROM vector_stores_storefile
        WHERE vector_store_id = ANY(%s) AND status = 'completed' AND chunk_count > 0 ORDER BY drawn LIMIT %s
    ) AS file
    JOIN vector_stores_chunk ON store_file_id = file.id AND position = abs(drawn::bigint) %% chunk_count
    OFFSET 0
) AS chunk
GROUP BY number
"""


def _counts(tokens: list[str], scope: Scope) -> dict[str, int]:
    """In how many passages each word is; without those that are in none."""
    counts = _frequent(tokens, scope) if scope.passages > LARGE else {}
    asked = [token for token in tokens if token not in counts]
    conditions, values = scope.conditions()
    queries = [_tsquery([token], scope) for token in asked]
    with connection.cursor() as cursor:
        cursor.execute(_COUNT.format(conditions=conditions), [*values, queries])
        return counts | {asked[number - 1]: count for number, count in cursor.fetchall() if count}


def _frequent(tokens: list[str], scope: Scope) -> dict[str, int]:
    """In how many passages those words are that are frequent: an estimate."""
    with connection.cursor() as cursor:
        cursor.execute(_SAMPLE, [[_term(token) for token in tokens], list(scope.vector_store_ids), SAMPLE])
        rows = cursor.fetchall()
    return {
        tokens[number - 1]: round(scope.passages * having / drawn)
        for number, having, drawn in rows
        if having > FREQUENT * drawn
    }


def _term(token: str) -> str:
    """A query's single character of Chinese or the like stands for all pairs that begin with it."""
    return words.quoted(token) + (":*" if words.is_single(token) else "")


def _tsquery(tokens: Iterable[str], scope: Scope, without: Iterable[str] = ()) -> str:
    stores = " | ".join(words.quoted(words.store_word(each)) for each in scope.vector_store_ids)
    excluded = "".join(f" & !{_term(token)}" for token in without)
    return f"({' | '.join(map(_term, tokens))}) & ({stores}){excluded}"


# --- Scoring ---------------------------------------------------------------------------------------------------------

# How often a word is in a passage: unnesting the whole tsvector for that takes five times as long as asking `ts_rank`.
# For one word without weights that is the sum of 1/1² + 1/2² + … + 1/n², divided by the sum of all (π²/6), from which n
# comes back as 1 / (rest of the sum) - 1/2, rounded. (For a prefix it is such a sum for each word with it: about n.)
_WHOLE = math.pi**2 / 6
_SCORE = """
SELECT id, vector_store_id, (
    SELECT sum(weight * times * %s / (times + saturation))
    FROM (
        SELECT weight, CASE
            WHEN is_prefix THEN %s * rank
            WHEN rank > 0 THEN round(1 / (%s * (1 - rank)) - 0.5)
            ELSE 0
        END AS times
        FROM (
            SELECT weight, is_prefix, ts_rank('{{1,1,1,1}}', tokens, query)::float8 AS rank
            FROM unnest(%s::tsquery[], %s::float8[], %s::bool[]) AS asked (query, weight, is_prefix)
        ) AS ranked
    ) AS counted
) AS score
FROM (
    SELECT id, vector_store_id, tokens, %s * (%s + %s * length / avg(length) OVER ()) AS saturation
    FROM (
        SELECT id, vector_store_id, greatest(token_count, 1)::float8 AS length, tokens || ''::tsvector AS tokens
        FROM ({candidates}) AS stored
        OFFSET 0
    ) AS unpacked
) AS measured
ORDER BY score DESC, id
LIMIT %s
"""

_CANDIDATES = """
(SELECT id, vector_store_id, token_count, tokens FROM vector_stores_chunk
 WHERE tokens @@ %s::tsquery{conditions} LIMIT %s)
"""


def _scored(
    chosen: list[str], next_one: str | None, weights: dict[str, float], scope: Scope, limit: int
) -> list[tuple[int, str, float]]:
    """Chunk, store and score of the passages that have one of the chosen words, by all words."""
    conditions, values = scope.conditions()
    queries = [(_tsquery(chosen, scope), MAX_CANDIDATES)] if chosen else []
    if next_one:
        queries.append((_tsquery([next_one], scope, without=chosen), MAX_CANDIDATES // 2))
    candidates = " UNION ALL ".join([_CANDIDATES.format(conditions=conditions)] * len(queries))
    parameters: list[Any] = [
        K1 + 1,
        _WHOLE,
        _WHOLE,
        [_term(token) for token in weights],
        list(weights.values()),
        [words.is_single(token) for token in weights],
        K1,
        1 - B,
        B,
    ]
    for query, most in queries:
        parameters += [query, *values, most]
    with connection.cursor() as cursor:
        cursor.execute(_SCORE.format(candidates=candidates), [*parameters, limit])
        return [(chunk, store, float(score)) for chunk, store, score in cursor.fetchall()]
