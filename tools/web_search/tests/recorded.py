"""Providers' answers as they give them, and how each is asked."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from assistant_site import valkey
from assistant_site.llm.tests.quirk_server import QuirkServer
from tools.web_search.asking import Access
from tools.web_search.hits import SearchHit, SearchOptions
from tools.web_search.providers import PROVIDERS

T = TypeVar("T")
KEY = "tvly-a-very-secret-key-0123456789"

SEARXNG: dict[str, Any] = {
    "query": "django",
    "number_of_results": 0,
    "results": [
        {
            "url": "https://www.djangoproject.com/",
            "title": "The web framework for perfectionists with deadlines | Django",
            "content": "Django is a <b>high-level</b> Python web framework &amp; more.",
            "engine": "duckduckgo",
            "engines": ["duckduckgo", "brave"],
            "parsed_url": ["https", "www.djangoproject.com", "/", "", "", ""],
            "template": "default.html",
            "positions": [1, 1],
            "score": 4.0,
            "category": "general",
            "publishedDate": None,
        },
        {
            "url": "https://en.wikipedia.org/wiki/Django",
            "title": "Django (web framework)",
            "content": "Django is a free and open-source framework.",
            "engine": "wikipedia",
            "engines": ["wikipedia"],
            "score": 1.0,
            "category": "general",
            "publishedDate": "2026-01-02T03:04:05",
        },
    ],
    "answers": [],
    "corrections": [],
    "infoboxes": [],
    "suggestions": ["django rest framework"],
    "unresponsive_engines": [["google", "HTTP connection error"]],
}
TAVILY: dict[str, Any] = {
    "query": "django",
    "follow_up_questions": None,
    "answer": None,
    "images": [],
    "results": [
        {
            "title": "Django",
            "url": "https://www.djangoproject.com/",
            "content": "Django is a high-level Python web framework.",
            "score": 0.98,
            "raw_content": None,
            "published_date": "2026-01-02",
        }
    ],
    "response_time": 1.09,
}
BRAVE: dict[str, Any] = {
    "type": "search",
    "query": {"original": "django", "more_results_available": True},
    "web": {
        "type": "search",
        "results": [
            {
                "title": "Django",
                "url": "https://www.djangoproject.com/",
                "is_source_local": False,
                "description": "<strong>Django</strong> is a high-level Python web framework.",
                "page_age": "2026-01-02T03:04:05",
                "age": "January 2, 2026",
                "extra_snippets": ["More."],
            }
        ],
    },
}
SERPER: dict[str, Any] = {
    "searchParameters": {"q": "django", "type": "search", "engine": "google"},
    "organic": [
        {
            "title": "Django",
            "link": "https://www.djangoproject.com/",
            "snippet": "Django is a high-level Python web framework.",
            "date": "2 days ago",
            "position": 1,
        }
    ],
    "credits": 1,
}
EXA: dict[str, Any] = {
    "requestId": "b5947044c4b78efa9552a7c89b306d95",
    "resolvedSearchType": "neural",
    "results": [
        {
            "id": "https://www.djangoproject.com/",
            "title": "Django",
            "url": "https://www.djangoproject.com/",
            "publishedDate": "2026-01-02T03:04:05.000Z",
            "author": None,
            "text": "The whole page.",
            "highlights": ["Django is a high-level", "Python web framework."],
        }
    ],
    "costDollars": {"total": 0.005},
}
ANSWERS: dict[str, dict[str, Any]] = {
    "searxng": SEARXNG,
    "tavily": TAVILY,
    "brave": BRAVE,
    "serper": SERPER,
    "exa": EXA,
}


def run(work: Coroutine[Any, Any, T]) -> T:
    async def whole() -> T:
        try:
            return await work
        finally:
            await valkey.of_this_loop().aclose()

    return asyncio.run(whole())


def access_to(server: QuirkServer, provider: str, key: str = KEY) -> Access:
    name = "SEARXNG_URL" if provider == "searxng" else f"{provider.upper()}_API_KEY"
    return Access(provider, f"http://127.0.0.1:{server.port}", name, key, ("127.0.0.1",))


def found(server: QuirkServer, provider: str, query: str = "django", **options: Any) -> list[SearchHit]:
    return run(PROVIDERS[provider](access_to(server, provider)).search(query, SearchOptions(**options)))
