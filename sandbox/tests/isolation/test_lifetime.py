"""Sessions that end by time or with the daemon, and a sandbox that must refuse to run anything."""

import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sandbox.protocol import SandboxUnavailable, SessionGone
from sandbox.tests.isolation.hosts import Host, Tenant
from sandbox.tests.isolation.processes import below, gone_within

Hosts = Callable[..., Host]


@pytest.mark.parametrize("ends", ["idle", "age"])
def test_a_session_ends_by_time_and_the_next_one_is_new(own_host: Hosts, ends: str) -> None:
    """S2: it is told, and its files are to be put back."""
    host = own_host(**{f"{ends}_seconds": 1.5})
    made = Tenant(host)
    first = made.open()
    made.put("in.csv", b"1", tag="file-1")
    made.run("x = 1")
    processes = below(host.pid)

    assert gone_within(10, processes)
    with pytest.raises(SessionGone):
        made.run("print(x)")
    second = made.open()
    assert (second.is_new, second.files) == (True, {})
    assert second.generation != first.generation
    assert made.run("x").error == "NameError"


def test_a_new_daemon_knows_no_session_of_the_old_one(own_host: Hosts) -> None:
    """S2"""
    host = own_host()
    made = Tenant(host)
    first = made.open()
    made.run("x = 1")
    host.kill()
    host.start()

    with pytest.raises(SessionGone):
        made.run("print(x)")
    second = made.open()
    assert (second.is_new, second.generation != first.generation) == (True, True)


REFUSALS = {
    "missing": None,
    "namespaces": "bwrap: No permissions to create new namespace, likely because the kernel does not allow it",
    "maps": "bwrap: setting up uid map: Permission denied",
}


@pytest.fixture
def programs() -> Iterator[Path]:
    """A folder with what a session is started with, but for bubblewrap, for every user to read."""
    with tempfile.TemporaryDirectory(prefix="programs-", dir="/tmp") as name:
        folder = Path(name)
        folder.chmod(0o755)
        for program in ("setpriv", "prlimit", "nice", "choom", "sh"):
            (folder / program).symlink_to(Path("/usr/bin", program))
        yield folder


@pytest.mark.parametrize("why", REFUSALS)
def test_without_a_working_bubblewrap_nothing_is_executed(own_host: Hosts, programs: Path, why: str) -> None:
    """D1: the tool is off, and a sentence says what to do."""
    if refusal := REFUSALS[why]:
        lines = ["#!/bin/sh", "case $1 in --version) echo bubblewrap 0.8.0; exit 0;; esac", f"echo '{refusal}' >&2"]
        (programs / "bwrap").write_text("\n".join([*lines, "exit 1", ""]))
        (programs / "bwrap").chmod(0o755)

    _is_off(own_host(path=f"{programs}", self_test=True))


@pytest.mark.parametrize("removed", ["seccomp", "unshare-net", "rlimit-nproc", "remount-ro", "empty-environment"])
def test_with_a_protection_missing_nothing_is_executed(own_host: Hosts, removed: str) -> None:
    """D1: the self-test notices by itself."""
    _is_off(own_host(without=(removed,), self_test=True))


def _is_off(host: Host) -> None:
    health = host.health()
    assert not health.is_available
    assert health.reason.endswith("."), health
    assert health.remedy, health
    with pytest.raises(SandboxUnavailable):
        Tenant(host).run("print(1)")


def test_with_all_its_protections_the_self_test_passes(own_host: Hosts) -> None:
    """D1: the other way round, so that the tests above say something."""
    health = own_host(self_test=True).health()

    assert health.is_available, health.sentence


def test_only_the_daemons_user_may_speak_to_it(own_host: Hosts) -> None:
    """D1: the socket is nobody else's."""
    host = own_host()

    assert stat.S_IMODE(host.socket.stat().st_mode) & 0o007 == 0
