"""Search in vector stores: by words always, by meaning where a store's passages have vectors, joined by rank.

Filters come first: only passages of files that pass them are ranked. A query that cannot be embedded is searched by its
words. The number of statements depends on how many stores and queries there are, not on what they hold.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from django.db.models import Sum

from vector_stores import bm25, embedding, r2r, reranking, vectors
from vector_stores.bm25 import Scope, WordHit
from vector_stores.embedding import Embedder, EmbeddingFailed
from vector_stores.filters import matching
from vector_stores.fusion import SMOOTHING, Candidate, Weights, best_of, fused
from vector_stores.models import Chunk, Engine, StoreFile, StoreFileStatus, VectorStore
from vector_stores.vectors import Place, VectorHit

__all__ = ["Hit", "Weights", "ranking_of", "search"]

DEPTH = 50  # of each ranking
KEYWORD = "keyword"
HYBRID = "hybrid"
NO_RANKER = "none"

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Hit:
    """A passage that was found. `score` is from 0 to 1 and never rises within an answer."""

    vector_store_id: str
    store_file_id: str
    file_id: str
    filename: str
    attributes: dict[str, Any]
    chunk_id: int
    position: int
    score: float
    text: str
    page: int | None
    line: int | None
    heading: str
    start: int
    end: int


def ranking_of(store: VectorStore) -> str:
    """`hybrid` where a store is searched by words and meaning, `keyword` where by words only."""
    return HYBRID if store.engine == Engine.R2R or store.embedding_model else KEYWORD


def search(
    stores: list[VectorStore],
    queries: list[str],
    *,
    limit: int,
    filters: dict[str, Any] | None = None,
    score_threshold: float = 0.0,
    ranker: str = "auto",
    weights: Weights | None = None,
) -> list[Hit]:
    """The passages of completed files that answer the queries best, best first. All stores belong to one tenant.

    Each query is searched by itself, and a passage keeps its best place. `filters` are as `AttributeFilter` lets them
    in; `ranker="none"` leaves the reranker out.
    """
    queries = list(dict.fromkeys(query for query in queries if query.strip()))
    if not stores or not queries:
        return []
    local = [store for store in stores if store.engine == Engine.LOCAL]
    remote = [store for store in stores if store.engine == Engine.R2R]
    rankings: list[list[Candidate]] = []
    if local and (scope := _scope(local, filters)).passages:
        rankings += _search_here(local, scope, queries, weights or Weights())
    if remote and (scope := _scope(remote, filters)).passages:
        rankings += [_search_r2r(remote, scope, query, narrowed=filters is not None) for query in queries]
    found = _hits(stores, best_of(rankings)[: max(DEPTH, limit)])
    if found and ranker != NO_RANKER and reranking.is_configured():
        found = _reranked(found, queries)
    passing = _without_repetitions([hit for hit in found if hit.score >= score_threshold])[:limit]
    return _descending(passing)


def _scope(stores: Sequence[VectorStore], filters: dict[str, Any] | None) -> Scope:
    """The completed files to search; named one by one only where a filter chose them."""
    ids = tuple(store.pk for store in stores)
    files = StoreFile.objects.across_tenants().filter(
        tenant_id=stores[0].tenant_id, vector_store__in=ids, status=StoreFileStatus.COMPLETED
    )
    if filters is not None:
        chosen = dict(matching(files, filters).values_list("pk", "chunk_count"))
        return Scope(ids, sum(chosen.values()), store_file_ids=tuple(chosen))
    passages = files.aggregate(passages=Sum("chunk_count"))["passages"] or 0
    return Scope(ids, passages)


# --- Rankings --------------------------------------------------------------------------------------------------------


def _search_here(
    stores: Sequence[VectorStore], scope: Scope, queries: Sequence[str], weights: Weights
) -> list[list[Candidate]]:
    """The candidates for each query. Vectors by different models are ranked apart."""
    embedders = _embedders(stores)
    rankings = []
    for query in queries:
        by_words = bm25.best(query, scope, DEPTH)
        by_meaning: list[list[VectorHit]] = []
        cosines: dict[int, float] = {}
        meaningful: set[str] = set()
        for embedder in embedders:
            vector = _query_vector(embedder, query)
            places = [_place(store) for store in stores if _can_compare(store, embedder.model, vector)]
            if not places:
                continue
            near = _nearest(places, vector, scope)
            by_meaning.append(near)
            meaningful.update(place.vector_store_id for place in places)
            cosines |= _cosines(places, vector, by_words, near)
        rankings.append(fused(by_words, by_meaning, weights, meaningful, cosines)[:DEPTH])
    return rankings


def _embedders(stores: Sequence[VectorStore]) -> list[Embedder]:
    """One for each model by which these stores have vectors."""
    models = sorted({store.embedding_model for store in stores} - {""})
    try:
        wanted = embedding.wanted_model(stores[0].tenant_id) if models else None
    except EmbeddingFailed as failure:
        _log.warning("Queries of %s cannot be embedded. %s", stores[0].tenant_id, failure.message)
        return []
    return [replace(wanted, model=model) for model in models] if wanted else []


def _query_vector(embedder: Embedder, query: str) -> str:
    """Empty if the query could not be embedded: then it is searched by its words."""
    try:
        return embedder.embed_query(query)
    except EmbeddingFailed as failure:
        _log.warning("A query could not be embedded and was searched by its words only. %s", failure.message)
        return ""


def _can_compare(store: VectorStore, model: str, vector: str) -> bool:
    if store.embedding_model != model or not vector:
        return False
    dimension = vectors.dimension_of(vector)
    if store.embedding_dimension != dimension:
        _log.warning(
            "%s has vectors of %s dimensions, and %s now gives %s: it is searched by words until they are made anew.",
            store.pk,
            store.embedding_dimension,
            model,
            dimension,
        )
    return store.embedding_dimension == dimension


def _place(store: VectorStore) -> Place:
    return Place(
        store.tenant_id, store.pk, store.generation, store.embedding_dimension, is_indexed=store.indexed_chunks > 0
    )


def _nearest(places: Sequence[Place], vector: str, scope: Scope) -> list[VectorHit]:
    found = [
        hit for place in places for hit in vectors.nearest(place, vector, DEPTH, store_file_ids=scope.store_file_ids)
    ]
    return sorted(found, key=lambda hit: (-hit.similarity, hit.chunk_id))[:DEPTH]


def _cosines(
    places: Sequence[Place], vector: str, by_words: Sequence[WordHit], near: Sequence[VectorHit]
) -> dict[int, float]:
    """How near the passages are that were found; also those which only their words have found."""
    known = {hit.chunk_id: hit.similarity for hit in near}
    for place in places:
        missing = [
            hit.chunk_id
            for hit in by_words
            if hit.vector_store_id == place.vector_store_id and hit.chunk_id not in known
        ]
        known |= {hit.chunk_id: hit.similarity for hit in vectors.similarities(place, vector, missing)}
    return known


def _search_r2r(stores: Sequence[VectorStore], scope: Scope, query: str, *, narrowed: bool) -> list[Candidate]:
    """R2R's ranking; while it does not answer, that of the words that are kept here."""
    allowed = list(scope.store_file_ids or ()) if narrowed else None
    try:
        found = r2r.search(list(stores), allowed, query, DEPTH)
    except r2r.R2RFailed as failure:
        _log.warning("R2R did not search; the words kept here did. %s %s", failure, failure.detail)
        return fused(bm25.best(query, scope, DEPTH), [], Weights(), set(), {})
    chunks = Chunk.objects.across_tenants().filter(store_file_id__in={file for file, _, _ in found})
    chunks = chunks.filter(position__in={position for _, position, _ in found})
    ids = {(file, position): chunk for chunk, file, position in chunks.values_list("pk", "store_file_id", "position")}
    return [
        Candidate(ids[file, position], 1 / (SMOOTHING + rank), min(max(score, 0.0), 1.0))
        for rank, (file, position, score) in enumerate(found, start=1)
        if (file, position) in ids
    ]


# --- From candidates to hits -----------------------------------------------------------------------------------------


def _hits(stores: Sequence[VectorStore], candidates: Sequence[Candidate]) -> list[Hit]:
    """The candidates with their texts and files, without those whose file is gone or not completed."""
    tenant, ids = stores[0].tenant_id, [store.pk for store in stores]
    chunks = Chunk.objects.across_tenants().filter(tenant_id=tenant, vector_store_id__in=ids).defer("tokens")
    by_id = chunks.in_bulk([candidate.chunk_id for candidate in candidates])
    files = (
        StoreFile.objects.across_tenants()
        .filter(tenant_id=tenant, vector_store__in=ids, status=StoreFileStatus.COMPLETED)
        .select_related("file")
        .in_bulk({chunk.store_file_id for chunk in by_id.values()})
    )
    return [
        _hit(by_id[candidate.chunk_id], files[by_id[candidate.chunk_id].store_file_id], candidate.score)
        for candidate in candidates
        if candidate.chunk_id in by_id and by_id[candidate.chunk_id].store_file_id in files
    ]


def _hit(chunk: Chunk, store_file: StoreFile, score: float) -> Hit:
    return Hit(
        vector_store_id=chunk.vector_store_id,
        store_file_id=store_file.pk,
        file_id=store_file.file_id,
        filename=store_file.file.filename,
        attributes=store_file.attributes,
        chunk_id=chunk.pk,
        position=chunk.position,
        score=score,
        text=chunk.text,
        page=chunk.page,
        line=chunk.line,
        heading=chunk.heading,
        start=chunk.start,
        end=chunk.end,
    )


def _reranked(hits: list[Hit], queries: Sequence[str]) -> list[Hit]:
    """In the reranker's order and with its scores; as they are if it gives none."""
    scores = reranking.scores("\n".join(queries), [hit.text for hit in hits])
    if scores is None:
        return hits
    scored = [replace(hit, score=score) for hit, score in zip(hits, scores, strict=True)]
    return sorted(scored, key=lambda hit: -hit.score)


def _without_repetitions(hits: Sequence[Hit]) -> list[Hit]:
    """The same words of a file once, at their best place: it may be in the assistant's store and in the thread's."""
    first: dict[tuple[str, str], Hit] = {}
    for hit in hits:
        first.setdefault((hit.file_id, hit.text), hit)
    return list(first.values())


def _descending(hits: Sequence[Hit]) -> list[Hit]:
    """Callers take the score for the order. A hit that its words brought forward counts as much as those behind it."""
    told: list[Hit] = []
    best = 0.0
    for hit in reversed(hits):
        best = max(best, hit.score)
        told.append(replace(hit, score=best))
    return told[::-1]
