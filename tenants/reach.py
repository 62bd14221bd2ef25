"""What may be fetched for a tenant although it is not public."""

from django.conf import settings

from tenants.models import Tenant


def allowed_for(tenant: Tenant | str) -> tuple[str, ...]:
    """The installation's list and the tenant's own. Takes a tenant, or its id, which costs a query."""
    if isinstance(tenant, str):
        own = Tenant.objects.filter(pk=tenant).values_list("fetch_allowed_hosts", flat=True).first() or ""
    else:
        own = tenant.fetch_allowed_hosts
    return (*settings.FETCH_ALLOWED_HOSTS, *own.split())
