"""The roles of staff: groups that each migration sets to what stands here. For other rights, make other groups."""

from collections.abc import Callable
from typing import Any

from django.contrib.auth.models import Group, Permission
from django.contrib.contenttypes.models import ContentType

from assistant_site.staff import content

# Nobody's business: Django's and the queue's own tables.
_INNER = frozenset({"admin", "contenttypes", "sessions", "django_q"})
_STAFF = "auth"

# What support looks at; their content it is not shown.
_SUPPORTED = frozenset(
    {
        *("tenants.view_tenant", "tenants.view_enduser", "runs.view_run", "threads.view_thread"),
        *("threads.view_message", "assistants.view_assistant", "files.view_file", "files.view_upload"),
        *("vector_stores.view_vectorstore", "vector_stores.view_storefile", "metering.view_usageday"),
        *("metering.view_ledgerentry", "metering.view_budget"),
    }
)

# Each role by its name: whether it has the permission of this app and of this codename.
ROLES: dict[str, Callable[[str, str], bool]] = {
    # All but the management of staff, whom it sees.
    "operator": lambda app, name: app != _STAFF,
    # Runs, threads and usage, without content.
    "support": lambda app, name: f"{app}.{name}" in _SUPPORTED,
    # Everything, to read.
    "auditor": lambda app, name: name.startswith("view_"),
}


def make(**signal: Any) -> None:
    """Makes the roles as they stand here; called when migrations are done."""
    app, codename = content.PERMISSION.split(".")
    run = ContentType.objects.get_by_natural_key(app, "run")
    Permission.objects.get_or_create(
        content_type=run, codename=codename, defaults={"name": "Can see what tenants and their users wrote"}
    )
    known = {
        (of, name): id
        for of, name, id in Permission.objects.values_list("content_type__app_label", "codename", "pk")
        if of not in _INNER
    }
    for role, has in ROLES.items():
        group, _ = Group.objects.get_or_create(name=role)
        wanted = {id for (of, name), id in known.items() if has(of, name)}
        if wanted != set(group.permissions.values_list("pk", flat=True)):
            group.permissions.set(wanted)
