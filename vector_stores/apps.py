from typing import Any

from django.apps import AppConfig


def start_worker(**signal: Any) -> None:
    """In a process of the cluster that ingests: it looks for files from its first moment, not from its first task."""
    from django_q.conf import Conf

    from vector_stores.tasks import CLUSTER

    if Conf.CLUSTER_NAME == CLUSTER:
        from vector_stores.worker import of_this_process

        of_this_process()


class VectorStoresConfig(AppConfig):
    name = "vector_stores"
    verbose_name = "Vector stores"

    def ready(self) -> None:
        from django_q.signals import post_spawn

        from files.actions import BEFORE_DELETION
        from vector_stores.actions import remove_from_all_stores

        BEFORE_DELETION.append(remove_from_all_stores)
        post_spawn.connect(start_worker, dispatch_uid="vector_stores.start_worker")
