"""What the operator is told at the start of web search's settings."""

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Warning, register

from tools.web_search import accounts

ALTERNATIVES = (
    "SEARXNG_URL (your own SearXNG, without a key), TAVILY_API_KEY, BRAVE_API_KEY, SERPER_API_KEY or EXA_API_KEY"
)


def bing_notice() -> str:
    """For those who come with Bing's settings; empty if there are none."""
    if not (settings.BING_SUBSCRIPTION_KEY or settings.BING_SEARCH_URL):
        return ""
    said = (
        "BING_SUBSCRIPTION_KEY and BING_SEARCH_URL do nothing: Microsoft ended the Bing search service on 2025-08-11."
    )
    if accounts.is_off() or accounts.of_installation():
        return f"{said} Remove them."
    return f"{said} For web search set {ALTERNATIVES}, and remove them."


def unusable_notices() -> list[str]:
    """For providers that WEB_SEARCH names although they cannot be used."""
    named = [] if accounts.is_off() else settings.WEB_SEARCH
    return [
        f"WEB_SEARCH names {provider}, but {accounts.setting_of(provider)} is not set: it is left out."
        for provider in named
        if not accounts.is_usable(provider)
    ]


def notices() -> list[str]:
    bing = bing_notice()
    return [*([bing] if bing else []), *unusable_notices()]


@register("web_search")
def settings_of_web_search(**options: Any) -> list[CheckMessage]:
    return [Warning(notice, id="tools.W001") for notice in notices()]
