"""Which model server answers for a tenant."""

from django.conf import settings
from django.db.models import F, Q

from assistant_site.llm.chat import Endpoint
from tenants.models import Provider, Tenant


def from_environment() -> Endpoint:
    """OPENAI_BASE_URL with OPENAI_API_KEY, or the demo model when neither is set."""
    if settings.OPENAI_BASE_URL:
        return Endpoint(base_url=settings.OPENAI_BASE_URL, api_key=settings.OPENAI_API_KEY or "none")
    return Endpoint(base_url=settings.DEMO_BASE_URL, api_key="demo")


def provider_for(tenant: Tenant | str) -> Provider | None:
    """The tenant's own provider, else the shared one, else none: the environment's. Takes a tenant or its id."""
    tenant_id = tenant if isinstance(tenant, str) else tenant.pk
    return (
        Provider.objects.filter(Q(tenant_id=tenant_id) | Q(tenant=None))
        .order_by(F("tenant").asc(nulls_last=True))
        .first()
    )


def endpoint_for(tenant: Tenant | str) -> Endpoint:
    """Where a tenant's model calls go."""
    return endpoint_of(provider_for(tenant))


def endpoint_of(provider: Provider | None) -> Endpoint:
    """A provider as an endpoint; that of the environment if there is none."""
    if provider is None:
        return from_environment()
    return Endpoint(base_url=provider.base_url.rstrip("/"), api_key=provider.api_key or "none", quirks=provider.quirks)
