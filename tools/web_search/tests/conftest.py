"""Searches against recorded providers on loopback."""

import pytest
from django.conf import LazySettings

PROVIDER_SETTINGS = ("SEARXNG_URL", "TAVILY_API_KEY", "BRAVE_API_KEY", "SERPER_API_KEY", "EXA_API_KEY")


@pytest.fixture
def search_settings(settings: LazySettings) -> LazySettings:
    """No provider, no cache: each test says what it needs."""
    for name in PROVIDER_SETTINGS:
        setattr(settings, name, "")
    settings.WEB_SEARCH = []
    settings.WEB_SEARCH_CACHE_SECONDS = 0
    return settings
