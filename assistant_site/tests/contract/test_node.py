"""The helpers of the official Node SDK: through every state of a run, and with files and vector stores."""

import json
import os
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone

from assistant_site.llm.tests.quirk_server import QuirkServer
from assistant_site.tests.callers import LiveCaller
from assistant_site.tests.contract import scenarios
from runs.models import Run

pytestmark = pytest.mark.contract
JOURNEYS_SECONDS = 150


@pytest.fixture
def model() -> Iterator[QuirkServer]:
    with QuirkServer(scenarios.play) as server:
        yield server


@pytest.mark.timeout(JOURNEYS_SECONDS + 180)  # 120 of them to install
def test_every_helper_goes_through_every_state(lena: LiveCaller, model: QuirkServer, node: Path) -> None:
    lena.provided_by(model.base_url)
    given = json.dumps({"tools": scenarios.TOOLS, "scenarios": scenarios.told()})
    gone: list[dict[str, object]] = []
    with (
        tempfile.TemporaryFile("w+") as errors,
        subprocess.Popen(
            ["node", "states.mjs", lena.base_url, lena.token],
            cwd=node,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env={"PATH": os.environ["PATH"]},  # no proxy, and nobody's key
        ) as program,
    ):
        watchdog = threading.Timer(JOURNEYS_SECONDS, program.kill)
        watchdog.start()
        try:
            assert program.stdin is not None
            assert program.stdout is not None
            program.stdin.write(given)
            program.stdin.close()
            for line in program.stdout:
                told = json.loads(line)
                assert "surprise" not in told, f"{told['surprise']}\n{told['error']}"
                if "expire" in told:
                    moment = timezone.now() + timedelta(seconds=told["seconds"])
                    Run.objects.of(lena.tenant).filter(pk=told["expire"]).update(expires_at=moment)
                else:
                    gone.append(told)
            code = program.wait(10)
        finally:
            watchdog.cancel()
            program.kill()
        errors.seek(0)
        assert code == 0, errors.read()
    assert len(gone) == 2 * len(scenarios.SCENARIOS) + 3 * len(scenarios.SOME)
    assert {journey["scenario"]: journey["status"] for journey in gone} == {
        name: scenario.status for name, scenario in scenarios.SCENARIOS.items()
    }


def test_files_and_stores(lena: LiveCaller, node: Path) -> None:
    done = subprocess.run(
        ["node", "stores.mjs", lena.base_url, lena.token],
        cwd=node,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={"PATH": os.environ["PATH"]},
    )
    assert done.returncode == 0, done.stdout + done.stderr
