"""Code that takes memory in every way there is, most of which no process shows as its own.

Each bomb is bounded, at more than its limit: should a protection be missing, the test fails and the machine lives.
"""

import threading
import time
from pathlib import Path

import pytest

from sandbox.protocol import MIB, Reason
from sandbox.tests.isolation.hosts import Host, Outcome, Tenant
from sandbox.tests.isolation.processes import below

LIMIT = 150 * MIB
BOUND = 600  # MiB that a bomb takes at most
PEAK = LIMIT + 512 * MIB


class Peak:
    """The most that the host's sandboxes held at once while this was open, in bytes."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.most = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "Peak":
        self.before = self._held()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(0.05):
            self.most = max(self.most, self._held() - self.before)

    def _held(self) -> int:
        total = 0
        for pid in below(self.host.pid):
            try:
                lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            except OSError:
                continue
            total += sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(("Pss_Anon", "Pss_Shmem")))
        return total


def ends_of(victim: Tenant, code: str, **given: object) -> tuple[Outcome, float]:
    """The outcome of a bomb, and how long it lasted in seconds."""
    bomb = victim.with_limits(memory_bytes=LIMIT, data_bytes=100 * MIB)
    bomb.open()
    with Peak(victim.host) as peak:
        begun = time.monotonic()
        outcome = bomb.start_probe(code, bound=BOUND, **given).outcome()
        lasted = time.monotonic() - begun
    assert peak.most <= PEAK, f"{peak.most / MIB:.0f} MiB"
    again = bomb.open()
    assert again.is_new
    assert bomb.run("print('again')").stdout == "again\n"
    bomb.close()
    return outcome, lasted


@pytest.mark.as_each_user
def test_a_process_that_takes_memory_is_ended(victim: Tenant) -> None:
    """R2: and the next call finds a new session."""
    outcome, lasted = ends_of(
        victim,
        """
kept = []
for _ in range(bound // 4):
    kept.append(b"x" * (4 << 20))
    time.sleep(0.002)
time.sleep(20)
tell("survived")
""",
    )

    assert (outcome.done.reason, outcome.done.restarted, outcome.done.ok) == (Reason.MEMORY, True, False)
    assert "memory" in outcome.done.message
    assert lasted < 4


@pytest.mark.as_each_user
def test_memory_that_is_taken_while_nothing_runs_is_counted(victim: Tenant) -> None:
    """R3: by what an execution has left behind."""
    bomb = victim.with_limits(memory_bytes=LIMIT)
    bomb.probe(
        """
kept = []
def eat():
    time.sleep(1)
    for _ in range(bound // 4):
        kept.append(b"x" * (4 << 20))
        time.sleep(0.008)
threading.Thread(target=eat, daemon=True).start()
tell(None)
""",
        bound=2 * BOUND,
    )
    with Peak(victim.host) as peak:
        deadline = time.monotonic() + 30
        while bomb.files_or_none() is not None and time.monotonic() < deadline:
            time.sleep(0.1)
    assert bomb.files_or_none() is None
    assert peak.most <= PEAK, f"{peak.most / MIB:.0f} MiB"
    assert bomb.open().is_new
    bomb.close()


def test_a_request_for_far_too_much_is_an_ordinary_error(victim: Tenant) -> None:
    """R2: the session lives on."""
    victim.run("kept = 1")
    assert victim.run("bytearray(5 << 30)").error == "MemoryError"
    assert victim.run("print(kept)").stdout == "1\n"


BOMBS = {
    "eight heaps": """
import os
def eat():
    kept = []
    for _ in range(bound // 8 // 4):
        kept.append(b"x" * (4 << 20))
        time.sleep(0.03)
    time.sleep(20)
    os._exit(0)
for _ in range(8):
    if os.fork() == 0:
        eat()
""",
    "heaps that hide": """
import shutil
shutil.copy(sys.executable, "/tmp/eater")
os.chmod("/tmp/eater", 0o111)  # what runs from a file that cannot be read is not shown to others
eat = "\\n".join([
    "import ctypes, time", "PR_SET_DUMPABLE = 4", "ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)", "kept = []",
    f"for _ in range({bound} // 4 // 4): kept.append(b'x' * (4 << 20)); time.sleep(0.02)", "time.sleep(20)",
])
kept = [subprocess.Popen(["/tmp/eater", "-c", eat], env={"PYTHONHOME": sys.base_prefix}) for _ in range(4)]
""",
    "heap and tmpfs": """
kept = [b"x" * (4 << 20) for _ in range(20)]  # 80 MiB, and 80 more in files: each alone is within the limit
with open("/mnt/data/big", "wb") as f:
    for _ in range(80):
        f.write(kept[0][:1 << 20])
""",
    "shared mappings": """
import mmap
kept = []
for _ in range(bound // 8):
    kept.append(mmap.mmap(-1, 8 << 20))
    kept[-1].write(b"x" * (8 << 20))
    time.sleep(0.005)
""",
    "socket buffers": """
def fill():
    kept = []
    for _ in range(450):
        pair = socket.socketpair()
        kept.append(pair)
        for end in pair:
            end.setblocking(False)
            try:
                while end.send(b"x" * 65536):
                    pass
            except BlockingIOError:
                pass
    time.sleep(20)
    os._exit(0)
for _ in range(4):
    if os.fork() == 0:
        fill()
""",
    "pipes": """
def fill():
    kept = []
    for _ in range(450):
        reading, writing = os.pipe()
        kept.append((reading, writing))
        os.set_blocking(writing, False)
        try:
            while os.write(writing, b"x" * 65536):
                pass
        except BlockingIOError:
            pass
    time.sleep(20)
    os._exit(0)
for _ in range(4):
    if os.fork() == 0:
        fill()
""",
}


@pytest.mark.as_each_user
@pytest.mark.parametrize("bomb", BOMBS)
def test_memory_that_hides_is_counted(victim: Tenant, bomb: str) -> None:
    """R3"""
    outcome, lasted = ends_of(victim, BOMBS[bomb] + "\ntime.sleep(15)\ntell('survived')\n")

    assert (outcome.done.reason, outcome.done.restarted) == (Reason.MEMORY, True), outcome
    assert lasted < 5


def test_memory_that_belongs_to_nobody_cannot_be_made(victim: Tenant) -> None:
    """R3: pages of a memfd count for no process."""
    assert victim.probe("tell(tried(os.memfd_create, 'x'))") == "EPERM"
