"""How a process of uvicorn's ends when it is told to: as Python ends, not by the signal.

uvicorn serves until SIGTERM, puts the handlers back that it found, and sends itself the signal once more. By then one
of ours must be there, or the process is gone before the last spans and errors are sent (`atexit`). Where there are
several processes, uvicorn starts them, and the first thing that it does in each is to set up its logging.
"""

import signal
import sys
from types import FrameType

import uvicorn


def leave(number: int, frame: FrameType | None) -> None:
    sys.exit(0)


class Config(uvicorn.Config):
    def configure_logging(self) -> None:
        super().configure_logging()
        signal.signal(signal.SIGTERM, leave)
