"""Fixtures of search: a server of embeddings, and a process that remembers nothing from the test before."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:  # pytest loads this file before Django is set up
    from vector_stores.tests.embedding_server import EmbeddingServer


@pytest.fixture
def embedding_server(settings: Any) -> "Iterator[EmbeddingServer]":
    """The operator's own server of embeddings, as EMBEDDING_BASE_URL."""
    from vector_stores import embedding
    from vector_stores.tests.embedding_server import EmbeddingServer

    embedding.forget()
    with EmbeddingServer().running() as server:
        settings.EMBEDDING_BASE_URL = server.base_url
        settings.EMBEDDING_MODEL = "test-model"
        yield server
    embedding.forget()
