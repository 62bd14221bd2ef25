"""What hostile code sees of the file system, and what it cannot change there."""

import os
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.tests.isolation.hostile import numbers_of
from sandbox.tests.isolation.hosts import PROJECT, Tenant


@pytest.fixture
def canary() -> Iterator[Path]:
    """A file in the host's /tmp that everybody may read."""
    path = Path(tempfile.gettempdir()) / f"canary-{uuid.uuid4().hex}"
    path.write_text("canary")
    path.chmod(0o644)
    yield path
    path.unlink()


def test_the_hosts_files_are_not_found(tenant: Tenant, canary: Path) -> None:
    """F1"""
    places = ["/etc/shadow", "/etc/hostname", "/etc/machine-id", "/root", "/home", os.path.expanduser("~/.ssh"), "/var"]
    places += ["/run", "/boot", "/sys", "/proc/kcore", "/dev/sda", "/dev/mem", "/dev/kmsg", "/dev/fuse"]
    places += [str(PROJECT), str(PROJECT / "var"), str(tenant.host.folder), str(tenant.host.socket), str(canary)]
    told = tenant.probe(
        """
def look(path):
    if os.path.isdir(path):
        os.listdir(path)
    else:
        open(path, "rb").read(1)

roots = ["", "/proc/self/root", "/proc/1/root", "/proc/1/cwd", "/mnt/data/../..", "/proc/self/task/self/root"]
tell({root + path: tried(look, root + path) for path in places for root in roots})
""",
        places=places,
    )

    answered = {path: answer for path, answer in told.items() if answer not in ("ENOENT", "ENOTDIR")}
    allowed = {"/proc/kcore", "/dev/fuse"}  # of a /proc of its own, and refused
    assert {path for path, answer in answered.items() if answer == "ok"} == set(), answered
    assert all(any(path.endswith(each) for each in allowed) for path in answered), answered


def test_the_top_folders_have_only_what_the_launch_names(tenant: Tenant) -> None:
    """F2"""
    told = tenant.probe("tell({place: sorted(os.listdir(place)) for place in ('/', '/etc', '/mnt', '/opt', '/dev')})")

    bound = {"bin", "dev", "etc", "lib", "lib32", "lib64", "libx32", "mnt", "opt", "proc", "sbin", "tmp", "usr"}
    assert set(told["/"]) <= bound
    assert ("proc" in told["/"]) is tenant.host.setup.proc
    assert set(told["/etc"]) <= {"alternatives", "fonts", "group", "ld.so.cache", "localtime", "passwd"}
    assert (told["/mnt"], set(told["/opt"]) <= {"ci", "runner.py"}) == (["data"], True)
    devices = {"console", "core", "fd", "full", "null", "ptmx", "pts", "random", "shm", "stderr", "stdin", "stdout"}
    assert set(told["/dev"]) <= devices | {"tty", "urandom", "zero"}


def test_only_the_three_working_folders_can_be_written(tenant: Tenant) -> None:
    """F3"""
    told = tenant.probe(
        """
def make(folder):
    name = folder + "/written"
    with open(name, "w") as f:
        f.write("x")
    os.unlink(name)

def set_knob(path):
    handle = os.open(path, os.O_WRONLY)
    try:
        os.write(handle, b"0 0 1")
    finally:
        os.close(handle)

closed = ["/", "/usr", "/usr/bin", "/usr/lib", "/etc", "/opt", "/opt/ci", "/opt/ci/bin", "/dev", "/mnt", "/proc",
          "/dev/pts", "/proc/1", "/proc/sys/kernel", "/lib", "/bin"]
knobs = ["/proc/sys/kernel/hostname", "/proc/sys/vm/drop_caches", "/proc/sysrq-trigger",
         "/proc/sys/kernel/core_pattern", "/proc/sys/net/ipv4/ip_forward",
         "/proc/self/uid_map", "/proc/self/gid_map", "/proc/self/setgroups",
         "/proc/sys/user/max_user_namespaces"]
overwritten = ["/opt/runner.py", "/etc/passwd", "/etc/group", "/opt/ci/bin/python", "/usr/bin/env"]
tell({
    "closed": {each: tried(make, each) for each in closed},
    "knobs": {each: tried(set_knob, each) for each in knobs},
    "overwritten": {each: tried(open, each, "r+b") for each in overwritten},
    "removed": {each: tried(os.unlink, each) for each in ["/opt/runner.py", "/etc/passwd", "/bin"]},
    "changed": {each: tried(os.chmod, each, 0o777) for each in ["/", "/usr", "/dev", "/mnt", "/opt"]},
    "open": {each: tried(make, each) for each in ["/mnt/data", "/tmp", "/dev/shm"]},
})
"""
    )

    refused = {"EROFS", "EACCES", "EPERM", "ENOENT", "EINVAL"}
    for kind in ("closed", "knobs", "overwritten", "removed", "changed"):
        assert set(told[kind].values()) <= refused, told[kind]
    assert told["closed"]["/"] == told["closed"]["/dev"] == "EROFS"
    assert set(told["open"].values()) == {"ok"}


MOUNTING = (
    "mount",
    "umount2",
    "chroot",
    "pivot_root",
    "mknod",
    "mknodat",
    "open_tree",
    "move_mount",
    "fsopen",
    "fsconfig",
    "fsmount",
    "fspick",
    "mount_setattr",
    "swapon",
    "quotactl",
    "open_by_handle_at",
)


def test_nothing_can_be_mounted_or_made_a_root(tenant: Tenant) -> None:
    """F4"""
    told = tenant.probe(
        r"""
zeros = (0,) * 6
remount = 32 | 4096  # MS_REMOUNT | MS_BIND: writable again
here, root, name = b"/mnt/data\0", b"/\0", b"/tmp/device\0"
at = ctypes.c_char_p
useful = {
    "mount": (at(here), at(root), at(b"\0"), remount, 0), "umount2": (at(here), 2), "chroot": (at(here),),
    "pivot_root": (at(here), at(here)), "mknod": (at(name), 0o20666, 0x103),
    "mknodat": (-100, at(name), 0o20666, 0x103),
    "open_tree": (-100, at(root), 0), "fsopen": (at(b"tmpfs\0"), 0), "fspick": (-100, at(root), 0),
}
tell({call: [tried(syscall, number, *useful.get(call, zeros)), tried(syscall, number, *zeros)]
      for call, number in numbers.items()})
""",
        numbers=numbers_of(*MOUNTING),
    )

    assert {answer for answers in told.values() for answer in answers} == {"EPERM"}, told
