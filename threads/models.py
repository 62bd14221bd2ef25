"""Threads and their messages.

`Thread.active_run_id` is the lock of a thread: while it is set, the thread takes no message and no other run. Only
`runs.actions` sets and clears it, in the transaction that starts or ends the run.
"""

from typing import Any

from django.db import models
from django.utils import timezone

from assistant_site.wire.ids import WireIdField
from tenants.models import TenantModel, tenant_of_parent

MAX_MESSAGES = 100_000
MAX_TITLE = 200


class Thread(TenantModel):
    wire_noun = "thread"

    id = WireIdField(prefix="thread_")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    tool_resources = models.JSONField(default=dict, blank=True)
    metadata = models.JSONField(default=dict, blank=True)
    active_run_id = models.CharField(max_length=64, null=True, editable=False)  # noqa: DJ001
    message_count = models.IntegerField(default=0, editable=False)
    end_user = models.CharField(max_length=128, blank=True, default="", db_default="")
    # As it was given; without one, lists make one of the first message (`titles`).
    title = models.CharField(max_length=MAX_TITLE, blank=True, default="", db_default="")
    archived_at = models.DateTimeField(null=True, blank=True, editable=False)

    # Not stored: its title in a list.
    shown_title = ""

    class Meta(TenantModel.Meta):
        indexes = [
            models.Index(fields=["tenant", "id"], name="threads_of_tenant"),
            models.Index(
                fields=["tenant", "end_user", "id"], name="threads_of_end_user", condition=~models.Q(end_user="")
            ),
            # Of many threads few are archived; the others' list needs no index of its own.
            models.Index(fields=["tenant", "id"], name="threads_archived", condition=~models.Q(archived_at=None)),
        ]

    def __str__(self) -> str:
        return str(self.id)

    @property
    def is_archived(self) -> bool:
        return self.archived_at is not None


class MessageStatus(models.TextChoices):
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    INCOMPLETE = "incomplete"


class Message(TenantModel):
    """`content` is stored as it is answered: a list of parts, texts with their annotations."""

    wire_noun = "message"
    tenant = tenant_of_parent("messages")

    id = WireIdField(prefix="msg_")
    thread = models.ForeignKey(Thread, on_delete=models.CASCADE, related_name="messages", db_index=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    status = models.CharField(max_length=16, choices=MessageStatus.choices, default=MessageStatus.COMPLETED)
    role = models.CharField(max_length=16)
    content = models.JSONField(default=list)
    attachments = models.JSONField(default=list)
    metadata = models.JSONField(default=dict)
    assistant_id = models.CharField(max_length=64, null=True)  # noqa: DJ001
    run_id = models.CharField(max_length=64, null=True)  # noqa: DJ001
    incomplete_reason = models.CharField(max_length=32, null=True)  # noqa: DJ001
    completed_at = models.DateTimeField(null=True)
    incomplete_at = models.DateTimeField(null=True)

    class Meta(TenantModel.Meta):
        indexes = [
            models.Index(fields=["thread", "id"], name="messages_of_thread"),
            models.Index(fields=["run_id", "id"], name="messages_of_run", condition=~models.Q(run_id=None)),
        ]

    def __str__(self) -> str:
        return f"{self.role} {self.id}"

    @property
    def text(self) -> str:
        """The text parts in one string."""
        return "\n".join(part["text"]["value"] for part in self.content if part["type"] == "text")

    @property
    def incomplete_details(self) -> dict[str, Any] | None:
        return {"reason": self.incomplete_reason} if self.incomplete_reason else None
