"""What one tenant's code can see of, or do to, another tenant's session."""

import os
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.tests.isolation.hostile import numbers_of
from sandbox.tests.isolation.hosts import Host, Tenant
from sandbox.tests.isolation.limits import SMALL
from sandbox.tests.isolation.processes import is_running


def test_another_tenants_files_processes_and_sockets_are_not_visible(tenant: Tenant, neighbour: Tenant) -> None:
    """T1"""
    mark = f"2000.{uuid.uuid4().int % 10**12:012}"
    neighbour.probe(
        """
for folder in ("/mnt/data", "/tmp", "/dev/shm"):
    with open(f"{folder}/{mark}", "w") as f:
        f.write(mark)
kept_process = subprocess.Popen(["sleep", mark])
kept_socket = socket.socket(socket.AF_UNIX)
kept_socket.bind("\\0" + mark)
kept_socket.listen()
kept_port = socket.create_server(("127.0.0.1", 47111))
tell(None)
""",
        mark=mark,
    )

    told = tenant.probe(
        """
def reach(family, address):
    with socket.socket(family) as s:
        s.settimeout(2)
        s.connect(address)

# The code itself is in memory, so the mark is put together here.
found = []
for top in ("/mnt", "/tmp", "/dev/shm", "/proc" if has_proc else "/opt"):
    for folder, folders, files in os.walk(top):
        folders[:] = [] if folder.count("/") > 3 else folders
        found += [f"{folder}/{name}" for name in files + folders if name == first + second]
for pid in [p for p in (os.listdir("/proc") if has_proc else ()) if p.isdigit()]:
    if (first + second).encode() in open(f"/proc/{pid}/cmdline", "rb").read():
        found.append(pid)
tell({"found": found, "abstract": tried(reach, socket.AF_UNIX, "\\0" + first + second),
      "port": tried(reach, socket.AF_INET, ("127.0.0.1", 47111)),
      "processes": len([p for p in os.listdir("/proc") if p.isdigit()]) if has_proc else 0})
""",
        first=mark[:6],
        second=mark[6:],
    )
    neighbour.run("kept_process.kill(); kept_process.wait(); kept_socket.close(); kept_port.close()")

    assert told["found"] == []
    assert (told["abstract"], told["port"]) == ("ECONNREFUSED", "ECONNREFUSED")
    assert told["processes"] < 12


@pytest.fixture
def bystander(tenant: Tenant) -> Iterator[subprocess.Popen[bytes]]:
    """A process of the host, of the very user that the session's processes have there."""
    session = tenant.processes()[-1]
    user = os.stat(f"/proc/{session}").st_uid
    if os.geteuid() == 0:
        command = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", "sleep", "1000"]
    else:
        command = ["sleep", "1000"]
    process = subprocess.Popen(command, start_new_session=True)
    yield process
    process.kill()
    process.wait()


def test_signals_end_nothing_outside(host: Host, neighbour: Tenant, bystander: subprocess.Popen[bytes]) -> None:
    """T2"""
    killer = Tenant(host)
    outside = [host.pid, bystander.pid, *neighbour.processes()]
    told = killer.probe(
        """
answers = [tried(os.kill, pid, signal.SIGKILL) for pid in outside]
if "ok" not in answers:  # else this is no namespace of its own, and -1 would be everybody
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    answers.append("init " + tried(os.kill, 1, signal.SIGKILL))
    tried(os.kill, -1, signal.SIGTERM)
tell(answers)
""",
        outside=outside,
    )
    killer.close()

    assert set(told[: len(outside)]) == {"ESRCH"}, told
    assert bystander.poll() is None
    assert all(is_running(pid) for pid in outside)


def test_the_sessions_first_process_cannot_be_traced_or_reached_into(tenant: Tenant) -> None:
    """T3"""
    told = tenant.probe(
        """
room = ctypes.create_string_buffer(64)
arguments = {
    "ptrace": (16, 1, 0, 0), "process_vm_readv": (1, ctypes.addressof(room), 1, ctypes.addressof(room), 1, 0),
    "process_vm_writev": (1, ctypes.addressof(room), 1, ctypes.addressof(room), 1, 0), "pidfd_open": (1, 0),
    "pidfd_getfd": (0, 0, 0), "pidfd_send_signal": (0, 9, 0, 0), "kcmp": (1, os.getpid(), 0, 0, 0),
    "process_madvise": (0, 0, 0, 0, 0),
}
tell({name: tried(syscall, number, *arguments[name]) for name, number in numbers.items()}
     | {"traceme": in_child(lambda: syscall(numbers["ptrace"], 0, 0, 0, 0))})
""",
        numbers=numbers_of(
            "ptrace", "process_vm_readv", "process_vm_writev", "pidfd_open", "pidfd_getfd", "pidfd_send_signal", "kcmp",
            "process_madvise",
        ),
    )  # fmt: skip

    assert set(told.values()) == {"EPERM"}, told


def test_sessions_of_root_have_users_of_their_own(host: Host, tenant: Tenant, neighbour: Tenant) -> None:
    """T2: so that nothing is shared between them on the host, and none is root there."""
    users = {os.stat(f"/proc/{made.processes()[-1]}").st_uid for made in (tenant, neighbour)}

    assert 0 not in users
    assert len(users) == (2 if host.setup.user == "root" else 1)


def test_sessions_are_the_first_to_go_when_the_host_is_out_of_memory(host: Host, tenant: Tenant) -> None:
    """oom_score_adj"""
    processes = tenant.processes()

    assert {Path(f"/proc/{pid}/oom_score_adj").read_text().strip() for pid in processes} == {"1000"}
    lowered = tenant.probe(
        """
import pathlib
path = "/proc/self/oom_score_adj"
tell(tried(pathlib.Path(path).write_text, "-1000") if has_proc else "no /proc")
"""
    )
    assert lowered != "ok"


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (("one", "thread_1"), ("two", "thread_1")),
        (("a", "b:c"), ("a:b", "c")),
        (("a.", "b"), ("a", ".b")),
        (("A", "x"), ("a", "x")),
    ],
)  # fmt: skip
def test_no_two_keys_share_a_session(strained: Host, first: tuple[str, str], second: tuple[str, str]) -> None:
    """S1: the same thread and file names, and ids that look alike."""
    mark = uuid.uuid4().hex
    one, two = (Tenant(strained, SMALL, f"{mark}{owner}", thread) for owner, thread in (first, second))
    one.put("data.csv", b"one")
    one.run("x = 1")
    two.put("data.csv", b"two")

    assert two.run("print(open('data.csv').read(), 'x' in globals())").stdout.strip() == "two False"
    assert (one.read("data.csv"), one.run("print(x)").stdout.strip()) == (b"one", "1")
    assert one.generation != two.generation
    one.close()
    two.close()


def test_a_session_was_never_anybody_elses(strained: Host) -> None:
    """S3: whatever a tenant leaves behind, the next ones find nothing of it, from the pool or not."""
    generations, found = set(), []
    for _ in range(4):
        made = Tenant(strained)
        generations.add(made.open().generation)
        found.append(
            made.probe(
                """
import builtins
tell([getattr(builtins, "left", None), "left" in globals(), os.path.exists("/tmp/left"), os.listdir("/mnt/data"),
      os.path.exists("/dev/shm/left")])
builtins.left = left = 1
for path in ("/tmp/left", "/dev/shm/left", "/mnt/data/left"):
    open(path, "w").close()
"""
            )
        )
        made.close()

    assert found == [[None, False, False, [], False]] * 4
    assert len(generations) == 4
