"""The restore drill, in short: `make drill-restore` is the long one."""

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_a_loaded_installation_is_restored_elsewhere() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "drills.restore", "--tenants", "2", "--seconds", "5", "--lease", "4"],
        cwd=Path(__file__).resolve().parents[3],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "The restored installation has what it had." in done.stdout
