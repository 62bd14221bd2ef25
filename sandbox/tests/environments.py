"""The environment that tests of the sandbox run in: the checkout's own, built once and kept."""

import os
from functools import cache
from pathlib import Path

from sandbox.environment import HERE, build, default_directory


@cache
def environment_for_tests() -> Path:
    """Its folder; built first if it is missing or old, which takes half a minute and a package index.

    Not below HOLDFAST_VAR: in tests that is a folder of their own, thrown away at the end.
    """
    directory = Path(os.environ.get("SANDBOX_TEST_ENVIRONMENT") or default_directory(HERE.parent / "var"))
    build(directory)
    return directory
