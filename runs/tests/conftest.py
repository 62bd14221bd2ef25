"""Runs with code, in processes whose sandbox is a clockwork."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from assistant_site.tests.stack import Stack

if TYPE_CHECKING:  # pytest loads this file before Django is set up
    from runs.tests.coding import CodingCaller


@pytest.fixture(scope="module")
def clockwork_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("clockwork")


@pytest.fixture(scope="module")
def coding_stack(stack: Stack, clockwork_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Processes that run code by the clock; the session's own worker rests meanwhile."""
    from runs.tests.clockwork.sandbox import FOLDER

    stack.stop("worker-1")
    env = {
        "DJANGO_SETTINGS_MODULE": "runs.tests.clockwork.settings",
        FOLDER: str(clockwork_folder),
        "RUN_LEASE_SECONDS": "3",
        "WORKER_DRAIN_SECONDS": "1",
    }
    with Stack(folder=tmp_path_factory.mktemp("coding"), ingestions=0, env=env) as running:
        yield running
    stack.start("worker-1")
    stack.wait_ready()


@pytest.fixture
def cora(live: Stack, coding_stack: Stack, clockwork_folder: Path) -> "CodingCaller":
    """A caller whose runs have code. (`live` gives the test access to the database.)"""
    from assistant_site.tests.callers import new_tenant
    from runs.tests.clockwork.sandbox import Clockwork
    from runs.tests.coding import CodingCaller

    return CodingCaller(*new_tenant("Cora"), coding_stack.url, Clockwork(clockwork_folder))
