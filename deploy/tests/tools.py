"""The programs that check files of deploy/: in an environment of their own, which `make check-deploy` makes."""

from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]


def tool(name: str) -> str:
    """The program's path; skips the test where it is not installed."""
    found = PROJECT / ".venv-deploy" / "bin" / name
    if not (found.parents[1] / "requirements.txt").exists():  # copied last
        pytest.skip(f"{name} is not installed (make check-deploy)")
    return str(found)
