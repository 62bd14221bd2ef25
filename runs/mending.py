"""Events that were lost with whoever should have told them: each move is committed first and told then."""

import logging
from datetime import timedelta

from django.db import InterfaceError, OperationalError
from django.utils import timezone

from runs import events
from runs.events import Telling, run_event
from runs.models import Run
from runs.record import Record, untold
from runs.serializers import RunObjectSerializer
from threads.models import Thread
from threads.serializers import ThreadObjectSerializer

logger = logging.getLogger(__name__)

FRESH_SECONDS = 1.0  # a run that is claimed so soon was put into the queue, which comes after the telling
LAST_OF_A_NEW_RUN = 3  # the position of what was told of it, with its thread, before anybody held it


def was_told(run: Run) -> bool:
    """Whether a run that is claimed was told of for sure, which spares the look."""
    return is_new(run) and timezone.now() - run.queued_at < timedelta(seconds=FRESH_SECONDS)


def mend(run: Run) -> None:
    """Tells of a run that nobody holds what its stream lacks, at the positions that were meant for it.

    Call it before moving the run on. Harmless if the teller is alive and only slow: it would tell the same, and each
    position is taken once.
    """
    try:
        _mend(run)
    except (OperationalError, InterfaceError):
        raise
    except Exception:  # readers may miss something; the run must not stand still for it
        logger.exception("The events of %s could not be mended.", run.pk)


def is_new(run: Run) -> bool:
    """Whether nobody has held it yet: no more was told than that it was created and queued, and its thread perhaps."""
    return run.event_position <= LAST_OF_A_NEW_RUN


def _mend(run: Run) -> None:
    end = events.last_position(run.pk)
    if end >= run.event_position:
        return
    told = _beginning(run) if end == 0 and is_new(run) else _untold(run)
    room = run.event_position - end
    if len(told) > room:  # pieces were lost too, and their positions with them
        told = [(name, data) for name, data in told if not name.endswith(".delta")]
    if told and len(told) <= room:
        events.append(run.pk, run.event_position - len(told), told, end=end)


def _beginning(run: Run) -> Telling:
    told = RunObjectSerializer.of(run)
    beginning: Telling = [("thread.run.created", told), ("thread.run.queued", told)]
    if run.event_position > len(beginning):  # it was created together with its thread
        thread = Thread.objects.across_tenants().get(pk=run.thread_id)
        beginning.insert(0, ("thread.created", ThreadObjectSerializer.of(thread)))
    return beginning


def _untold(run: Run) -> Telling:
    record = Record(events.told_of(run.pk))
    return [*untold(run, record), run_event(run)] if record.is_whole else []
