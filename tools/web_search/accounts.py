"""Which providers are asked for a tenant, in which order, and with whose key."""

import logging
from urllib.parse import urlsplit

from django.conf import settings

from tenants.encryption import Undecryptable
from tenants.models import Tenant
from tenants.reach import allowed_for
from tools.web_search.asking import Access
from tools.web_search.models import SearchKey
from tools.web_search.providers import PROVIDERS

logger = logging.getLogger(__name__)

OFF = ["off"]


def is_off() -> bool:
    return bool(settings.WEB_SEARCH == OFF)


def base_urls() -> dict[str, str]:
    return {
        "searxng": settings.SEARXNG_URL,
        "tavily": settings.TAVILY_BASE_URL,
        "brave": settings.BRAVE_BASE_URL,
        "serper": settings.SERPER_BASE_URL,
        "exa": settings.EXA_BASE_URL,
    }


def keys() -> dict[str, str]:
    """The installation's keys; SearXNG has none."""
    return {
        "tavily": settings.TAVILY_API_KEY,
        "brave": settings.BRAVE_API_KEY,
        "serper": settings.SERPER_API_KEY,
        "exa": settings.EXA_API_KEY,
    }


def setting_of(provider: str) -> str:
    """The setting without which the installation cannot use the provider."""
    return "SEARXNG_URL" if provider == "searxng" else f"{provider.upper()}_API_KEY"


def is_usable(provider: str) -> bool:
    return bool(base_urls()[provider] if provider == "searxng" else keys()[provider])


def of_installation() -> list[Access]:
    """Those that `WEB_SEARCH` names, in its order; else all that have a key or address."""
    named = settings.WEB_SEARCH or list(PROVIDERS)
    return [_of_installation(provider) for provider in named if is_usable(provider)]


def _of_installation(provider: str) -> Access:
    base_url = base_urls()[provider]
    # The operator's own word, so it may lead into a private network.
    allowed = (urlsplit(base_url).hostname or "",)
    return Access(provider, base_url, setting_of(provider), keys().get(provider, ""), allowed)


def accesses_of(tenant_id: str) -> list[Access]:
    """The tenant's own first, then the installation's for other providers. Reads the database."""
    if is_off():
        return []
    tenant = Tenant.objects.get(pk=tenant_id)
    own = [access for row in SearchKey.objects.of(tenant) if (access := _own(row, tenant)) is not None]
    order = [*settings.WEB_SEARCH, *PROVIDERS]
    own.sort(key=lambda access: order.index(access.provider))
    has = {access.provider for access in own}
    return [*own, *(access for access in of_installation() if access.provider not in has)]


def _own(row: SearchKey, tenant: Tenant) -> Access | None:
    name = f"the search key {row.pk} in the admin"
    try:
        key = row.key
    except Undecryptable as error:
        logger.error("%s: %s", name, error)
        return None
    if row.provider == "searxng":
        return Access("searxng", row.base_url.rstrip("/"), name, "", allowed_for(tenant))
    base_url = base_urls()[row.provider]
    return Access(row.provider, base_url, name, key, (urlsplit(base_url).hostname or "",)) if key else None
