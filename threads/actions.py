"""Writes to threads that span rows."""

import contextlib
from collections.abc import Callable
from functools import cache
from typing import Any

from django.db import transaction
from django.db.models import BooleanField, F
from django.db.models.expressions import RawSQL
from django.utils import timezone

from assistant_site.db.questions import Change, Place
from assistant_site.wire.errors import InvalidRequest, Unavailable
from audit import log
from tenants import end_users
from tenants.models import EndUser, Tenant, TenantQuerySet
from threads import attachments, images
from threads.models import MAX_MESSAGES, Message, Thread
from vector_stores import resources

# Written out, because each message and run asks it: Django takes longer to put such a question into words than
# PostgreSQL to answer it, which looks for the end user only where the thread has one.
_THREAD, _USER = Thread._meta.db_table, EndUser._meta.db_table
OF_NOBODY_BLOCKED = RawSQL(  # noqa: S611 nothing of a caller is in it
    f"({_THREAD}.end_user = '' OR NOT EXISTS (SELECT 1 FROM {_USER} WHERE {_USER}.tenant_id = {_THREAD}.tenant_id "  # noqa: S608
    f"AND {_USER}.name = {_THREAD}.end_user AND {_USER}.blocked_at IS NOT NULL))",
    (),
    output_field=BooleanField(),
)


def create_thread(
    *,
    tenant: Tenant,
    messages: list[dict[str, Any]],
    tool_resources: dict[str, Any],
    metadata: dict[str, str],
    user: str = "",
    title: str = "",
    archived: bool = False,
    costs_tokens: bool = False,
) -> Thread:
    """A thread with these validated messages in their order, for this end user if one is named.

    `costs_tokens`: a run is made with it.
    """
    end_users.admit(tenant.pk, user, costs_tokens=costs_tokens)
    thread = Thread(tenant=tenant, metadata=metadata, message_count=len(messages), end_user=user, title=title)
    if archived:
        thread.archived_at = timezone.now()
    if len(messages) > MAX_MESSAGES:
        raise _full(thread.id)
    is_one_row = not messages and not tool_resources
    with contextlib.nullcontext() if is_one_row else transaction.atomic():
        days = resources.THREAD_STORE_DAYS
        thread.tool_resources = resources.settled(tenant, tool_resources, expires_after_days=days)
        attachments.take_in(tenant, thread, messages)
        Thread.objects.add(thread)
        insert_messages(thread.id, tenant.id, messages)
    return thread


def add_message(*, tenant: Tenant, thread_id: str, message: dict[str, Any]) -> Message:
    """A message at the end of the thread, unless a run holds it.

    One guarded UPDATE counts the message, locks the thread and finds it unlocked; message ids made under that lock
    are in the order of the commits.
    """
    with transaction.atomic():
        while not _counting_one(MAX_MESSAGES - 1).carry_out(tenant=tenant.pk, thread=thread_id):
            refuse_message(Thread.objects.of(tenant).fetch(thread_id))
        take_in_files(tenant, thread_id, [message])
        return insert_messages(thread_id, tenant.id, [message])[0]


def modify_thread(*, tenant: Tenant, thread_id: str, changes: dict[str, Any]) -> Thread:
    """Changes what is given; of the resources each tool's are replaced as a whole, the other tool's stay."""
    with transaction.atomic():
        thread: Thread = Thread.objects.of(tenant).select_for_update(no_key=True).fetch(thread_id)
        if "tool_resources" in changes:
            wanted = resources.settled(tenant, changes["tool_resources"], known=thread.tool_resources)
            changes = changes | {"tool_resources": thread.tool_resources | wanted}
        if "archived" in changes:
            since = (thread.archived_at or timezone.now()) if changes["archived"] else None
            changes = {name: value for name, value in changes.items() if name != "archived"} | {"archived_at": since}
        if changes:
            thread.change(**changes)
    return thread


def take_in_files(tenant: Tenant, thread_id: str, messages: list[dict[str, Any]]) -> None:
    """Gives the files of messages that are being added to the tools of their thread, which the caller holds."""
    if not any(message["attachments"] or images.image_files_of([message]) for message in messages):
        return
    thread = Thread.objects.of(tenant).fetch(thread_id)
    if attachments.take_in(tenant, thread, messages):
        thread.save(update_fields=["tool_resources"])


def free_thread(tenant_id: str, thread_id: str, *, room: int) -> TenantQuerySet[Thread]:
    """The thread, if no run holds it, so many messages can be added and its end user is not blocked."""
    return _free(tenant_id, thread_id, MAX_MESSAGES - room)


def _free(tenant_id: str, thread_id: str, most: int) -> TenantQuerySet[Thread]:
    threads: TenantQuerySet[Thread] = Thread.objects.across_tenants()
    free = threads.filter(tenant_id=tenant_id, pk=thread_id, active_run_id=None)
    return free.filter(OF_NOBODY_BLOCKED, message_count__lte=most)


@cache
def _counting_one(most: int) -> Change:
    """Counts a message more of a thread that is free and has no more than `most`."""
    return Change(_free(Place("tenant"), Place("thread"), most), message_count=F("message_count") + 1)


def insert_messages(thread_id: str, tenant_id: str, messages: list[dict[str, Any]]) -> list[Message]:
    """Rows for validated messages; the caller holds the thread and has counted them."""
    now = timezone.now()
    rows = [
        Message(
            tenant_id=tenant_id,
            thread_id=thread_id,
            created_at=now,
            completed_at=now,
            role=message["role"],
            content=message["content"],
            attachments=message["attachments"],
            metadata=message["metadata"],
        )
        for message in messages
    ]
    return [Message.objects.add(*rows)] if len(rows) == 1 else Message.objects.insert(rows)


# What else belongs to a thread and is locked before it, because those who write to both do so: functions of a thread's
# id that return the ids of these rows, and lock them if told to.
LOCKED_BEFORE_A_THREAD: list[Callable[[str, bool], list[str]]] = []
_DELETE_ATTEMPTS = 50


class JoinedMeanwhile(Exception):
    """Something was added to the thread between the locking of its rows and its own."""


def delete_thread(*, tenant: Tenant, thread_id: str) -> Thread:
    """Deletes the thread with all that hangs on it, and returns it as it was."""
    for _ in range(_DELETE_ATTEMPTS):
        try:
            with transaction.atomic():
                return _delete_locked(tenant, thread_id)
        except JoinedMeanwhile:  # its locks are given back before we ask again: to wait here would be a deadlock
            continue
    raise Unavailable(f"Thread {thread_id} is too busy to be deleted at the moment. Please try again.")


def _delete_locked(tenant: Tenant, thread_id: str) -> Thread:
    Thread.objects.of(tenant).fetch(thread_id)
    locked = [look(thread_id, True) for look in LOCKED_BEFORE_A_THREAD]
    thread: Thread = Thread.objects.of(tenant).select_for_update().fetch(thread_id)
    if locked != [look(thread_id, False) for look in LOCKED_BEFORE_A_THREAD]:
        raise JoinedMeanwhile(thread_id)
    log.record_row(thread, "deleted", before={"messages": thread.message_count}, name="")
    Thread.objects.across_tenants().filter(pk=thread_id).delete()
    return thread


def delete_message(*, tenant: Tenant, thread_id: str, message_id: str) -> None:
    with transaction.atomic():
        thread = Thread.objects.of(tenant).select_for_update(no_key=True).fetch(thread_id)
        message = Message.objects.of(tenant).filter(thread_id=thread_id).fetch(message_id)
        if thread.active_run_id:
            raise InvalidRequest(f"Can't delete messages of {thread.id} while a run {thread.active_run_id} is active.")
        told = {"thread_id": thread_id, "role": message.role}  # its content shall be gone
        log.record_row(message, "deleted", before=told)
        message.delete()
        Thread.objects.of(tenant).filter(pk=thread_id).update(message_count=F("message_count") - 1)


class ThreadBusy(InvalidRequest):
    """A run holds the thread."""

    def __init__(self, message: str, thread: Thread) -> None:
        super().__init__(message)
        self.thread_id = str(thread.id)


def refuse_message(thread: Thread) -> None:
    """Says why this thread takes no message; returns if it does by now, because its run has just ended."""
    if thread.active_run_id:
        raise ThreadBusy(f"Can't add messages to {thread.id} while a run {thread.active_run_id} is active.", thread)
    refuse_if_full(thread, 1)
    end_users.refuse_if_blocked(thread.tenant_id, thread.end_user)


def refuse_if_full(thread: Thread, added: int) -> None:
    if thread.message_count > MAX_MESSAGES - added:
        raise _full(thread.id)


def _full(thread_id: str) -> InvalidRequest:
    return InvalidRequest(f"Thread {thread_id} cannot have more than {MAX_MESSAGES} messages.")
