import os
from pathlib import Path

from django.apps import AppConfig


class ClockworkConfig(AppConfig):
    name = "runs.tests.clockwork"

    def ready(self) -> None:
        from runs.tests.clockwork.sandbox import FOLDER, Clockwork
        from tools.code_interpreter import access

        self._used = access.using(Clockwork(Path(os.environ[FOLDER])))
        self._used.__enter__()  # for the life of this process
