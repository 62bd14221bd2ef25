"""Rankings by words and by meaning joined into one, by reciprocal rank (RRF).

Ranks, not scores, are added: a BM25 score and a cosine have no common scale.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from vector_stores.bm25 import WordHit
from vector_stores.vectors import VectorHit

SMOOTHING = 60  # RRF's k: how little the first places differ


@dataclass(frozen=True)
class Weights:
    """How much each ranking counts (`hybrid_search` of the ranking options). Not both are 0."""

    embedding: float = 1.0
    text: float = 1.0


@dataclass(frozen=True)
class Candidate:
    """`merit` orders candidates; `score` is what callers are told: the cosine, else the share of the words."""

    chunk_id: int
    merit: float
    score: float


def fused(
    by_words: Sequence[WordHit],
    by_meaning: Iterable[Sequence[VectorHit]],
    weights: Weights,
    meaningful: set[str],
    cosines: Mapping[int, float],
) -> list[Candidate]:
    """The candidates of all rankings, best first. `meaningful`: the stores whose vectors took part.

    A passage of another store could be in one ranking only, so it is measured by that one alone. `cosines` are the
    scores of those who have one.
    """
    merits: dict[int, float] = {}
    scores: dict[int, float] = {}
    for rank, hit in enumerate(by_words, start=1):
        share = 1.0 if hit.vector_store_id not in meaningful else weights.text / (weights.text + weights.embedding)
        merits[hit.chunk_id] = share / (SMOOTHING + rank)
        scores[hit.chunk_id] = hit.share
    for ranking in by_meaning:
        for rank, near in enumerate(ranking, start=1):
            share = weights.embedding / (weights.text + weights.embedding)
            merits[near.chunk_id] = merits.get(near.chunk_id, 0.0) + share / (SMOOTHING + rank)
            scores[near.chunk_id] = near.similarity
    return ordered(Candidate(chunk, merit, cosines.get(chunk, scores[chunk])) for chunk, merit in merits.items())


def ordered(candidates: Iterable[Candidate]) -> list[Candidate]:
    return sorted(candidates, key=lambda each: (-each.merit, -each.score, each.chunk_id))


def best_of(rankings: Iterable[Sequence[Candidate]]) -> list[Candidate]:
    """Several queries' candidates as one ranking: each keeps its best place."""
    best: dict[int, Candidate] = {}
    for ranking in rankings:
        for candidate in ranking:
            known = best.get(candidate.chunk_id)
            if known is None or (candidate.merit, candidate.score) > (known.merit, known.score):
                best[candidate.chunk_id] = candidate
    return ordered(best.values())
