"""A thread's page: what was said in it, and its runs."""

from dataclasses import dataclass
from typing import Any

from assistant_site.staff import content
from runs.models import Run
from threads.models import Message, Thread

MOST_MESSAGES = 50
MOST_RUNS = 20


@dataclass(frozen=True)
class Talk:
    """The newest messages, the oldest of them first."""

    messages: list[Message]
    more: bool
    runs: list[Run]
    shows_content: bool


def of(thread: Thread, user: Any) -> Talk:
    said: list[Message] = []
    if user.has_perm("threads.view_message"):
        rows = Message.objects.across_tenants().filter(thread_id=thread.pk)
        said = list(rows.order_by("-pk")[: MOST_MESSAGES + 1])
    runs: list[Run] = []
    if user.has_perm("runs.view_run"):
        runs = list(Run.objects.across_tenants().filter(thread_id=thread.pk).order_by("-pk")[:MOST_RUNS])
    return Talk(said[:MOST_MESSAGES][::-1], len(said) > MOST_MESSAGES, runs, content.is_shown_to(user))
