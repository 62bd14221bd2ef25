"""Which files and vector stores are an end user's, and which of those somebody else uses as well.

A file is an end user's if its threads name it: attached, shown as an image, given to the thread's code or its own
store, or left by its code. A store is a thread's own if it was made with it: it has no name and ends by itself.
"""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any

from django.db import connection
from django.db.models import Min

from assistant_site.wire.ids import moment_id
from assistants.models import Assistant
from files.models import File
from runs.models import RunStep
from tenants.models import Tenant
from threads.models import Thread
from tools.models import CodeFile, CodeSpace
from vector_stores.models import StoreFile, VectorStore
from vector_stores.resources import THREAD_STORE_DAYS, code_files_of, store_ids_of

_SLACK = timedelta(hours=1)  # between the clocks of two machines


def own_stores(tenant: Tenant, thread_ids: Sequence[str]) -> set[str]:
    """The stores that were made with these threads."""
    resources = Thread.objects.of(tenant).filter(pk__in=thread_ids).values_list("tool_resources", flat=True)
    named = {store_id for each in resources for store_id in store_ids_of(each)}
    own = VectorStore.objects.of(tenant).filter(pk__in=named, name=None, expires_after_days=THREAD_STORE_DAYS)
    return set(own.values_list("pk", flat=True))


def files_of(tenant: Tenant, thread_ids: Sequence[str], store_ids: Iterable[str]) -> set[str]:
    """The files that these threads name, and those in these stores."""
    found = _named_in_messages(
        "thread_id = ANY(%s) AND tenant_id = %s", [list(thread_ids), tenant.pk], "attachments", "content"
    )
    for resources in Thread.objects.of(tenant).filter(pk__in=thread_ids).values_list("tool_resources", flat=True):
        found.update(code_files_of(resources))
    code = CodeFile.objects.of(tenant).filter(thread_id__in=thread_ids).exclude(file_id=None)
    found.update(code.values_list("file_id", flat=True))
    stored = StoreFile.objects.of(tenant).filter(vector_store_id__in=list(store_ids))
    found.update(stored.values_list("file_id", flat=True))
    steps = RunStep.objects.of(tenant).filter(run__thread_id__in=thread_ids, type="tool_calls")
    for details in steps.values_list("step_details", flat=True).iterator():
        found.update(_images_of(details))
    return found


def _images_of(step_details: dict[str, object]) -> Iterable[str]:
    """The figures that code has drawn in a step."""
    calls = step_details.get("tool_calls")
    for call in calls if isinstance(calls, list) else []:
        for output in call.get("code_interpreter", {}).get("outputs", []):
            if output.get("type") == "image":
                yield output["image"]["file_id"]


def files_there(tenant: Tenant, file_ids: Iterable[str]) -> set[str]:
    """Those that are there and the tenant's."""
    return set(File.objects.of(tenant).filter(pk__in=list(file_ids)).values_list("pk", flat=True))


def stores_in_use(tenant: Tenant, store_ids: Sequence[str]) -> set[str]:
    """Those of these stores that an assistant or a thread of the tenant works with."""
    used: set[str] = set()
    if store_ids:
        for model in (Assistant, Thread):
            used |= _named_in_resources(model._meta.db_table, tenant, "file_search", "vector_store_ids", store_ids)
    return used


def files_in_use(tenant: Tenant, file_ids: Iterable[str]) -> set[str]:
    """Those of these files that anything of the tenant still names.

    Messages are looked through last, for what is not known to be used by then: from the first that can name the oldest
    of the files on.
    """
    left = set(file_ids)
    used: set[str] = set()

    def found(names: Iterable[str]) -> None:
        now = set(names) & left
        used.update(now)
        left.difference_update(now)

    if left:
        found(StoreFile.objects.of(tenant).filter(file_id__in=list(left)).values_list("file_id", flat=True))
    for model in (Assistant, Thread):
        if left:
            table = model._meta.db_table
            found(_named_in_resources(table, tenant, "code_interpreter", "file_ids", list(left)))
    if left:
        found(CodeFile.objects.of(tenant).filter(file_id__in=list(left)).values_list("file_id", flat=True))
        for inputs in CodeSpace.objects.of(tenant).values_list("inputs", flat=True).iterator():
            found(inputs.values())
    if left:
        oldest = File.objects.of(tenant).filter(pk__in=list(left)).aggregate(at=Min("created_at"))["at"]
        since = moment_id("msg_", oldest - _SLACK) if oldest else ""
        found(_named_in_messages("id > %s AND tenant_id = %s", [since, tenant.pk], "attachments", "content"))
    return used


def _named_in_messages(where: str, values: list[Any], *columns: str) -> set[str]:
    named = " UNION ALL ".join(f"SELECT jsonb_path_query({column}, '$.**.file_id') AS file" for column in columns)
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT DISTINCT named.file #>> '{{}}' FROM threads_message, LATERAL ({named}) AS named "  # noqa: S608 ours
            f"WHERE {where}",
            values,
        )
        return {row[0] for row in cursor.fetchall() if row[0]}


def _named_in_resources(table: str, tenant: Tenant, tool: str, key: str, ids: Sequence[str]) -> set[str]:
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT DISTINCT named.id FROM {table}, "  # noqa: S608 a model's own table
            "LATERAL jsonb_array_elements_text(tool_resources #> %s) AS named (id) "
            "WHERE tenant_id = %s AND named.id = ANY(%s)",
            [[tool, key], tenant.pk, list(ids)],
        )
        return {row[0] for row in cursor.fetchall()}
