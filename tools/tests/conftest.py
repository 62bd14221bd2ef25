"""Threads with code, on committed rows: the tool works in threads with connections of their own."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:  # pytest loads this file before Django is set up
    from tools.tests.coding import Coder


@pytest.fixture
def committed(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """Nothing is rolled back: make your own tenant."""
    with django_db_blocker.unblock():
        yield


@pytest.fixture
def cora(committed: None) -> Iterator["Coder"]:
    """A thread whose code runs in a scripted sandbox."""
    from tools.tests.coding import Coder
    from tools.tests.scripted import ScriptedSandbox

    coder = Coder.new(ScriptedSandbox())
    yield coder
    coder.delete(coder.tenant)
