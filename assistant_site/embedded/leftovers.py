"""What a killed `manage.py up` may have left behind for a few seconds: its children are told, but take time to end."""

import contextlib
import json
import os
import signal
import time
from collections.abc import Iterable
from pathlib import Path

from assistant_site.embedded.process import alive, command_line, wait_gone

ENDING_SECONDS = 1.5  # their PostgreSQL is gone, so there is nothing they could still save


class Leftovers:
    """The children of this folder's last `up`, kept in a file as process numbers with their command lines."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def note(self, pids: Iterable[int]) -> None:
        """Remember our children, in case we are killed."""
        draft = self.file.with_suffix(".tmp")
        draft.write_text(json.dumps({str(pid): command_line(pid) for pid in pids}))
        draft.replace(self.file)

    def forget(self) -> None:
        self.file.unlink(missing_ok=True)

    def end(self) -> None:
        """Wait until the last start's children are gone; end them after a few seconds. Raises OSError."""
        try:
            noted: dict[str, str] = json.loads(self.file.read_text())
        except (FileNotFoundError, ValueError):
            return
        deadline = time.monotonic() + ENDING_SECONDS
        for number, command in noted.items():
            pid = int(number)
            # The number may belong to another program by now.
            if not command or not alive(pid) or command_line(pid) != command:
                continue
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
            if not wait_gone(pid, max(0.1, deadline - time.monotonic())):
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(pid, signal.SIGKILL)
                wait_gone(pid, 5)
        self.forget()
