"""The daemon's own health: preparing, available, off, and back."""

import asyncio
import logging
from pathlib import Path

import pytest

from sandbox.protocol import Health, SandboxUnavailable
from sandbox.readiness import Readiness
from sandbox.tests.scripted import AVAILABLE, until

pytestmark = pytest.mark.sandbox

OFF = Health(False, reason="bubblewrap is not installed.", remedy="Debian: apt install bubblewrap")


def test_it_prepares_is_available_goes_off_and_comes_back(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)

    async def main() -> None:
        told = [OFF, OFF, AVAILABLE, OFF, AVAILABLE]
        prepared: list[Path] = []

        async def prepare(environment: Path) -> None:
            prepared.append(environment)
            if len(prepared) == 1:
                raise OSError("The disk is full.")

        async def examine(environment: Path) -> Health:
            return told.pop(0)

        readiness = Readiness(Path("/x"), prepare, examine, pause=0.03, prepare_pause=0.03)
        assert readiness.health.is_preparing
        with pytest.raises(SandboxUnavailable, match="is being prepared"):
            readiness.check()
        readiness.begin()
        await until(lambda: readiness.health.reason == "The disk is full.")
        await until(lambda: readiness.health == OFF)
        with pytest.raises(SandboxUnavailable, match=r"not installed\. Debian: apt install"):
            readiness.check()
        await until(lambda: readiness.health.is_available)
        readiness.check()
        await asyncio.sleep(0.1)
        assert len(told) == 2  # nothing is examined while all is well

        readiness.doubt()  # a session could not be started
        await until(lambda: readiness.health == OFF)
        await until(lambda: readiness.health.is_available)
        assert len(prepared) == 2
        await readiness.close()

    asyncio.run(main())
    changes = [record.getMessage() for record in caplog.records if record.name == "sandbox.readiness"]
    assert [line.split(":")[0] for line in changes] == [
        "The code interpreter is off",
        "The code interpreter is off",
        "The code interpreter is available",
        "The code interpreter is off",
        "The code interpreter is available",
    ]


def test_an_examination_that_breaks_is_no_examination() -> None:
    async def main() -> None:
        async def examine(environment: Path) -> Health:
            raise RuntimeError("surprise")

        readiness = Readiness(Path("/x"), None, examine, pause=0.03)
        readiness.begin()
        await until(lambda: "surprise" in readiness.health.reason)
        assert not readiness.health.is_available
        await readiness.close()

    asyncio.run(main())
