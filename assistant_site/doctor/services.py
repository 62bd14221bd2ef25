"""Model servers and what else is asked over the network, as the settings and the rows name them.

Nothing is asked that costs money, unless the operator wants it (`asks_models`).
"""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from django.conf import settings

from assistant_site.doctor.findings import Finding, warning, well, wrong
from tenants import trial
from tenants.models import Provider
from tools.web_search import accounts
from tools.web_search.hits import SearchFailed, SearchOptions
from tools.web_search.providers import PROVIDERS
from vector_stores.models import RetrievalServer
from vector_stores.r2r import servers
from vector_stores.r2r.connection import Account
from vector_stores.r2r.errors import R2RFailed
from vector_stores.r2r.server import R2R

MOST_PROVIDERS = 50
AT_ONCE = 8


def of_settings() -> list[Provider]:
    """The model servers that the environment names, never saved."""
    found = []
    if settings.OPENAI_BASE_URL:
        found.append(Provider(name="OPENAI_BASE_URL", base_url=settings.OPENAI_BASE_URL))
        found[-1].set_api_key(settings.OPENAI_API_KEY)
    if settings.EMBEDDING_BASE_URL:
        model = settings.EMBEDDING_MODEL
        found.append(Provider(name="EMBEDDING_BASE_URL", base_url=settings.EMBEDDING_BASE_URL, embedding_model=model))
        found[-1].set_api_key(settings.EMBEDDING_API_KEY)
    return found


def look_at_models(*, asks_models: bool, with_rows: bool) -> Iterator[Finding]:
    """Lists each provider's models; `asks_models`: has each say a word too, and embed one where it is to."""
    part, rows = "models", []
    if with_rows:
        rows = list(Provider.objects.filter(is_enabled=True).order_by("tenant_id", "priority", "pk")[:MOST_PROVIDERS])
    providers = [*of_settings(), *rows]
    if not settings.OPENAI_BASE_URL and not any(each.tenant_id is None for each in rows):
        told = "Tenants without a provider of their own are answered by the demo model, which knows nothing."
        yield warning(
            part, told, "Set OPENAI_BASE_URL and OPENAI_API_KEY, or add a provider in the admin (docs/providers.md)."
        )

    def tried(provider: Provider) -> trial.Outcome:
        if not asks_models:
            return trial.try_provider(provider, parts=("models",))
        only_embeds = provider._state.adding and provider.name == "EMBEDDING_BASE_URL"
        return trial.try_provider(provider, parts=("models", "embedding") if only_embeds else trial.PARTS)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        for provider, outcome in zip(providers, pool.map(tried, providers), strict=True):
            yield from _told(part, provider, outcome)


def _told(part: str, provider: Provider, outcome: trial.Outcome) -> Iterator[Finding]:
    for each in outcome.parts:
        told = f"{provider.name}, {each.name}: {each.told}"
        if each.is_ok:
            yield well(part, told)
        elif each.name != "models" or each.is_hopeless:
            yield wrong(part, told, "")
        else:
            yield warning(part, told, "It may serve all the same: try it with --ask-model.")


def look_at_search() -> Iterator[Finding]:
    part = "web search"
    for access in [] if accounts.is_off() else accounts.of_installation():
        if access.provider != "searxng":
            yield well(part, f"{access.provider} is set. It is not asked here: searches cost.")
            continue
        try:
            asyncio.run(PROVIDERS["searxng"](access).search("weather", SearchOptions(limit=1)))
        except SearchFailed as failed:
            yield wrong(part, f"SearXNG failed. {failed.reason}", "(docs/web-search.md)")
        else:
            yield well(part, "SearXNG answers.")


def look_at_r2r(*, with_rows: bool) -> Iterator[Finding]:
    part = "r2r"
    found: list[tuple[str, R2R]] = []
    if settings.R2R_BASE_URL:
        account = Account(settings.R2R_BASE_URL, settings.R2R_USERNAME, settings.R2R_PASSWORD)
        found.append(("R2R_BASE_URL", R2R(account)))
    for row in RetrievalServer.objects.all()[:MOST_PROVIDERS] if with_rows else ():
        try:
            found.append((row.base_url, R2R(servers.account_of(row))))
        except R2RFailed as failed:
            yield wrong(part, f"{row.base_url}: {failed.message}", "Enter its password again in the admin.")
    for name, server in found:
        told = server.health()
        yield well(part, f"{name} answers.") if told == "ok" else wrong(part, f"{name}: {told}", "(docs/r2r.md)")
