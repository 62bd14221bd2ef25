"""What operators do to tenants and tokens: the same functions for the admin, commands and the first start."""

from datetime import datetime

from tenants import tokens
from tenants.models import ApiToken, Tenant


def ensure_tenant(name: str) -> Tenant:
    """The tenant of this name; made if missing."""
    tenant, _ = Tenant.objects.get_or_create(name=name)
    return tenant


def issue_token(*, tenant: Tenant, name: str, expires_at: datetime | None = None) -> tuple[ApiToken, str]:
    """A new token and its value, which can never be read again."""
    value = tokens.new_value()
    token = ApiToken.objects.create(
        tenant=tenant, name=name, digest=tokens.digest(value), hint=tokens.hint(value), expires_at=expires_at
    )
    return token, value
