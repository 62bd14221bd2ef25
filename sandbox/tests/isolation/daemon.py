"""`python -m sandbox.tests.isolation.daemon OPTIONS`: sandboxd with what its tests need to choose.

It is the real daemon, assembled here because no setting of the product can take a protection away.
"""

import asyncio
import json
import logging
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from sandbox import doctor, launch
from sandbox.configuration import Configuration
from sandbox.daemon import Daemon, Launches, serve
from sandbox.launch import Launcher
from sandbox.protocol import Health
from sandbox.tests.isolation import removals
from sandbox.tests.isolation.limits import MOST


class Unexamined(Launches):
    """Starts sessions as it is told to, without a self-test."""

    def __init__(self, launcher: Launcher) -> None:
        super().__init__()
        self._launcher = launcher

    async def examine(self, folder: Path) -> Health:
        return Health(True, tier="unexamined")


def main() -> None:
    options: dict[str, Any] = json.loads(sys.argv[1])
    logging.basicConfig(stream=sys.stderr, level=logging.INFO)
    walls = removals.apply(options["without"])
    environment = Path(options["environment"])
    launcher = partial(Launcher, without=frozenset(walls))
    launches = Launches()
    if options["self_test"]:
        setattr(doctor, "Launcher", launcher)  # noqa: B010
    else:
        launches = Unexamined(launcher(environment, proc=options["proc"]))
    configuration = Configuration(
        environment=environment,
        socket=Path(options["socket"]),
        pool=options["pool"],
        sessions=40,
        limits=replace(MOST, data_bytes=options["data_bytes"]),
        idle_seconds=options["idle_seconds"],
        age_seconds=options["age_seconds"],
    )
    try:
        asyncio.run(serve(Daemon(configuration, launches, None, launches.examine)))
    finally:
        launch.shared().remove()


if __name__ == "__main__":
    main()
