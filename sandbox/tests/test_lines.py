"""The daemon's log."""

import json
import subprocess
import sys

import pytest

PROGRAM = """
import logging, os
from sandbox import lines
lines.write_to_stderr(os.environ)
try:
    raise ValueError("broken")
except ValueError:
    logging.getLogger("sandboxd").exception("Session %d\\nis lost.", 7)
"""


@pytest.mark.parametrize("variables", [{}, {"LOG_FORMAT": "json"}], ids=["line", "json"])
def test_lines_are_written_as_asked(variables: dict[str, str]) -> None:
    ended = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, env=variables)
    if not variables:
        assert "ERROR sandboxd Session 7\nis lost.\nTraceback" in ended.stderr
        return
    [line] = ended.stderr.splitlines()
    told = json.loads(line)
    assert (told["level"], told["logger"], told["process"]) == ("error", "sandboxd", "sandbox")
    assert told["message"] == "Session 7\nis lost."
    assert told["exception"].endswith("ValueError: broken")
    assert told["time"].endswith("Z")
