"""What operators do to tenants and tokens: the same functions for REST, the admin, commands and the first start.

Each is recorded in the audit log, in its own transaction.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from audit import log
from tenants import auth, tokens
from tenants.models import ApiToken, EndUser, MadeFor, Provider, Tenant
from tenants.models.tokens import full_scopes

SECRETS = frozenset({"digest", "previous_digest", "encrypted_key"})
MOST_PLAYGROUND_TOKENS = 20  # that one name has at once in a tenant


def ensure_tenant(name: str) -> Tenant:
    """The tenant of this name; made if missing."""
    return make_tenant(name)[0]


def make_tenant(name: str, **fields: Any) -> tuple[Tenant, bool]:
    """The tenant of this name, and whether it is new; only then it gets these columns."""
    with transaction.atomic():
        tenant, is_new = Tenant.objects.get_or_create(name=name, defaults=fields)
        if is_new:
            _record("tenant.created", tenant, tenant_id=tenant.pk, after=_told(tenant))
    return tenant, is_new


def change_tenant(tenant: Tenant, changes: Mapping[str, Any], action: str = "tenant.changed") -> None:
    _change(tenant, changes, action, tenant_id=tenant.pk)


def suspend_tenant(tenant: Tenant) -> None:
    """Refuses every request of its tokens, in all processes within a second; doing it twice changes nothing."""
    if tenant.suspended_at is None:
        change_tenant(tenant, {"suspended_at": timezone.now()}, "tenant.suspended")
        auth.forget_tokens()


def resume_tenant(tenant: Tenant) -> None:
    """Takes its tokens again; one that is being deleted stays closed."""
    if tenant.suspended_at is not None and tenant.deletion_began_at is None:
        change_tenant(tenant, {"suspended_at": None}, "tenant.resumed")
        auth.forget_tokens()


def issue_token(*, tenant: Tenant, name: str, expires_at: datetime | None = None, **more: Any) -> tuple[ApiToken, str]:
    """A new token and its value, which can never be read again. `more`: further columns."""
    value = tokens.new_value()
    with transaction.atomic():
        token = ApiToken.objects.create(
            tenant=tenant,
            name=name,
            digest=tokens.digest(value),
            hint=tokens.hint(value),
            expires_at=expires_at,
            **more,
        )
        _record("token.created", token, tenant_id=tenant.pk, after=_told(token))
    return token, value


def issue_playground_token(*, tenant: Tenant, name: str, lasts: timedelta) -> tuple[ApiToken, str]:
    """A token for a browser, which reads and writes and ends by itself; and its value.

    Those before it that have ended go, and of those that have not the oldest, so that lists do not fill up. What they
    have done and used keeps their ids, and the audit log their names.
    """
    with transaction.atomic():
        _delete_playground_tokens(tenant, name)
        return issue_token(
            tenant=tenant,
            name=name[:200],
            expires_at=timezone.now() + lasts,
            description="Of a browser with the playground. It ends by itself.",
            made_for=MadeFor.PLAYGROUND,
            scopes=full_scopes(),
        )


def _delete_playground_tokens(tenant: Tenant, name: str) -> None:
    """All of the tenant's that have ended, and room for one more of this name."""
    held = ApiToken.objects.select_for_update(skip_locked=True).filter(tenant=tenant, made_for=MadeFor.PLAYGROUND)
    kept = 0
    for token in held.order_by("-pk"):
        kept += token.is_usable and token.name == name
        if token.is_usable and (token.name != name or kept < MOST_PLAYGROUND_TOKENS):
            continue
        _record("token.deleted", token, tenant_id=tenant.pk, before=_told(token))
        token.delete()
    auth.forget_tokens()


def change_token(token: ApiToken, changes: Mapping[str, Any]) -> None:
    _change(token, changes, "token.changed", tenant_id=token.tenant_id)
    auth.forget_tokens()


def rotate_token(token: ApiToken, overlap: timedelta = timedelta(0)) -> str:
    """A new value for the token, which can never be read again; the old one is taken for `overlap` more.

    A value that was still taken from an earlier rotation ends now. The token stays the same: its id, what is counted
    for it, its provider.
    """
    value = tokens.new_value()
    with transaction.atomic():
        held = ApiToken.objects.select_for_update().get(pk=token.pk)
        before = _told(held)
        held.previous_digest = held.previous_until = None
        held.previous_hint = ""
        if overlap:
            held.previous_digest, held.previous_hint = held.digest, held.hint
            held.previous_until = timezone.now() + overlap
        held.digest, held.hint = tokens.digest(value), tokens.hint(value)
        held.save(update_fields=["digest", "hint", "previous_digest", "previous_hint", "previous_until"])
        _record("token.rotated", held, tenant_id=held.tenant_id, before=before, after=_told(held))
    for name in ("digest", "hint", "previous_digest", "previous_hint", "previous_until"):
        setattr(token, name, getattr(held, name))
    auth.forget_tokens()
    return value


def revoke_token(token: ApiToken) -> None:
    """Ends the token for good, in all processes within a second; doing it twice changes nothing."""
    if token.revoked_at is None:
        _change(token, {"revoked_at": timezone.now()}, "token.revoked", tenant_id=token.tenant_id)
        auth.forget_tokens()


def provide_token(token: ApiToken, *, base_url: str | None, api_key: str | None) -> None:
    """Says where the models of the token are asked; without an address, that it has no model server of its own.

    A tenant with no other token (browsers' aside) gets the provider itself, so that it also serves what is done without
    a token (the search in its files). Without a key that of the present provider stays.
    """
    others = ApiToken.objects.filter(tenant=token.tenant_id, made_for=MadeFor.PROGRAMS).exclude(pk=token.pk)
    is_alone = not others.exists()
    providers = Provider.objects.filter(tenant=token.tenant_id)
    provider = providers.filter(token=token).first()
    if provider is None and is_alone:
        provider = providers.filter(token=None).first()
    with transaction.atomic():
        if not base_url:
            if provider is not None:
                _record("provider.deleted", provider, tenant_id=token.tenant_id, before=_told(provider))
                provider.delete()
            return
        before = None if provider is None else _told(provider)
        provider = provider or Provider(
            tenant_id=token.tenant_id, token=None if is_alone else token, name=f"of {token.name}"[:200]
        )
        provider.base_url = base_url.rstrip("/")
        if api_key is not None:
            provider.set_api_key(api_key)
            if before:
                before["encrypted_key"] = None  # another one now: told, though hidden
        provider.save()
        action = "provider.created" if before is None else "provider.changed"
        _record(action, provider, tenant_id=token.tenant_id, before=before, after=_told(provider))


def change_end_user(tenant: Tenant, name: str, changes: Mapping[str, Any]) -> EndUser:
    """Sets limits of an end user or blocks it; it need not have been named before."""
    end_user: EndUser
    with transaction.atomic():
        end_user, _ = EndUser.objects.across_tenants().get_or_create(tenant=tenant, name=name)
        _change(end_user, changes, "end_user.changed", tenant_id=tenant.pk)
    return end_user


def _told(row: Any) -> dict[str, Any]:
    return log.snapshot(row, SECRETS)


def _change(row: Any, changes: Mapping[str, Any], action: str, *, tenant_id: str) -> None:
    """Writes these columns, and records those that differ, if any does."""
    before = _told(row)
    for name, value in changes.items():
        setattr(row, name, value)
    after = _told(row)
    if before == after:
        return
    with transaction.atomic():
        row.save(update_fields=list(changes))
        _record(action, row, tenant_id=tenant_id, before=before, after=after)


def _record(
    action: str,
    row: Any,
    *,
    tenant_id: str,
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
) -> None:
    kind = action.partition(".")[0]
    log.record(
        action,
        tenant_id=tenant_id,
        object_type=kind,
        object_id=row.pk,
        object_name=row.name,
        before=before,
        after=after,
    )
