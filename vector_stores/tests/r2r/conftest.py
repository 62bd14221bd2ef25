"""The servers the engine is tested against, and a connection that begins anew for each test."""

from collections.abc import Iterator

import pytest
from pytest_django.fixtures import Settings

from vector_stores.r2r import connection, delivery, server
from vector_stores.tests.r2r.fake import FakeR2R


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nobody is logged in, and nobody waits long."""
    monkeypatch.setattr(delivery, "FIRST_PAUSE", 0.05)
    monkeypatch.setattr(delivery, "LONGEST_PAUSE", 0.2)
    server.forget_collections()
    yield
    connection.forget_connections()


@pytest.fixture
def fake(settings: Settings) -> Iterator[FakeR2R]:
    """The fake, set as everybody's server."""
    with FakeR2R() as running:
        settings.R2R_BASE_URL = running.base_url
        settings.R2R_USERNAME, settings.R2R_PASSWORD = running.username, running.password
        yield running
