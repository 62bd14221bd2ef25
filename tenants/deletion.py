"""The end of a tenant, and of its end users: how it is asked for. What is done then, the app `erasure` knows."""

from collections.abc import Callable
from typing import Any

from django.db import transaction
from django.utils import timezone

from audit import log
from tenants.auth import forget_tokens
from tenants.models import ApiToken, Tenant

# By apps above: what a tenant owns, in numbers; what is done at once when its deletion begins; the erasure of one of
# its end users, by name, which raises `NotFound`.
OWNED: list[Callable[[Tenant], dict[str, Any]]] = []
AT_ONCE: list[Callable[[Tenant], None]] = []
ERASE_END_USER: list[Callable[[Tenant, str], None]] = []


def begin(tenant: Tenant) -> Tenant:
    """Closes the tenant for good and has all it owns deleted in the background; harmless to repeat.

    Its tokens are revoked and its runs stopped when this returns. Whatever dies then, the deletion goes on.
    """
    with transaction.atomic():
        tenant = Tenant.objects.select_for_update().get(pk=tenant.pk)
        if tenant.deletion_began_at is None:
            now = timezone.now()
            owned: dict[str, Any] = {}
            for count in OWNED:
                owned |= count(tenant)
            tenant.suspended_at = tenant.suspended_at or now
            tenant.deletion_began_at = now
            tenant.save(update_fields=["suspended_at", "deletion_began_at"])
            ApiToken.objects.filter(tenant=tenant, revoked_at=None).update(revoked_at=now)
            log.record_row(tenant, "deletion_began", after=owned)
    forget_tokens()
    for act in AT_ONCE:
        act(tenant)
    return tenant


def erase_end_user(tenant: Tenant, name: str) -> None:
    """Erases what the tenant has of one of its end users; what is much goes on in the background. `NotFound`."""
    for erase in ERASE_END_USER:
        erase(tenant, name)
