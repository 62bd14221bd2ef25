"""Threads and their messages in the admin: to look at."""

from typing import Any

from django.contrib import admin
from django.contrib.admin import display
from django.utils.html import format_html

from assistant_site.staff import filters, shown
from assistant_site.staff.pages import Kept
from threads.models import Message, MessageStatus, Thread


@admin.register(Thread)
class ThreadAdmin(Kept):
    list_display = ["id_", "title", "of_tenant", "of_user", "message_count", "active", "archived", "made"]
    list_filter = [filters.OfTenant, filters.Since]
    list_select_related = ["tenant"]
    search_help_text = "Id or its beginning, or a tenant's name."
    is_large = True
    content = ["title", "metadata", "tool_resources"]
    change_form_outer_after_template = "admin/thread_overview.html"
    fields = [
        ("id", "tenant"),
        ("of_user", "message_count"),
        ("active", "created_at", "archived_at"),
        "title",
        "tool_resources",
        "metadata",
    ]
    readonly_fields = [
        *("id", "tenant", "of_user", "message_count", "active", "created_at", "archived_at", "title"),
    ]

    @display(description="id")
    def id_(self, thread: Thread) -> str:
        return shown.code(thread.pk)

    @display(description="end user")
    def of_user(self, thread: Thread) -> str:
        return thread.end_user or shown.NOTHING

    @display(description="run under way")
    def active(self, thread: Thread) -> str:
        return shown.id_link("runs.run", thread.active_run_id)

    @display(description="archived", boolean=True)
    def archived(self, thread: Thread) -> bool:
        return thread.is_archived


@admin.register(Message)
class MessageAdmin(Kept):
    list_display = ["id_", "role", "says", "whole_thread", "whole_run", "of_tenant", "made"]
    list_filter = [filters.Since]
    list_select_related = ["tenant"]
    search_help_text = "Id of a message or its beginning, of a thread, or of a run."
    ids = {"thread_": "thread_id", "run_": "run_id"}
    is_large = True
    content = ["content", "attachments", "metadata", "says", "parts", "shown_attachments"]
    fields = [
        ("id", "tenant"),
        ("role", "state"),
        ("of_thread", "of_run"),
        "parts",
        "shown_attachments",
        "metadata",
        ("created_at", "completed_at", "incomplete_reason"),
    ]
    readonly_fields = [
        *("id", "tenant", "role", "state", "of_thread", "of_run", "parts", "shown_attachments", "metadata"),
        *("created_at", "completed_at", "incomplete_reason"),
    ]

    def _ids(self) -> dict[str, str]:
        """Not by tenant: messages are reached by their threads, and have no index of their tenants."""
        return {prefix: column for prefix, column in super()._ids().items() if prefix != "tenant_"}

    def _tenants_named(self, term: str) -> list[Any]:
        return []

    @display(description="id")
    def id_(self, message: Message) -> str:
        return shown.code(message.pk)

    @display(description="says")
    def says(self, message: Message) -> str:
        text = message.text[:120] + ("…" if len(message.text) > 120 else "")
        note = "" if message.status == MessageStatus.COMPLETED else shown.status(message.status)
        return format_html('<span class="hf-says">{} {}</span>', text, note)

    @display(description="thread")
    def whole_thread(self, message: Message) -> str:
        return shown.link("threads.thread", message.thread_id, "thread")

    @display(description="run")
    def whole_run(self, message: Message) -> str:
        return shown.link("runs.run", message.run_id, "run")

    @display(description="text")
    def parts(self, message: Message) -> str:
        return (
            shown.text(message.text)
            if all(part["type"] == "text" for part in message.content)
            else (shown.as_json(message.content))
        )

    @display(description="attachments")
    def shown_attachments(self, message: Message) -> str:
        return shown.as_json(message.attachments)

    @display(description="state")
    def state(self, message: Message) -> str:
        return shown.status(message.status)

    @display(description="thread")
    def of_thread(self, message: Message) -> str:
        return shown.id_link("threads.thread", message.thread_id)

    @display(description="run")
    def of_run(self, message: Message) -> str:
        return shown.id_link("runs.run", message.run_id)
