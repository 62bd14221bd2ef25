from typing import Any

from django.apps import AppConfig


def start_engine(**signal: Any) -> None:
    """In each new worker process. Those of another cluster, such as the one that ingests files, carry no runs."""
    from django_q.conf import Conf

    from runs.workers import note_spawn

    note_spawn()
    if Conf.CLUSTER_NAME == Conf.PREFIX:
        from runs.engine import of_this_process

        of_this_process()


class RunsConfig(AppConfig):
    name = "runs"

    def ready(self) -> None:
        from django_q.signals import post_spawn

        import runs.workers  # noqa: F401 before any fork: its processes share what it makes
        from runs.actions import interrupt_run, runs_of_thread
        from threads.actions import LOCKED_BEFORE_A_THREAD
        from threads.waiting import INTERRUPT

        LOCKED_BEFORE_A_THREAD.append(runs_of_thread)
        INTERRUPT.append(interrupt_run)
        # A worker looks for runs of dead workers from its first moment, not from its first task.
        post_spawn.connect(start_engine, dispatch_uid="runs.start_engine")
