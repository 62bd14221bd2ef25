import logging
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import Tags, register
from django.db.models.signals import post_delete, post_migrate, post_save

logger = logging.getLogger(__name__)


class TenantsConfig(AppConfig):
    name = "tenants"

    def ready(self) -> None:
        from assistant_site.db import walls
        from tenants import routes  # it loads the models
        from tenants.auth import OPEN_DOOR
        from tenants.models import ModelAlias, ModelProfile, Provider

        post_migrate.connect(walls.make_sure, sender=self)
        register(walls.check, Tags.database)

        if not settings.AUTH_ENABLED:
            logger.warning(OPEN_DOOR)

        def forget(**_: Any) -> None:
            routes.forget()

        for model in (Provider, ModelAlias, ModelProfile):  # a process sees its own changes at once
            for signal in (post_save, post_delete):
                signal.connect(forget, sender=model, weak=False)
