from django.apps import AppConfig


class ErasureConfig(AppConfig):
    name = "erasure"

    def ready(self) -> None:
        from erasure import end_user, tenant
        from tenants import deletion
        from vector_stores import ticker

        deletion.OWNED.append(tenant.owned_by)
        deletion.AT_ONCE.append(tenant.stop_runs)
        deletion.ERASE_END_USER.append(end_user.erase)
        ticker.MORE += [(tenant.carry_on, 3), (end_user.carry_on, 3)]
