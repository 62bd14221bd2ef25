"""Searches beside an event loop, and the search endpoint's answer.

A search waits for an embedding provider, so it holds no thread that serves requests or runs. It has a pool of its own:
searches that wait for a slow provider must not keep other answers waiting.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from assistant_site.db.threads import OfEachLoop
from assistant_site.wire import rest
from assistant_site.wire.rendering import dumps
from vector_stores import embedding_jobs, searching
from vector_stores.models import VectorStore

search_threads = OfEachLoop(lambda: int(settings.SEARCH_THREADS))


def answering(
    store: VectorStore, body: dict[str, Any], request: HttpRequest
) -> Callable[[], Awaitable[HttpResponseBase]]:
    """What a `LateResponse` is made of."""

    async def answer() -> HttpResponseBase:
        try:
            found = await search_threads().run(results, store, body)
        except Exception as problem:
            return rest.error_response(rest.as_wire_error(problem, request))
        return HttpResponse(dumps(found), content_type="application/json")

    return answer


def results(store: VectorStore, body: dict[str, Any]) -> dict[str, Any]:
    """The page of results. Queries are searched as they were sent: `rewrite_query` changes nothing."""
    embedding_jobs.notice([store])
    ranking = body["ranking_options"] or {"ranker": "auto", "score_threshold": 0.0}
    hits = searching.search(
        [store],
        body["query"],
        limit=body["max_num_results"],
        filters=body["filters"],
        score_threshold=ranking["score_threshold"],
        ranker=ranking["ranker"],
    )
    return {
        "object": "vector_store.search_results.page",
        "search_query": body["query"],
        "data": [
            {
                "file_id": hit.file_id,
                "filename": hit.filename,
                "score": hit.score,
                "attributes": hit.attributes,
                "content": [{"type": "text", "text": hit.text}],
            }
            for hit in hits
        ],
        "has_more": False,
        "next_page": None,
    }
