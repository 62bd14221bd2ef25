"""An optional second look at the passages found: a cross-encoder behind `/rerank` puts them in order.

The shape is the one that Jina and Cohere began and that vLLM, Text Embeddings Inference behind LiteLLM, Infinity and
others speak. It never makes a search fail: without an answer in time, the order stays as it was.
"""

import logging
import math

import httpx2
import orjson
from django.conf import settings

from assistant_site.llm.errors import without_secrets
from vector_stores.embedding import client

SECONDS = 3.0
MAX_CHARACTERS = 8_000  # of one passage

_log = logging.getLogger(__name__)


def is_configured() -> bool:
    return bool(settings.RERANK_BASE_URL)


def scores(query: str, texts: list[str]) -> list[float] | None:
    """How well each text answers the query, from 0 to 1; None: no answer that can be used, which is logged."""
    body: dict[str, object] = {"query": query, "documents": [text[:MAX_CHARACTERS] for text in texts]}
    body |= {"model": settings.RERANK_MODEL, "top_n": len(texts), "return_documents": False}
    headers = {"Content-Type": "application/json"}
    if settings.RERANK_API_KEY:
        headers["Authorization"] = f"Bearer {settings.RERANK_API_KEY}"
    try:
        answer = client().post(
            f"{settings.RERANK_BASE_URL}/rerank", content=orjson.dumps(body), headers=headers, timeout=SECONDS
        )
        answer.raise_for_status()
        return _scores_in(orjson.loads(answer.content), len(texts))
    except (httpx2.HTTPError, httpx2.InvalidURL, OSError, ValueError, TypeError, KeyError) as error:
        said = without_secrets(f"{type(error).__name__}: {error}", settings.RERANK_API_KEY)
        _log.warning("The reranker gave no order, so the search keeps its own: %s", said)
        return None


def _scores_in(body: object, count: int) -> list[float]:
    """A text that was left out has 0."""
    if not isinstance(body, dict) or not isinstance(body.get("results"), list):
        raise ValueError("there are no results in the answer")
    found = [0.0] * count
    for result in body["results"]:
        score = float(result["relevance_score"])
        if not 0 <= (index := int(result["index"])) < count or math.isnan(score):
            raise ValueError("a result that belongs to no passage")
        found[index] = min(max(score, 0.0), 1.0)
    return found
