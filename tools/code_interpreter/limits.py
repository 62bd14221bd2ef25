"""What a tenant's code may use: the installation's settings, or less where the tenant has less."""

from django.conf import settings

from sandbox.protocol import MIB, Limits
from tenants.models import Tenant

DEFAULTS = {
    "CODE_SECONDS": 120,
    "CODE_MEMORY_MB": 1024,
    "CODE_DATA_MB": 512,
    "CODE_SESSIONS_PER_TENANT": 4,
    "CODE_OUTPUT_KB": 32,
    "CODE_KEPT_MB": 512,
}
MOST_KEPT_FILES = 1_000  # of a thread


def setting(name: str) -> int:
    return int(getattr(settings, name, DEFAULTS[name]))


def limits_of(tenant: Tenant) -> Limits:
    return Limits(
        memory_bytes=_lower(setting("CODE_MEMORY_MB"), tenant.code_memory_mb) * MIB,
        data_bytes=_lower(setting("CODE_DATA_MB"), tenant.code_data_mb) * MIB,
        seconds=float(_lower(setting("CODE_SECONDS"), tenant.code_seconds)),
        sessions=_lower(setting("CODE_SESSIONS_PER_TENANT"), tenant.code_sessions),
    )


def output_bytes_of(tenant: Tenant) -> int:
    """How much of an execution's output the model is shown."""
    return _lower(setting("CODE_OUTPUT_KB"), tenant.code_output_kb) * 1024


def kept_bytes() -> int:
    """How much of a thread's files outlives its session."""
    return setting("CODE_KEPT_MB") * MIB


def _lower(installation: int, tenant: int | None) -> int:
    return installation if tenant is None else min(installation, tenant)
