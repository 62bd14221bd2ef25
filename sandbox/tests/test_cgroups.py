"""Control groups: which the daemon takes, what it writes, and that a session's processes are all in theirs."""

import asyncio
import os
from pathlib import Path

import pytest

from sandbox import cgroups, watchdog
from sandbox.cgroups import Cgroup, Cgroups, find
from sandbox.launch import Launcher, joining
from sandbox.protocol import MIB, Limits
from sandbox.session import Session
from sandbox.tests.environments import environment_for_tests

FILES = ("memory.max", "memory.swap.max", "memory.oom.group", "pids.max", "cpu.max")


class Tree:
    """A folder that looks like the kernel's; the kernel fills a new one by itself, which `make` does here."""

    def __init__(self, root: Path, *, controllers: str = "cpuset cpu io memory pids", members: str = "") -> None:
        self.root = root
        self.ours = root / "system.slice" / "holdfast-sandbox.service"
        self.ours.mkdir(parents=True)
        (self.ours / "cgroup.controllers").write_text(controllers + "\n")
        (self.ours / "cgroup.procs").write_text(members or f"{os.getpid()}\n")
        self.membership = root / "membership"
        self.membership.write_text("4:memory:/x\n0::/system.slice/holdfast-sandbox.service\n")

    def find(self) -> Cgroups | None:
        return find(self.root, self.membership)


def test_a_cgroup_of_its_own_is_divided(tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    assert tree.find() is not None
    assert (tree.ours / "daemon" / "cgroup.procs").read_text() == str(os.getpid())
    assert (tree.ours / "cgroup.subtree_control").read_text() == "+memory +pids +cpu"


@pytest.mark.parametrize(
    ("controllers", "members"),
    [
        ("cpu pids", ""),  # memory was not delegated
        ("", ""),
        ("cpu memory pids", f"{os.getpid()}\n999999999\n"),  # others live there, too
    ],
    ids=["without-memory", "nothing", "with-others"],
)
def test_any_other_is_left_alone(tmp_path: Path, controllers: str, members: str) -> None:
    tree = Tree(tmp_path, controllers=controllers, members=members)
    assert tree.find() is None
    assert not (tree.ours / "daemon").exists()


def test_without_cgroups_there_are_none(tmp_path: Path) -> None:
    (tmp_path / "membership").write_text("4:memory:/x\n")
    assert find(tmp_path, tmp_path / "membership") is None
    assert find(tmp_path, tmp_path / "nothing") is None


def test_a_session_gets_its_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def made(folder: Path) -> None:
        os.mkdir(folder)
        for name in FILES:
            (folder / name).touch()

    monkeypatch.setattr(Path, "mkdir", made)
    cgroup = Cgroups(tmp_path).make(300 * MIB)
    assert cgroup is not None
    written = {name: (cgroup.folder / name).read_text() for name in FILES}
    assert written == {
        "memory.max": str(300 * MIB),
        "memory.swap.max": "0",
        "memory.oom.group": "1",
        "pids.max": "96",
        "cpu.max": "100000 100000",
    }
    assert not cgroup.was_out_of_memory
    (cgroup.folder / "memory.events").write_text("low 0\noom 1\noom_kill 3\n")
    assert cgroup.was_out_of_memory


def test_where_the_kernel_refuses_a_session_has_none(tmp_path: Path) -> None:
    assert Cgroups(tmp_path).make(MIB) is None  # a folder without the kernel's files
    assert list(tmp_path.iterdir()) == []


@pytest.mark.sandbox
def test_all_of_a_sessions_processes_are_in_its_cgroup(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a real hierarchy, if there is one to write to; it may lack the controllers."""
    roots = [path for path in (cgroups.ROOT, cgroups.ROOT / "unified") if (path / "cgroup.procs").exists()]
    if not roots or not os.access(roots[0] / "cgroup.procs", os.W_OK):
        pytest.skip("no cgroup version 2 that this user may write to")

    def without_controllers(self: Cgroup, name: str, value: str) -> None:
        return

    monkeypatch.setattr(Cgroup, "_write", without_controllers)
    folder = roots[0] / f"holdfast-test-{os.getpid()}"
    folder.mkdir()

    async def scene() -> None:
        session = await Session.start(Launcher(environment_for_tests(), cgroups=Cgroups(folder)), Limits(), slot=9)
        try:
            [own] = [path for path in folder.iterdir() if path.is_dir()]
            async for _ in session.execute("import subprocess\nsubprocess.Popen(['sleep', '60'])"):
                pass
            members = {int(pid) for pid in (own / "cgroup.procs").read_text().split()}
            assert set(watchdog.tree(session.init)) <= members
            assert len(members) >= 3
        finally:
            await session.close()
        assert not own.exists()

    try:
        asyncio.run(scene())
    finally:
        folder.rmdir()


def test_a_cgroup_that_cannot_be_entered_keeps_nothing_from_starting(tmp_path: Path) -> None:
    cgroup = Cgroup.__new__(Cgroup)
    cgroup.processes = tmp_path / "nothing" / "cgroup.procs"
    import subprocess

    done = subprocess.run([*joining(cgroup), "/bin/echo", "started"], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr, done.returncode) == ("started\n", "", 0)
