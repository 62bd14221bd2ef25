from django.apps import AppConfig


class RunsConfig(AppConfig):
    name = "runs"

    def ready(self) -> None:
        from runs.actions import interrupt_run, runs_of_thread
        from threads.actions import LOCKED_BEFORE_A_THREAD
        from threads.waiting import INTERRUPT

        LOCKED_BEFORE_A_THREAD.append(runs_of_thread)
        INTERRUPT.append(interrupt_run)
