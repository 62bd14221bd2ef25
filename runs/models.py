"""Runs and their steps.

A run copies the assistant's model, instructions and tools, so that later edits of the assistant do not touch it. Its
claim (a token that only its holder knows), lease and attempt belong to the engine; `event_position` is the position of
the last event of its stream that was told together with a change of this row.
"""

from typing import Any

from django.db import models
from django.utils import timezone

from assistant_site.wire.ids import WireIdField
from runs.machine import ACTIVE, TERMINAL, Status
from tenants.encryption import EncryptedField, SealedJSONField
from tenants.models import TenantModel, tenant_of_parent
from threads.models import Message, Thread


class Run(TenantModel):
    wire_noun = "run"
    tenant = tenant_of_parent("runs")

    id = WireIdField(prefix="run_")
    thread = models.ForeignKey(Thread, on_delete=models.CASCADE, related_name="runs", db_index=False)
    assistant_id = models.CharField(max_length=64)
    token_id = models.CharField(max_length=64, blank=True, default="", db_default="")  # the API token that started it
    end_user = models.CharField(max_length=128, blank=True, default="", db_default="")
    status = models.CharField(max_length=16, choices=Status.choices, default=Status.QUEUED)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    expires_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True)
    cancelled_at = models.DateTimeField(null=True)
    failed_at = models.DateTimeField(null=True)
    completed_at = models.DateTimeField(null=True)

    model = models.CharField(max_length=256)
    instructions = models.TextField(null=True)  # noqa: DJ001 null and "" differ on the wire
    tools = SealedJSONField(default=list)
    tool_resources = models.JSONField(default=dict)
    metadata = models.JSONField(default=dict)
    temperature = models.FloatField(null=True)
    top_p = models.FloatField(null=True)
    reasoning_effort = models.CharField(max_length=16, null=True)  # noqa: DJ001
    response_format = models.JSONField(default=str)
    tool_choice = models.JSONField(default=str)
    parallel_tool_calls = models.BooleanField(default=True)
    max_prompt_tokens = models.BigIntegerField(null=True)
    max_completion_tokens = models.BigIntegerField(null=True)
    truncation_strategy = models.JSONField(default=dict)
    memory = models.JSONField(default=dict)  # the assistant's, see `context.Reach`
    include = models.JSONField(default=list)
    # The vector stores that it searches, as they were when it was created; the thread's are waited for.
    assistant_stores = models.JSONField(default=list)
    thread_stores = models.JSONField(default=list)
    code_files = models.JSONField(default=list)  # likewise, for the code interpreter
    model_params = models.JSONField(default=dict)  # the assistant's and the request's, sent to the model as they are
    # The credentials that came with the request, as encrypted JSON; gone when the run has ended.
    sealed = EncryptedField(default="", blank=True, editable=False)

    required_action = models.JSONField(null=True)
    last_error = models.JSONField(null=True)
    incomplete_reason = models.CharField(max_length=32, null=True)  # noqa: DJ001
    spent = models.JSONField(default=dict)  # tokens so far, in the shape of `usage`
    turns = models.IntegerField(default=0)

    queued_at = models.DateTimeField(default=timezone.now)
    claim = models.UUIDField(null=True)
    claimed_by = models.CharField(max_length=100, default="", blank=True)
    lease_until = models.DateTimeField(null=True)
    attempt = models.IntegerField(default=0)
    event_position = models.BigIntegerField(default=0)
    # Of the request that created it, as the header `traceparent` has it; empty where nothing is traced.
    traceparent = models.CharField(max_length=55, blank=True, default="", db_default="", editable=False)

    # Not stored: who answers the turn that its holder is taking, whether something is reserved for it, and the thread's
    # newest messages, newest first, as they were when the run was claimed, until its first turn has looked at them.
    route: Any = None
    has_reserved = False
    newest: list[Message] | None = None

    class Meta(TenantModel.Meta):
        indexes = [
            models.Index(fields=["thread", "id"], name="runs_of_thread"),
            models.Index(fields=["tenant", "id"], name="runs_of_tenant"),
            models.Index(
                fields=["tenant", "end_user", "id"], name="runs_of_end_user", condition=~models.Q(end_user="")
            ),
            # For the fair choice among tenants that wait.
            models.Index(fields=["tenant", "queued_at"], name="runs_waiting", condition=models.Q(status=Status.QUEUED)),
            models.Index(
                fields=["expires_at"],
                name="runs_to_expire",
                condition=models.Q(status__in=[Status.QUEUED, Status.REQUIRES_ACTION]),
            ),
            models.Index(fields=["status", "queued_at"], name="runs_at_work", condition=models.Q(status__in=ACTIVE)),
            # For the admin's lists; without the completed ones it costs those nothing.
            models.Index(
                fields=["status", "id"],
                name="runs_ended_otherwise",
                condition=models.Q(status__in=TERMINAL - {Status.COMPLETED}),
            ),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["thread"], condition=models.Q(status__in=ACTIVE), name="one_active_run_per_thread"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.id} ({self.status})"

    @property
    def is_terminal(self) -> bool:
        return self.status in TERMINAL

    @property
    def usage(self) -> dict[str, Any] | None:
        """Tokens, as told once the run has ended."""
        return (self.spent or no_usage()) if self.is_terminal else None

    @property
    def wire_expires_at(self) -> Any:
        return None if self.is_terminal else self.expires_at

    @property
    def incomplete_details(self) -> dict[str, Any] | None:
        return {"reason": self.incomplete_reason} if self.incomplete_reason else None


class StepStatus(models.TextChoices):
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


class RunStep(TenantModel):
    """What one model turn led to: a message, or the calls of tools. `turn` counts the run's model turns from 1."""

    wire_noun = "run step"
    tenant = tenant_of_parent("runsteps")

    id = WireIdField(prefix="step_")
    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="steps", db_index=False)
    thread_id = models.CharField(max_length=64)
    assistant_id = models.CharField(max_length=64)
    type = models.CharField(max_length=16)
    status = models.CharField(max_length=16, choices=StepStatus.choices, default=StepStatus.IN_PROGRESS)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    completed_at = models.DateTimeField(null=True)
    failed_at = models.DateTimeField(null=True)
    cancelled_at = models.DateTimeField(null=True)
    expired_at = models.DateTimeField(null=True)
    run_expires_at = models.DateTimeField()
    last_error = models.JSONField(null=True)
    step_details = models.JSONField(default=dict)
    metadata = models.JSONField(default=dict)
    spent = models.JSONField(null=True)
    turn = models.IntegerField(default=1)
    # What must go back to the model with this turn and is not in `step_details`: its own fields of the message and of
    # each call, and the calls of server tools with their outputs.
    carry = models.JSONField(default=dict)

    class Meta(TenantModel.Meta):
        indexes = [models.Index(fields=["run", "id"], name="steps_of_run")]

    def __str__(self) -> str:
        return f"{self.type} {self.id} ({self.status})"

    @property
    def usage(self) -> dict[str, Any] | None:
        return None if self.status == StepStatus.IN_PROGRESS else self.spent

    @property
    def expires_at(self) -> Any:
        return self.run_expires_at if self.status == StepStatus.IN_PROGRESS else None


class SentPrompt(TenantModel):
    """What a model turn was asked, as it was sent: kept for KEEP_PROMPTS_HOURS, where that is set (`sent_prompts`)."""

    id = models.BigAutoField(primary_key=True)
    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="sent_prompts", db_index=False)
    turn = models.IntegerField()
    attempt = models.IntegerField()
    sent_at = models.DateTimeField(default=timezone.now)
    body = models.BinaryField(help_text="JSON, compressed with zlib.")

    class Meta(TenantModel.Meta):
        indexes = [
            models.Index(fields=["run", "id"], name="prompts_of_run"),
            models.Index(fields=["sent_at"], name="prompts_by_age"),
        ]

    def __str__(self) -> str:
        return f"turn {self.turn} of {self.run_id}"


def no_usage() -> dict[str, Any]:
    return {
        "prompt_tokens": 0,
        "completion_tokens": 0,
        "total_tokens": 0,
        "prompt_token_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0},
    }


def added_usage(left: dict[str, Any], right: dict[str, Any]) -> dict[str, Any]:
    """The sum of two usages, details included."""
    return {
        key: added_usage(value, right.get(key, {})) if isinstance(value, dict) else value + right.get(key, 0)
        for key, value in (left or no_usage()).items()
    }
