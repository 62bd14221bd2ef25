"""The roof as a Django app."""

import django_stubs_ext
from django.apps import AppConfig, apps
from django.contrib.admin.apps import SimpleAdminConfig
from django.db.models.signals import post_migrate

django_stubs_ext.monkeypatch()  # now, for all apps' models and forms are loaded after this

# What the admin calls the apps: as its sidebar does.
TITLES = {
    **dict.fromkeys(("runs", "threads", "assistants"), "Work"),
    **dict.fromkeys(("files", "vector_stores"), "Data"),
    "tenants": "Customers",
    "metering": "Money",
    "tools": "Tools",
    "audit": "Log",
    "auth": "Staff",
}


class LazyAdminConfig(SimpleAdminConfig):
    """Pages are loaded where there is a URL for them (`assistant_site.urls`), not by workers and commands."""

    default = False
    default_site = "unfold.sites.UnfoldAdminSite"


class SiteConfig(AppConfig):
    name = "assistant_site"
    default = True

    def ready(self) -> None:
        from assistant_site.operating import roles  # models are not loaded before

        for name, title in TITLES.items():
            apps.get_app_config(name).verbose_name = title
        # The last app's: by then all permissions are made.
        post_migrate.connect(roles.make, sender=apps.get_app_config("runs"), dispatch_uid="roles")
