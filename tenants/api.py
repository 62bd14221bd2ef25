"""`/tokens`, in the shapes of Open Assistant API and with what tokens have beside, and `/tenants`: for operators.

A tenant's token with the scope `admin` keeps the tokens of its own tenant.
"""

import secrets
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.db.models import Q, QuerySet
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from assistant_site.wire.errors import InvalidRequest, NotFound
from assistant_site.wire.lists import PageQuery, page, single
from assistant_site.wire.pages import DeletedSerializer, list_of, page_parameters
from assistant_site.wire.rest import WireView
from tenants import actions, delegation, deletion, tokens
from tenants.models import ApiToken, Tenant
from tenants.models.tokens import full_scopes
from tenants.serializers import (
    CreateTenantRequestSerializer,
    CreateTokenRequestSerializer,
    ModifyTenantRequestSerializer,
    ModifyTokenRequestSerializer,
    RefreshTokenRequestSerializer,
    TenantObjectSerializer,
    TokenObjectSerializer,
    as_columns,
    provider_of,
    token_objects,
)

_PROVIDER = ("llm_base_url", "llm_api_key")
_MASK = "…"


class TokenView(WireView):
    """What the addresses of tokens have in common."""

    audience = "both"
    resource = "tokens"
    keeps_answers = False  # there are secrets in them

    def known(self) -> QuerySet[ApiToken]:
        """The tokens that the caller may see."""
        found = ApiToken.objects.select_related("tenant").prefetch_related("tenant__providers")
        return found if self.tenant is None else found.filter(tenant=self.tenant)

    def fetch(self, named: str) -> ApiToken:
        """The token with this id or value."""
        if tokens.is_well_formed(named):
            digest = tokens.digest(named)
            found = self.known().filter(Q(digest=digest) | Q(previous_digest=digest)).first()
            named = tokens.starred(named)
        else:
            found = self.known().filter(pk=named).first()
        if found is None:
            raise NotFound.of("token", named)
        return found

    def told(self, found: Iterable[ApiToken]) -> list[dict[str, Any]]:
        return token_objects(found, for_operator=self.tenant is None)

    def shown(self, token: ApiToken, value: str = "") -> Response:
        """The token as it now stands; `value` is shown this once."""
        [told] = self.told([self.known().get(pk=token.pk)])
        return Response(told | ({"assistant_token": value} if value else {}))


class TokenListView(TokenView):
    operation_ids = {"GET": "listTokens", "POST": "createToken"}

    @extend_schema(
        parameters=page_parameters(OpenApiParameter("tenant", str, description="For operators: of this tenant only.")),
        responses=list_of(TokenObjectSerializer),
    )
    def get(self, request: Request) -> Response:
        found = self.known()
        if tenant_id := single(request.query_params, "tenant"):
            found = found.filter(tenant=tenant_id)
        listed = page(found, PageQuery.of(request.query_params), lambda token: {"id": token.pk, "row": token})
        listed["data"] = self.told(each["row"] for each in listed["data"])
        return Response(listed)

    @extend_schema(request=CreateTokenRequestSerializer, responses=TokenObjectSerializer)
    def post(self, request: Request) -> Response:
        """Without `tenant`, a token that the operator makes gets a tenant of its own. Its value is shown only now."""
        body = self.parse(CreateTokenRequestSerializer)
        delegation.check_fields(self.token, {name: value for name, value in body.items() if value is not None})
        base_url, api_key = (body.pop(name) for name in _PROVIDER)
        tenant_id = body.pop("tenant")
        fields = delegation.with_own_bounds(self.token, as_columns(body))
        fields["name"] = fields["name"] or "token"
        fields["scopes"] = fields["scopes"] or full_scopes()
        delegation.check(self.token, ApiToken(**fields))
        with transaction.atomic():
            tenant = self.tenant or tenant_of(tenant_id, fields["name"])
            token, value = actions.issue_token(tenant=tenant, **fields)
            if base_url:
                actions.provide_token(token, base_url=base_url, api_key=api_key or "")
        return self.shown(token, value)


def tenant_of(tenant_id: str | None, name: str) -> Tenant:
    """The tenant with this id; without one, a new tenant for a token of this name."""
    if tenant_id:
        return open_tenant(tenant_id)
    tenant, is_new = actions.make_tenant(name)
    while not is_new:
        tenant, is_new = actions.make_tenant(f"{name[:180]} {secrets.token_hex(4)}")
    return tenant


class TokenDetailView(TokenView):
    operation_ids = {"GET": "getToken", "DELETE": "deleteToken"}

    @extend_schema(responses=TokenObjectSerializer)
    def get(self, request: Request, token: str) -> Response:
        return self.shown(self.fetch(token))

    @extend_schema(request=None, responses=DeletedSerializer)
    def delete(self, request: Request, token: str) -> Response:
        """Revokes the token: within a second no process takes it any more. It stays in the list."""
        found = self.fetch(token)
        delegation.check(self.token, found)
        delegation.check_not_itself(self.token, found)
        actions.revoke_token(found)
        return Response({"id": found.pk, "object": "token.deleted", "deleted": True})


class ModifyTokenView(TokenView):
    operation_ids = {"POST": "modifyToken"}

    @extend_schema(request=ModifyTokenRequestSerializer, responses=TokenObjectSerializer)
    def post(self, request: Request, token: str) -> Response:
        """Changes what is given. `llm_base_url: null` takes the token's own model server away."""
        found = self.fetch(token)
        changes = self.parse(ModifyTokenRequestSerializer, partial=True)
        delegation.check_fields(self.token, changes)
        delegation.check(self.token, found)
        provider = {name: changes.pop(name) for name in _PROVIDER if name in changes}
        changes = as_columns(changes)
        if changes.get("scopes", "") is None:
            changes["scopes"] = full_scopes()
        if changes.get("name", "") is None:
            del changes["name"]
        with transaction.atomic():
            actions.change_token(found, changes)
            delegation.check(self.token, found)
            if provider:
                present = provider_of(found)
                base_url = provider.get("llm_base_url", present.base_url if present else None)
                key = provider.get("llm_api_key")
                is_hint = key is not None and key.startswith(_MASK)  # as this API has shown it
                actions.provide_token(found, base_url=base_url, api_key=None if is_hint else key)
        return self.shown(found)


class RefreshTokenView(TokenView):
    deeds = {"GET": "write"}
    operation_ids = {"GET": "refreshTokenByGet", "POST": "refreshToken"}

    @extend_schema(
        description="As Open Assistant API has it: a GET that writes. The old value is not taken any more.",
        responses=TokenObjectSerializer,
    )
    def get(self, request: Request, token: str) -> Response:
        return self.refreshed(token, 0)

    @extend_schema(request=RefreshTokenRequestSerializer, responses=TokenObjectSerializer)
    def post(self, request: Request, token: str) -> Response:
        """A new value for the token, shown only now; the old one is taken for `overlap_seconds` more."""
        return self.refreshed(token, self.parse(RefreshTokenRequestSerializer)["overlap_seconds"])

    def refreshed(self, named: str, overlap_seconds: int) -> Response:
        token = self.fetch(named)
        delegation.check(self.token, token)
        if token.revoked_at is not None:
            raise InvalidRequest(f"Token {token.pk} is revoked.")
        value = actions.rotate_token(token, timedelta(seconds=overlap_seconds))
        return self.shown(token, value)


# --- Tenants ---------------------------------------------------------------------------------------------------------


def fetch_tenant(tenant_id: str) -> Tenant:
    """The tenant with this id; the documented 404 if there is none."""
    found = Tenant.objects.filter(pk=tenant_id).first()
    if found is None:
        raise NotFound.of("tenant", tenant_id)
    return found


def open_tenant(tenant_id: str) -> Tenant:
    """A tenant that is not being deleted."""
    tenant = fetch_tenant(tenant_id)
    if tenant.deletion_began_at is not None:
        raise InvalidRequest(f"Tenant {tenant_id} is being deleted.")
    return tenant


def columns_of(body: dict[str, Any]) -> dict[str, Any]:
    columns = as_columns(body)
    if "fetch_allowed_hosts" in columns:
        columns["fetch_allowed_hosts"] = "\n".join(columns["fetch_allowed_hosts"])
    return columns


def refuse_name(name: str) -> InvalidRequest:
    return InvalidRequest(f"There is a tenant with the name '{name}' already.", param="name", code="invalid_value")


class TenantView(WireView):
    """What the addresses of tenants have in common."""

    audience = "operator"
    resource = "tenants"
    keeps_answers = False  # kept answers belong to a tenant


class TenantListView(TenantView):
    operation_ids = {"GET": "listTenants", "POST": "createTenant"}

    @extend_schema(parameters=page_parameters(), responses=list_of(TenantObjectSerializer))
    def get(self, request: Request) -> Response:
        query = PageQuery.of(request.query_params)
        return Response(page(Tenant.objects.all(), query, TenantObjectSerializer.of))

    @extend_schema(request=CreateTenantRequestSerializer, responses=TenantObjectSerializer)
    def post(self, request: Request) -> Response:
        fields = columns_of(self.parse(CreateTenantRequestSerializer))
        tenant, is_new = actions.make_tenant(**fields)
        if not is_new:
            raise refuse_name(fields["name"])
        return Response(TenantObjectSerializer.of(tenant))


class TenantDetailView(TenantView):
    operation_ids = {"GET": "getTenant", "POST": "modifyTenant", "DELETE": "deleteTenant"}

    @extend_schema(responses=TenantObjectSerializer)
    def get(self, request: Request, tenant_id: str) -> Response:
        return Response(TenantObjectSerializer.of(fetch_tenant(tenant_id)))

    @extend_schema(request=ModifyTenantRequestSerializer, responses=TenantObjectSerializer)
    def post(self, request: Request, tenant_id: str) -> Response:
        """Changes what is given; of the limits too. Null means no limit."""
        tenant = open_tenant(tenant_id)
        changes = columns_of(self.parse(ModifyTenantRequestSerializer, partial=True))
        name = changes.get("name")
        if "name" in changes and name is None:
            del changes["name"]
        if name and Tenant.objects.filter(name=name).exclude(pk=tenant.pk).exists():
            raise refuse_name(name)
        actions.change_tenant(tenant, changes)
        return Response(TenantObjectSerializer.of(tenant))

    @extend_schema(
        description="An extension: closes the tenant at once and deletes all it owns in the background.",
        request=None,
        responses=DeletedSerializer,
    )
    def delete(self, request: Request, tenant_id: str) -> Response:
        deletion.begin(fetch_tenant(tenant_id))
        return Response({"id": tenant_id, "object": "tenant.deleted", "deleted": True})


class SuspendTenantView(TenantView):
    operation_ids = {"POST": "suspendTenant"}

    @extend_schema(request=None, responses=TenantObjectSerializer)
    def post(self, request: Request, tenant_id: str) -> Response:
        """Refuses every request of the tenant, within a second in all processes. Runs under way go on."""
        tenant = open_tenant(tenant_id)
        actions.suspend_tenant(tenant)
        return Response(TenantObjectSerializer.of(tenant))


class ResumeTenantView(TenantView):
    operation_ids = {"POST": "resumeTenant"}

    @extend_schema(request=None, responses=TenantObjectSerializer)
    def post(self, request: Request, tenant_id: str) -> Response:
        tenant = open_tenant(tenant_id)
        actions.resume_tenant(tenant)
        return Response(TenantObjectSerializer.of(tenant))
