"""A run once more: for the admin's button."""

from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from runs import actions
from runs.models import Run
from tenants.models import Tenant
from threads import actions as thread_actions
from threads.models import Thread

# What a run was asked to be. The credentials that came with its request are gone when it has ended.
PARAMETERS = (
    *("tenant_id", "thread_id", "assistant_id", "token_id", "end_user"),
    *("model", "instructions", "tools", "tool_resources", "metadata", "temperature", "top_p", "reasoning_effort"),
    *("response_format", "tool_choice", "parallel_tool_calls", "max_prompt_tokens", "max_completion_tokens"),
    *("truncation_strategy", "memory", "include", "assistant_stores", "thread_stores", "code_files", "model_params"),
)


def retry(run: Run) -> Run:
    """A new run on the same thread with the same parameters.

    Raises the documented errors where the thread is gone, or is not free.
    """
    now = timezone.now()
    again = Run(
        **{name: getattr(run, name) for name in PARAMETERS},
        created_at=now,
        queued_at=now,
        expires_at=now + timedelta(seconds=settings.RUN_SECONDS),
    )
    tenant = Tenant.objects.get(pk=run.tenant_id)
    with transaction.atomic():
        while not thread_actions.free_thread(tenant.pk, run.thread_id, room=0).update(active_run_id=again.pk):
            actions.refuse_run(Thread.objects.of(tenant).fetch(run.thread_id), 0)
        actions.insert(again, told_before=0)
    actions.announce(again, [])
    return again
