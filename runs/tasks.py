"""The queue's entry points: ids in, nothing out, harmless when they come twice or never."""

import logging

from django_q.tasks import async_task

from assistant_site import valkey
from runs import broker, events
from runs.events import Telling

logger = logging.getLogger(__name__)


def execute_run(run_id: str, tenant_id: str) -> None:
    """Hands the run of this tenant to the engine of this worker process, which takes it now or in the tenant's turn."""
    from runs.engine import of_this_process  # only workers load the engine and the model client

    of_this_process().submit(run_id, tenant_id)


def enqueue_run(run_id: str, tenant_id: str, told: Telling | None = None) -> None:
    """Asks for a worker, and tells the first events of a run that is new, in one visit to Valkey.

    If that is away the ticker finds the queued row some seconds later, and whoever takes it tells what was not told.
    """
    pipeline = valkey.blocking().pipeline()
    events.begin(pipeline, run_id, told or [])
    queue = broker.PipelineBroker(pipeline)
    async_task("runs.tasks.execute_run", run_id, tenant_id, task_name=run_id, broker=queue)
    try:
        pipeline.execute()
    except valkey.Failed as error:
        logger.warning("%s could not be put into the queue, a worker's ticker will find it: %s", run_id, error)
