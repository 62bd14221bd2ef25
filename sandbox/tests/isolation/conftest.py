"""The hosts of the isolation suite. It needs neither PostgreSQL nor Valkey."""

import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from sandbox.tests.environments import environment_for_tests
from sandbox.tests.isolation.hosts import Host, Setup, Tenant
from sandbox.tests.isolation.limits import SMALL

HERE = Path(__file__).parent
IS_ROOT = os.geteuid() == 0
# A daemon that root starts gives each session a user of its own; one that a service user starts cannot.
SETUPS = [Setup(user, proc) for user in (("root", "service") if IS_ROOT else ("service",)) for proc in (True, False)]
# What ends its session or takes seconds is tried in one way, and where the user matters also as a service user.
ONE = SETUPS[:1]
TWO = [SETUPS[0], SETUPS[-1]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.sandbox)
            if shutil.which("bwrap") is None:
                item.add_marker(pytest.mark.skip(reason="bubblewrap is not installed"))


@pytest.fixture(scope="session", autouse=True)
def embedded_servers() -> None:
    """Instead of the session's database and queue: none of it is used here."""


@pytest.fixture(scope="session")
def environment() -> Path:
    """The Python of the model's code."""
    return environment_for_tests()


@pytest.fixture(scope="session")
def without(request: pytest.FixtureRequest) -> tuple[str, ...]:
    """The protections that this session of tests is to do without; none, but in the suite of the walls."""
    named = os.environ.get("SANDBOX_TESTS_WITHOUT", "")
    return tuple(named.split(",")) if named else ()


@contextmanager
def running(setup: Setup, environment: Path) -> Iterator[Host]:
    host = Host(setup, environment)
    try:
        yield host.start()
    finally:
        host.stop()


@pytest.fixture(scope="session", params=SETUPS, ids=str)
def host(request: pytest.FixtureRequest, environment: Path, without: tuple[str, ...]) -> Iterator[Host]:
    """A daemon, in each way it can be started. For the whole session, so use a tenant of your own."""
    with running(replace(request.param, without=without), environment) as started:
        yield started


@pytest.fixture(scope="session")
def strained(request: pytest.FixtureRequest, environment: Path, without: tuple[str, ...]) -> Iterator[Host]:
    """A daemon for what is slow or ends sessions."""
    with running(replace(request.param, without=without), environment) as started:
        yield started


@pytest.fixture(scope="module")
def tenant(host: Host) -> Iterator[Tenant]:
    """One session for all gentle probes of a module."""
    made = Tenant(host)
    yield made
    made.close()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "strained" in metafunc.fixturenames:
        both = metafunc.definition.get_closest_marker("as_each_user") is not None
        metafunc.parametrize("strained", TWO if both else ONE, ids=str, indirect=True, scope="session")


@pytest.fixture
def victim(strained: Host) -> Iterator[Tenant]:
    """A session that the test may ruin."""
    made = Tenant(strained)
    yield made
    made.close()


@pytest.fixture
def own_host(environment: Path, without: tuple[str, ...]) -> Iterator[Callable[..., Host]]:
    """Makes hosts for one test: `own_host(idle_seconds=1)`. They are started, and stopped after the test."""
    made: list[Host] = []

    def make(**changes: object) -> Host:
        plain = Setup("root" if IS_ROOT else "service", without=without)
        made.append(Host(replace(plain, **changes), environment))  # type: ignore[arg-type]
        return made[-1].start()

    try:
        yield make
    finally:
        for each in made:
            each.stop()


NEIGHBOURS_SECRET = "the neighbour's 4711"


@pytest.fixture(autouse=True)
def _others_still_answer(request: pytest.FixtureRequest) -> Iterator[None]:
    """After every test the daemon answers at once, and another tenant's session has kept what it knew."""
    used = next((name for name in ("host", "strained") if name in request.fixturenames), None)
    if used is None:
        yield
        return
    at: Host = request.getfixturevalue(used)
    neighbour = neighbour_of(at)
    yield
    before = time.monotonic()
    assert at.health().is_available
    assert time.monotonic() - before < 10, "the daemon answers late"
    told = neighbour.run("print(secret)")
    assert (told.stdout.strip(), told.done.ok) == (NEIGHBOURS_SECRET, True)


def neighbour_of(host: Host) -> Tenant:
    """A tenant of the host that minds its own business, with a variable and a file."""
    if host.neighbour is None:
        host.neighbour = Tenant(host, SMALL)
        host.neighbour.run(f"secret = {NEIGHBOURS_SECRET!r}; open('secret.txt', 'w').write(secret)")
    return host.neighbour


@pytest.fixture
def neighbour(request: pytest.FixtureRequest) -> Tenant:
    used = "host" if "host" in request.fixturenames else "strained"
    return neighbour_of(request.getfixturevalue(used))
