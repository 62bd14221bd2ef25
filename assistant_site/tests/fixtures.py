"""The cast of the tests: Alice and Bob, tenants that must never see each other; Lena, who calls a live server."""

import secrets
from typing import TYPE_CHECKING

import pytest

from assistant_site.tests.stack import Stack

if TYPE_CHECKING:  # pytest loads this file before Django is set up
    from assistant_site.tests.callers import LiveCaller, LocalCaller


@pytest.fixture
def alice(db: None) -> "LocalCaller":
    from assistant_site.tests.callers import LocalCaller, new_tenant

    return LocalCaller(*new_tenant("Alice"))


@pytest.fixture
def bob(db: None) -> "LocalCaller":
    from assistant_site.tests.callers import LocalCaller, new_tenant

    return LocalCaller(*new_tenant("Bob"))


@pytest.fixture
def lena(live: Stack) -> "LiveCaller":
    from assistant_site.tests.callers import LiveCaller, new_tenant

    return LiveCaller(*new_tenant("Lena"), live.url)


@pytest.fixture
def own_address() -> str:
    """One that nobody else uses, whatever is counted for it."""
    return f"2001:db8:{secrets.randbelow(65536):x}:{secrets.randbelow(65536):x}::1"
