"""What the tests of several SDKs use."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

FOLDER = Path(__file__).with_name("node")
INSTALL_SECONDS = 120


@pytest.fixture(scope="session")
def node() -> Path:
    """The folder with the program and the SDK, which is installed the first time."""
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed here")
    wanted = json.loads((FOLDER / "package.json").read_text())["dependencies"]["openai"]
    installed = FOLDER / "node_modules" / "openai" / "package.json"
    if installed.exists() and json.loads(installed.read_text())["version"] == wanted:
        return FOLDER
    try:
        done = subprocess.run(
            ["npm", "ci"], cwd=FOLDER, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        pytest.skip(f"npm could not install the SDK in {INSTALL_SECONDS} s")
    if done.returncode != 0:
        pytest.skip(f"npm could not install the SDK: {done.stderr.strip()[-300:]}")
    return FOLDER
