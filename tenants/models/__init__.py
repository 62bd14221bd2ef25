"""Tenants, their API tokens, end users and model providers; the base of every model that belongs to a tenant."""

from tenants.models.end_users import EndUser
from tenants.models.kept_answers import KeptAnswer
from tenants.models.providers import ModelAlias, ModelProfile, Provider
from tenants.models.scoping import TenantManager, TenantModel, TenantQuerySet, UnscopedQuery, tenant_of_parent
from tenants.models.tenant import Tenant, WhenBusy, check_hosts
from tenants.models.tokens import ApiToken, MadeFor

__all__ = [
    "ApiToken",
    "EndUser",
    "KeptAnswer",
    "MadeFor",
    "ModelAlias",
    "ModelProfile",
    "Provider",
    "Tenant",
    "TenantManager",
    "TenantModel",
    "TenantQuerySet",
    "UnscopedQuery",
    "WhenBusy",
    "check_hosts",
    "tenant_of_parent",
]
