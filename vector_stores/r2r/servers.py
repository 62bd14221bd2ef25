"""Which R2R server keeps the stores of a tenant."""

from django.conf import settings

from tenants.encryption import Undecryptable
from vector_stores.models import RetrievalServer
from vector_stores.r2r import errors
from vector_stores.r2r.connection import Account
from vector_stores.r2r.errors import R2RFailed
from vector_stores.r2r.server import R2R


def account_of(server: RetrievalServer) -> Account:
    """Raises `R2RFailed` if its password cannot be read."""
    try:
        return Account(server.base_url.rstrip("/"), server.username, server.password)
    except Undecryptable as error:
        raise R2RFailed(errors.UNREADABLE_CREDENTIAL, transient=True, detail=str(error)) from None


def configured(tenant_id: str) -> R2R | None:
    """The tenant's own server, else the environment's; None if there is neither. No network."""
    server = RetrievalServer.objects.filter(pk=tenant_id).first()
    if server is not None:
        return R2R(account_of(server), hybrid=settings.R2R_HYBRID_SEARCH)
    if not settings.R2R_BASE_URL:
        return None
    account = Account(settings.R2R_BASE_URL, settings.R2R_USERNAME, settings.R2R_PASSWORD)
    return R2R(account, hybrid=settings.R2R_HYBRID_SEARCH)


def required(tenant_id: str) -> R2R:
    """The same for a store that R2R keeps: without a server it has to wait for one."""
    found = configured(tenant_id)
    if found is None:
        raise R2RFailed(errors.NOT_CONFIGURED, transient=True, detail=f"tenant {tenant_id}: {errors.NOT_CONFIGURED}")
    return found
