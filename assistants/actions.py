"""Writes to assistants: with the vector store that one may bring along."""

from typing import Any

from django.db import transaction

from assistant_site.wire.tool_types import judge_tools, keep_sealed
from assistants.models import Assistant
from audit import log
from tenants.capabilities import FIELDS, judge_model
from tenants.models import Tenant
from vector_stores import resources


def create_assistant(*, tenant: Tenant, fields: dict[str, Any]) -> Assistant:
    """An assistant of validated fields; nothing is made if a file or store that it names is not there."""
    judge_tools(tenant, fields["tools"])
    judge_model(tenant.pk, **{name: fields[name] for name in FIELDS}, given=FIELDS)
    with transaction.atomic():
        settled = resources.settled(tenant, fields["tool_resources"])
        assistant: Assistant = Assistant.objects.create(tenant=tenant, **fields | {"tool_resources": settled})
        log.created(assistant)
    return assistant


def modify_assistant(*, tenant: Tenant, assistant_id: str, changes: dict[str, Any]) -> Assistant:
    """Changes what is given; of the resources each tool's are replaced as a whole, the other tool's stay."""
    with transaction.atomic():
        assistant: Assistant = Assistant.objects.of(tenant).select_for_update(no_key=True).fetch(assistant_id)
        if "tool_resources" in changes:
            wanted = resources.settled(tenant, changes["tool_resources"], known=assistant.tool_resources)
            changes = changes | {"tool_resources": assistant.tool_resources | wanted}
        if "tools" in changes:
            keep_sealed(changes["tools"], assistant.tools)
            judge_tools(tenant, changes["tools"])
        if not changes.keys().isdisjoint(FIELDS):
            wanted = {name: changes.get(name, getattr(assistant, name)) for name in FIELDS}
            judge_model(tenant.pk, **wanted, given=changes.keys())
        if changes:
            with log.changing(assistant):
                assistant.change(**changes)
    return assistant


def delete_assistant(*, tenant: Tenant, assistant_id: str) -> None:
    """Deletes the assistant; threads and runs that it had stay."""
    with transaction.atomic():
        assistant = Assistant.objects.of(tenant).select_for_update().fetch(assistant_id)
        log.deleted(assistant)
        assistant.delete()
