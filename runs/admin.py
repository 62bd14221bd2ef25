"""Runs in the admin: a list, and a page of each that tells all that is known of it (`operating.inspector`)."""

from typing import Any

from django.contrib import admin, messages
from django.contrib.admin import display
from django.contrib.admin.utils import unquote
from django.http import HttpRequest, HttpResponse
from unfold.enums import ActionVariant

from assistant_site.staff import filters, shown
from assistant_site.staff.dialogs import button, done
from assistant_site.staff.pages import Kept
from assistant_site.wire.errors import WireError
from audit import log
from audit.admin_log import Audited
from runs import actions, retrying
from runs.machine import TERMINAL, Status
from runs.models import Run

PAGE = "runs.run"


@admin.register(Run)
class RunAdmin(Audited, Kept):
    list_display = ["id_", "state", "model", "of_tenant", "of_user", "tokens", "took", "tried", "made"]
    list_filter = [filters.by("status"), filters.OfTenant, filters.Since]
    list_select_related = ["tenant"]
    search_help_text = "Id of a run or its beginning, of a thread, or of a tenant; or a tenant's name."
    ids = {"thread_": "thread_id"}
    is_large = True
    content = ["instructions", "metadata", "tools", "memory", "response_format", "model_params"]
    change_form_outer_before_template = "admin/run_inspector.html"
    actions_detail = ["retry", "cancel"]
    fieldsets = [
        (
            "Parameters",
            {
                "fields": [
                    ("temperature", "top_p", "reasoning_effort"),
                    ("max_prompt_tokens", "max_completion_tokens", "parallel_tool_calls"),
                    "instructions",
                    ("shown_tools", "shown_choice"),
                    ("truncation_strategy", "memory"),
                    ("response_format", "model_params"),
                    "metadata",
                ],
            },
        ),
        (
            "The row",
            {
                "fields": [
                    ("queued_at", "started_at"),
                    ("expires_at", "lease_until"),
                    ("claimed_by", "event_position"),
                    "token",
                ],
            },
        ),
    ]
    readonly_fields = ["shown_tools", "shown_choice", "token"]

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        """Cancelling for one that is under way, another try for one that has ended."""
        run = Run.objects.across_tenants().filter(pk=unquote(object_id)).only("status").first()
        if run is None or run.status == Status.CANCELLING:
            return []
        without = "cancel" if Status(run.status) in TERMINAL else "retry"
        found = super().get_actions_detail(request, object_id)
        return [each for each in found if not each.action_name.endswith(f"_{without}")]

    # --- Buttons --------------------------------------------------------------------------------------------------

    @button(
        "Cancel",
        "The run ends as soon as its worker hears of it. What it has said so far stays.",
        icon="cancel",
        submit="Cancel the run",
        variant=ActionVariant.WARNING,
    )
    def cancel(self, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        run = Run.objects.across_tenants().select_related("tenant").get(pk=object_id)
        try:
            actions.cancel_run(tenant=run.tenant, thread_id=run.thread_id, run_id=run.pk)
        except WireError as refusal:
            messages.error(request, refusal.message)
        else:
            log.record_row(run, "cancelled")
            messages.success(request, "The run is being cancelled.")
        return done(request, shown.page_of(PAGE, object_id))

    @button(
        "Retry",
        "A new run is started on the same thread, with the same parameters. Its tenant pays for it.",
        icon="replay",
        submit="Start a new run",
    )
    def retry(self, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        run = Run.objects.across_tenants().get(pk=object_id)
        try:
            again = retrying.retry(run)
        except WireError as refusal:
            messages.error(request, refusal.message)
            return done(request, shown.page_of(PAGE, object_id))
        log.record_row(run, "retried", after={"run_id": again.pk})
        messages.success(request, "This is the new run.")
        return done(request, shown.page_of(PAGE, again.pk))

    # --- Displays -------------------------------------------------------------------------------------------------

    @display(description="id")
    def id_(self, run: Run) -> str:
        return shown.code(run.pk)

    @display(description="status")
    def state(self, run: Run) -> str:
        return shown.status(run.status)

    @display(description="end user")
    def of_user(self, run: Run) -> str:
        return run.end_user or shown.NOTHING

    @display(description="tokens in / out")
    def tokens(self, run: Run) -> str:
        if not run.spent:
            return shown.NOTHING
        return f"{run.spent['prompt_tokens']:,} / {run.spent['completion_tokens']:,}"

    @display(description="took")
    def took(self, run: Run) -> str:
        ended = run.completed_at or run.failed_at or run.cancelled_at
        return shown.span((ended - run.created_at).total_seconds()) if ended else shown.NOTHING

    @display(description="tries")
    def tried(self, run: Run) -> str:
        return shown.badge(str(run.attempt), "warning") if run.attempt > 1 else str(run.attempt)

    @display(description="API token")
    def token(self, run: Run) -> str:
        return shown.code(run.token_id)

    @display(description="tools")
    def shown_tools(self, run: Run) -> str:
        if not isinstance(run.tools, list):
            return shown.code(run.tools)
        return shown.code(", ".join(tool["type"] for tool in run.tools))

    @display(description="tool choice")
    def shown_choice(self, run: Run) -> str:
        return shown.code(run.tool_choice if isinstance(run.tool_choice, str) else run.tool_choice["type"])
