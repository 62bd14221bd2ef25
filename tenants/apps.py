import logging

from django.apps import AppConfig
from django.conf import settings

logger = logging.getLogger(__name__)


class TenantsConfig(AppConfig):
    name = "tenants"

    def ready(self) -> None:
        if not settings.AUTH_ENABLED:
            from tenants.auth import OPEN_DOOR  # it loads the models

            logger.warning(OPEN_DOOR)
