"""Prompts as they were sent, for the admin's run inspector: kept for KEEP_PROMPTS_HOURS, where that is set.

Images stand in them as in the messages, by file or address, not as the bytes that a provider may be sent.
"""

import json
import zlib
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.utils import timezone

from assistant_site.llm.chat import ChatRequest
from runs.models import Run, SentPrompt


def keep(run: Run, request: ChatRequest) -> None:
    """Stores what the run's next turn asks. A turn that is taken again by another worker has a row for each."""
    body = {"model": request.model, "messages": request.messages, "tools": request.tools, "options": request.options}
    packed = zlib.compress(json.dumps(body, ensure_ascii=False, default=str).encode(), level=6)
    SentPrompt.objects.create(
        tenant_id=run.tenant_id, run_id=run.pk, turn=run.turns + 1, attempt=run.attempt, body=packed
    )


def of(run: Run) -> dict[int, dict[str, Any]]:
    """What is kept of the run, by turn: the last that was sent."""
    rows = SentPrompt.objects.across_tenants().filter(run_id=run.pk).order_by("pk")
    return {row.turn: json.loads(zlib.decompress(bytes(row.body))) for row in rows}


def forget_old() -> int:
    """Deletes what was kept long enough; all of it where nothing is to be kept. Returns how many."""
    before = timezone.now() - timedelta(hours=settings.KEEP_PROMPTS_HOURS)
    return int(SentPrompt.objects.across_tenants().filter(sent_at__lt=before).delete()[0])
