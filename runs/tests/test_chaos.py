"""A short seed of the chaos suite, as CI runs it (`make chaos-short`); `make chaos` does the rest."""

import subprocess
import sys
from pathlib import Path

import pytest

SECONDS = 300


@pytest.mark.chaos
@pytest.mark.timeout(SECONDS + 60)
def test_thirty_kills_violate_nothing() -> None:
    command = [sys.executable, "-m", "runs.tests.chaos", "--seed", "1", "--kills", "30", "--minutes", "1"]
    folder = Path(__file__).resolve().parents[2]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=SECONDS, check=False)
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "no runs with violations" in done.stdout
