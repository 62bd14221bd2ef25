"""The test session: an installation of its own in a temporary folder, blind to the developer's environment."""

import os
import re
import shutil
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

PROJECT = Path(__file__).resolve().parent


def _settings_names() -> set[str]:
    """Every variable that settings.py reads, so that none of a developer's own can change a test."""
    source = (PROJECT / "assistant_site" / "settings.py").read_text()
    calls = re.findall(r"env\.(?:text|number|flag|urls?|items|hosts|choices?|path)\(([^)]*)", source)
    return {name for call in calls for name in re.findall(r'"([A-Z][A-Z0-9_]+)"', call)}


# Before Django reads its settings, which pytest-django makes it do after this file.
for _name in _settings_names():
    os.environ.pop(_name, None)
    os.environ.pop(f"{_name}_FILE", None)
VAR = Path(tempfile.mkdtemp(prefix="holdfast-test-")).resolve()
VAR.chmod(0o711)  # as root, PostgreSQL runs as another user and must get to its data
os.environ["HOLDFAST_VAR"] = str(VAR)
os.environ["HOLDFAST_ENV_FILE"] = os.devnull
os.environ["DJANGO_SETTINGS_MODULE"] = "assistant_site.settings"

import django  # noqa: E402

django.setup()  # before test modules import models; pytest-django looked for settings before this file set them

from django.contrib import admin  # noqa: E402

admin.autodiscover()  # as the URLs do: tests that go through its pages would find none if they came first

from assistant_site.embedded.services import Services  # noqa: E402
from assistant_site.tests.stack import Stack  # noqa: E402

pytest_plugins = ["assistant_site.tests.fixtures"]

# The same examples each time, however busy the machine is; HYPOTHESIS_PROFILE=exploring looks for new ones.
hypothesis.settings.register_profile(
    "fixed",
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.register_profile("exploring", deadline=None)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fixed"))

# The data is thrown away with the folder, so it need not survive a power cut; and Django may empty it between tests.
THROWAWAY = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "holdfast.audit_may_be_emptied": "on",
}


@pytest.fixture(scope="session", autouse=True)
def embedded_servers() -> Iterator[Services]:
    """PostgreSQL and Valkey for the session."""
    from django.conf import settings

    services = Services.of(
        var=settings.VAR_DIR,
        sockets=settings.EMBEDDED_SOCKET_DIR,
        password=settings.EMBEDDED_DATABASE_PASSWORD,
        database=True,
        valkey=True,
        options=THROWAWAY,
    )
    services.start()
    try:
        yield services
    finally:
        services.stop()


@pytest.fixture(scope="session")
def django_db_setup(embedded_servers: Services, django_test_environment: None, django_db_blocker: Any) -> None:
    """The test database, also for tests that use it through `live` only, which pytest-django would not see.

    It is not dropped: it goes with the folder, and dropping would fail while somebody is still connected.
    """
    from django.test.utils import setup_databases

    with django_db_blocker.unblock():
        setup_databases(verbosity=0, interactive=False, keepdb=True)


@pytest.fixture(scope="session")
def stack(django_db_setup: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A web and a worker process on the test database; the demo model answers. For the whole session."""
    running = Stack(folder=tmp_path_factory.mktemp("stack"))
    running.start()
    try:
        running.wait_ready()
        yield running
    finally:
        running.stop()


@pytest.fixture
def live(stack: Stack, django_db_blocker: Any) -> Iterator[Stack]:
    """The running `stack`, with access to its database from the test. Nothing is rolled back: make your own tenant."""
    with django_db_blocker.unblock():
        yield stack


def _keeps_its_rows(item: pytest.Item) -> bool:
    """Whether the test works on the database without a transaction that is rolled back after it."""
    names = set(getattr(item, "fixturenames", ()))
    return "django_db_setup" in names and "db" not in names and item.get_closest_marker("django_db") is None


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files whose tests leave rows behind come last, so that the others meet the empty tables that they count on."""
    leaving = {item.path for item in items if _keeps_its_rows(item)}
    items.sort(key=lambda item: item.path in leaving)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """What the processes logged belongs to a failure."""
    report = yield
    if report.failed:
        for running in Stack.started:
            report.sections.append((f"logs of {running}", running.logs()))
    if call.when == "teardown":
        Stack.started[:] = [each for each in Stack.started if each.is_running]
    return report


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes() -> None:
    """Each process of several has an installation of its own: none may load settings before this file has named it."""
    del os.environ["DJANGO_SETTINGS_MODULE"]


def pytest_unconfigure(config: pytest.Config) -> None:
    shutil.rmtree(VAR, ignore_errors=True)
