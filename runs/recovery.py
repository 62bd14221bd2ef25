"""What the ticker does about runs that nobody works on: small batches, safe to do from every worker at once."""

import logging
from collections.abc import Callable

from django.conf import settings
from django.db import InterfaceError, OperationalError, transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from assistant_site.metrics import counted
from metering import ledger
from runs import events
from runs.actions import close_open_objects, move
from runs.events import Telling, run_event
from runs.holding import interrupted
from runs.machine import ACTIVE, Status
from runs.mending import mend
from runs.models import Run, StepStatus
from runs.record import Record, untold
from runs.tasks import enqueue_run

logger = logging.getLogger(__name__)

BATCH = 50
# Positions that a dead holder may have used for deltas without writing them down.
POSITION_GAP = 1_000_000


def tick() -> None:
    """One look around."""
    active = Run.objects.across_tenants().filter(status__in=ACTIVE)
    dead = Q(lease_until__lt=Now())
    _each(active.filter(dead, status=Status.CANCELLING), _end_cancelled)
    _each(active.filter(dead, status=Status.IN_PROGRESS), _take_from_dead)
    _each(active.filter(expires_at__lt=Now(), status__in=[Status.QUEUED, Status.REQUIRES_ACTION]), _end_expired)


def _each(found: QuerySet[Run], treat: Callable[[Run], Telling]) -> None:
    """Treats up to a batch of runs, each locked in a transaction of its own; others skip what is locked."""
    for run_id in found.values_list("pk", flat=True)[:BATCH]:
        try:
            with transaction.atomic():
                run = found.filter(pk=run_id).select_for_update(skip_locked=True).first()
                if run is None:
                    continue
                told = treat(run)
            events.append(run.pk, run.event_position - len(told), told, wait=False)
            if run.status == Status.QUEUED:
                enqueue_run(run.pk, run.tenant_id)
        except (OperationalError, InterfaceError):
            raise
        except Exception:  # one run that cannot be treated must not keep the others waiting
            logger.exception("%s could not be taken up.", run_id)


def _close(run: Run, how: StepStatus, *, keeps_calls: bool = False) -> Telling:
    """Tells what the dead holder wrote and did not tell, and ends what it left open as its readers know it.

    With `keeps_calls` a step whose calls it was carrying out stays open: whoever claims the run goes on with them.
    """
    record = Record(events.told_of(run.pk))
    error = interrupted() if how == StepStatus.FAILED else None
    told = untold(run, record)
    record.add(told)
    known = record.contents | record.calls
    return [*told, *close_open_objects(run, how, last_error=error, contents=known, keeps_calls=keeps_calls)]


def _gap(run: Run, told: Telling) -> int:
    return run.event_position + POSITION_GAP + len(told) + 1


def _take_from_dead(run: Run) -> Telling:
    """Queues the run again, or fails it when too many workers died with it, or its time is over."""
    if run.expires_at <= timezone.now():
        told = _close(run, StepStatus.EXPIRED)
        move(run, Status.EXPIRED, event_position=_gap(run, told))
    elif run.attempt >= settings.RUN_ATTEMPTS:
        told = _close(run, StepStatus.FAILED)
        move(
            run,
            Status.FAILED,
            event_position=_gap(run, told),
            failed_at=timezone.now(),
            last_error={
                "code": "server_error",
                "message": f"The run was interrupted {run.attempt} times and is not tried again.",
            },
        )
    else:
        told = _close(run, StepStatus.FAILED, keeps_calls=True)
        counted.TAKE_OVERS.inc()
        move(run, Status.QUEUED, event_position=_gap(run, told), queued_at=timezone.now())
    ledger.release_of_run(run.pk)
    return [*told, run_event(run)]


def _end_cancelled(run: Run) -> Telling:
    first = run_event(run)  # its holder died before it could tell
    told = [first, *_close(run, StepStatus.CANCELLED)]
    move(run, Status.CANCELLED, event_position=_gap(run, told), cancelled_at=timezone.now())
    ledger.release_of_run(run.pk)
    return [*told, run_event(run)]


def _end_expired(run: Run) -> Telling:
    mend(run)
    told = close_open_objects(run, StepStatus.EXPIRED)
    move(run, Status.EXPIRED, events_told=len(told) + 1)
    return [*told, run_event(run)]
