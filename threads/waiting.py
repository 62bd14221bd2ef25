"""What is done about a busy thread: refuse, wait until it is free, or end its run (an extension, off unless asked for).

`X-Holdfast-When-Busy` says it for a request that adds a message or a run; else the tenant's setting counts. Waiting
requests hold no thread and no connection of the server, and are let in in the order in which they came.
"""

import asyncio
import contextlib
import logging
import time
import uuid
from collections.abc import Callable
from typing import Any

from django.conf import settings
from drf_spectacular.utils import OpenApiParameter
from rest_framework.request import Request

from assistant_site import valkey
from assistant_site.db import threads as database
from assistant_site.wire.errors import InvalidRequest
from assistant_site.wire.late import AskAgain
from tenants.models import Tenant, WhenBusy
from threads.actions import ThreadBusy
from threads.models import Thread

logger = logging.getLogger(__name__)

HEADER = "X-Holdfast-When-Busy"

PARAMETER = OpenApiParameter(
    HEADER,
    str,
    OpenApiParameter.HEADER,
    enum=WhenBusy.values,
    description="An extension: what to do while a run holds the thread. By default the tenant's setting, `reject`.",
)

# How a run is ended, by whoever knows runs: functions of the tenant, the thread's id and the run's.
INTERRUPT: list[Callable[[Tenant, str, str], None]] = []

_SCOPE_KEY = "holdfast.ticket"
_FORGOTTEN_SECONDS = 5  # a ticket that was not shown for so long has no owner any more
_FIRST_LOOK_SECONDS = 0.05
_LONGEST_PAUSE_SECONDS = 0.5

# Draws or shows a ticket; returns the one whose turn it is. Keys: tickets by arrival, tickets by when last shown.
_SHOW = """
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
redis.call('ZADD', KEYS[1], 'NX', now, ARGV[1])
redis.call('ZADD', KEYS[2], now, ARGV[1])
for _, lost in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now - ARGV[2])) do
  redis.call('ZREM', KEYS[1], lost)
  redis.call('ZREM', KEYS[2], lost)
end
redis.call('EXPIRE', KEYS[1], 60)
redis.call('EXPIRE', KEYS[2], 60)
return redis.call('ZRANGE', KEYS[1], 0, 0)[1]
"""


def wanted(request: Request, tenant: Tenant) -> str:
    """What this request wants done if its thread is busy."""
    given = request.headers.get(HEADER)
    if given is None:
        return tenant.when_busy
    if given not in WhenBusy.values:
        raise InvalidRequest(
            f"Invalid '{HEADER}': supported values are {', '.join(repr(value) for value in WhenBusy.values)}.",
            code="invalid_value",
            param=HEADER,
        )
    return given


def behind_others(request: Request, tenant: Tenant, thread_id: str) -> AskAgain | None:
    """What a request that would wait is answered with while others wait for the thread: it comes after them."""
    if wanted(request, tenant) == WhenBusy.REJECT or _SCOPE_KEY in scope_of(request):
        return None
    return AskAgain(ticket_of(request, tenant, thread_id)) if somebody_waits(tenant, thread_id) else None


def when_busy(request: Request, tenant: Tenant, busy: ThreadBusy) -> AskAgain:
    """What to answer now that the thread was found busy; raises `busy` if the caller does not want to wait (longer)."""
    if wanted(request, tenant) == WhenBusy.REJECT:
        raise busy
    ticket = ticket_of(request, tenant, busy.thread_id)
    if ticket.is_over:
        raise busy
    return AskAgain(ticket)


def scope_of(request: Request) -> dict[str, Any]:
    """What is kept of a request between its attempts."""
    scope: dict[str, Any] = getattr(request._request, "scope", {})
    return scope


def ticket_of(request: Request, tenant: Tenant, thread_id: str) -> "Ticket":
    """The request's place in the queue, drawn at its first wait."""
    scope = scope_of(request)
    if _SCOPE_KEY not in scope:
        interrupts = wanted(request, tenant) == WhenBusy.INTERRUPT
        scope[_SCOPE_KEY] = Ticket(tenant, thread_id, interrupts=interrupts)
    ticket: Ticket = scope[_SCOPE_KEY]
    return ticket


def queue_of(tenant: Tenant, thread_id: str) -> str:
    """The key of the tickets of a thread."""
    return f"waiting:{tenant.pk}:{thread_id}"


def somebody_waits(tenant: Tenant, thread_id: str) -> bool:
    try:
        return bool(valkey.blocking().zcard(queue_of(tenant, thread_id)))
    except valkey.Failed:
        return False


class Ticket:
    """A waiting request's place in the queue of its thread.

    One that `interrupts` ends whatever run holds the thread meanwhile, also that of somebody who came before it. It
    does so while it waits, outside of the request's own transaction, which comes to nothing.
    """

    def __init__(self, tenant: Tenant, thread_id: str, *, interrupts: bool) -> None:
        self.tenant = tenant
        self.thread_id = thread_id
        self.interrupts = interrupts
        self.name = uuid.uuid4().hex
        self.deadline = time.monotonic() + settings.WHEN_BUSY_SECONDS
        queue = queue_of(tenant, thread_id)
        self._keys = [queue, f"{queue}:shown"]
        self._interrupted: set[str] = set()

    @property
    def is_over(self) -> bool:
        return time.monotonic() > self.deadline

    async def wait(self) -> None:
        """Until it is this request's turn and the thread is free or gone, or the time is over."""
        threads = database.of_this_loop()
        pause = _FIRST_LOOK_SECONDS
        while not self.is_over:
            is_first = await self.is_first()
            holder = await threads.run(holder_of, self.tenant, self.thread_id)
            if is_first and holder is None:
                return
            if holder is not None and self.interrupts and holder not in self._interrupted:
                self._interrupted.add(holder)
                await threads.run(self.interrupt, holder)
                pause = _FIRST_LOOK_SECONDS
            await asyncio.sleep(pause)
            pause = min(pause * 1.3, _LONGEST_PAUSE_SECONDS)

    def interrupt(self, run_id: str) -> None:
        for end in INTERRUPT:
            end(self.tenant, self.thread_id, run_id)

    async def is_first(self) -> bool:
        """Without Valkey everybody is: who comes first is then a matter of luck."""
        try:
            show = valkey.of_this_loop().register_script(_SHOW)
            first: Any = await show(keys=self._keys, args=[self.name, _FORGOTTEN_SECONDS])
        except valkey.Failed as error:
            logger.warning("Those who wait for %s cannot be put in order: %s", self.thread_id, error)
            return True
        return bool(first == self.name.encode())

    async def leave(self) -> None:
        with contextlib.suppress(valkey.Failed):  # forgotten by itself
            for key in self._keys:
                await valkey.of_this_loop().zrem(key, self.name)


def holder_of(tenant: Tenant, thread_id: str) -> str | None:
    """The run that holds the thread; None if it is free, or gone."""
    found: str | None = Thread.objects.of(tenant).filter(pk=thread_id).values_list("active_run_id", flat=True).first()
    return found
