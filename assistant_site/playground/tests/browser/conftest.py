"""One Holdfast and one browser for all tests here; a tenant and a browser context for each."""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from assistant_site.tests.stack import Stack

if TYPE_CHECKING:  # pytest loads this file before Django is set up
    from playwright.sync_api import Browser

    from assistant_site.playground.tests.browser.visits import Contexts, Visit, Visiting
    from assistant_site.tests.callers import LiveCaller


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker(pytest.mark.browser)


def sandbox_is_built() -> bool:
    """Whether the code interpreter's Python is there; `make sandbox` builds it."""
    from sandbox.environment import HERE, default_directory

    directory = Path(os.environ.get("SANDBOX_TEST_ENVIRONMENT") or default_directory(HERE.parent / "var"))
    return directory.exists()


@pytest.fixture(scope="session")
def browser() -> "Iterator[Browser]":
    from assistant_site.playground import chromium

    # Playwright's loop runs beneath the tests, in their thread. They are synchronous all the same, whatever Django
    # concludes from it.
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    try:
        with chromium.opened() as opened:
            yield opened
    except chromium.NoBrowser as missing:
        pytest.fail(str(missing), pytrace=False)
    finally:
        del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]


@pytest.fixture(scope="session")
def playground(
    django_db_setup: None, django_db_blocker: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    """Processes with a playground that a link opens, and with a sandbox if there is one; the demo model answers."""
    from assistant_site.playground.tests.browser.visits import KEY

    folder = tmp_path_factory.mktemp("playground")
    with (
        django_db_blocker.unblock(),
        Stack.workers_of_others_rest(),
        Stack(folder=folder, sandbox=sandbox_is_built(), env={"PLAYGROUND_KEY": KEY}) as running,
    ):
        if sandbox_is_built():
            wait_for_code(running)
        yield running


def wait_for_code(running: Stack) -> None:
    """Until runs that begin now are offered the code interpreter."""
    import requests

    deadline = time.monotonic() + 60
    while requests.get(f"{running.url}/health", timeout=10).json()["code_interpreter"]["state"] != "available":
        assert time.monotonic() < deadline, running.logs()
        time.sleep(0.2)


@pytest.fixture
def vera(playground: Stack, django_db_blocker: Any) -> "Iterator[LiveCaller]":
    """A tenant whose token a program uses beside the browser."""
    from assistant_site.tests.callers import LiveCaller, new_tenant

    with django_db_blocker.unblock():
        yield LiveCaller(*new_tenant("Vera"), playground.url)


@pytest.fixture(scope="session")
def contexts(browser: "Browser", playground: Stack) -> "Contexts":
    from assistant_site.playground.tests.browser.visits import Contexts

    return Contexts(browser, playground.url)


@pytest.fixture
def visiting(contexts: "Contexts", playground: Stack) -> "Iterator[Visiting]":
    """Makes visits, which must end without a complaint."""
    from assistant_site.playground.tests.browser.visits import Visit

    visits: list[Visit] = []

    def visit(caller: Any = None, **options: Any) -> Visit:
        visits.append(Visit(contexts, playground.url, caller, **options))
        return visits[-1]

    yield visit
    for each in visits:
        each.close()


@pytest.fixture
def visit(visiting: "Visiting", vera: "LiveCaller") -> "Visit":
    """Vera, signed in, on a wide screen."""
    return visiting(vera)
