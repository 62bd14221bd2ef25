"""What a tenant's code may use: the installation's settings, or less where the tenant has less."""

from django.conf import settings

from sandbox.protocol import MIB, Limits
from tenants.models import Tenant

MOST_KEPT_FILES = 1_000  # of a thread


def limits_of(tenant: Tenant) -> Limits:
    return Limits(
        memory_bytes=_lower(settings.CODE_MEMORY_MB, tenant.code_memory_mb) * MIB,
        data_bytes=_lower(settings.CODE_DATA_MB, tenant.code_data_mb) * MIB,
        seconds=float(_lower(settings.CODE_SECONDS, tenant.code_seconds)),
        sessions=_lower(settings.CODE_SESSIONS_PER_TENANT, tenant.code_sessions),
    )


def output_bytes_of(tenant: Tenant) -> int:
    """How much of an execution's output the model is shown."""
    return _lower(settings.CODE_OUTPUT_KB, tenant.code_output_kb) * 1024


def kept_bytes() -> int:
    """How much of a thread's files outlives its session."""
    return settings.CODE_KEPT_MB * MIB


def _lower(installation: int, tenant: int | None) -> int:
    return installation if tenant is None else min(installation, tenant)
