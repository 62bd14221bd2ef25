"""Code that takes all it can get: processes, disk, output, processors."""

import io
import struct
import time
import zipfile
import zlib

import pytest

from sandbox.protocol import MIB, FileRefused, Reason
from sandbox.tests.isolation.hosts import Tenant
from sandbox.tests.isolation.limits import SMALL
from sandbox.tests.isolation.processes import below, gone_within, threads_below, threads_of

PROCESSES = 64
# Bounded, should the limit be missing.
FORKS = {
    "forks": """
made = 0
try:
    for _ in range(150):
        if os.fork() == 0:
            time.sleep(30)
            os._exit(0)
        made += 1
except OSError as error:
    print(errno.errorcode[error.errno])
print(made, flush=True)
""",
    "threads": """
made = 0
try:
    for _ in range(400):
        threading.Thread(target=time.sleep, args=(30,), daemon=True).start()
        made += 1
except RuntimeError:
    pass
print(made, flush=True)
""",
    "shell": """
bomb = 'b() { if [ $1 -gt 7 ]; then sleep 30; else b $(($1 + 1)) & b $(($1 + 1)) & wait; fi; }; b 1'
kept = subprocess.Popen(["sh", "-c", bomb], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
time.sleep(1.5)
made = 0
""",
}


@pytest.mark.as_each_user
@pytest.mark.parametrize("way", FORKS)
def test_processes_and_threads_stop_at_their_limit(victim: Tenant, way: str) -> None:
    """R1: another session starts meanwhile; all are gone when the session is closed."""
    forking = victim.with_limits(memory_bytes=1024 * MIB)  # what the forks share is counted for each, up to a point
    first = forking.processes()[0]
    under_way = forking.start_probe(FORKS[way] + "\ntime.sleep(2)\ntell(made)\n")
    if way != "shell":  # which gives up where it fails
        assert sum(map(threads_of, threads_below(first, PROCESSES - 8))) >= PROCESSES - 8
    time.sleep(1.5)
    many = below(first)
    assert sum(map(threads_of, many)) <= PROCESSES + 4  # beside the limit: the launcher's own two
    second = Tenant(victim.host)
    assert second.run("import subprocess; print(subprocess.run(['echo', 'up'], capture_output=True).stdout)").done.ok
    second.close()
    outcome = under_way.outcome()
    assert outcome.done.ok, outcome
    forking.close()
    assert gone_within(10, many)


def test_full_disks_are_errors_of_the_code(victim: Tenant) -> None:
    """R4"""
    full = victim.with_limits(memory_bytes=1024 * MIB, data_bytes=16 * MIB)
    told = full.probe(
        """
def fill(folder, most):
    written = 0
    try:
        with open(folder + "/big", "wb", 0) as f:
            while written < most:
                written += f.write(b"x" * (1 << 20))
        answer = "ok"
    except OSError as error:
        answer = errno.errorcode[error.errno]
    os.unlink(folder + "/big")
    return [answer, written >> 20]

tell({folder: fill(folder, 300 << 20) for folder in ("/mnt/data", "/tmp", "/dev/shm")}
     | {"one file": tried(os.truncate, os.open("/tmp/sparse", os.O_CREAT | os.O_RDWR), 600 << 20)})
"""
    )
    full.close()

    assert told.pop("one file") == "EFBIG"
    assert {answer for answer, _ in told.values()} == {"ENOSPC"}
    assert [mebibytes for _, mebibytes in told.values()] == pytest.approx([16, 128, 64], abs=1)


@pytest.mark.as_each_user
@pytest.mark.parametrize("folder", ["/mnt/data", "/tmp", "/dev/shm"])
def test_very_many_empty_files_end_the_session(victim: Tenant, folder: str) -> None:
    """R5: their inodes are kernel memory that no size of a file system bounds."""
    outcome = victim.start_probe(
        """
for i in range(60_000):
    os.close(os.open(f"{folder}/{i}", os.O_CREAT | os.O_WRONLY))
time.sleep(10)
tell("survived")
""",
        folder=folder,
    ).outcome()

    assert (outcome.done.reason, outcome.done.restarted) == (Reason.DISK, True), outcome


def test_a_zip_bomb_ends_at_the_size_of_the_disk(victim: Tenant) -> None:
    """R6"""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("zeros", "w") as zeros:
        for _ in range(64):
            zeros.write(bytes(MIB))
    victim.put("bomb.zip", packed.getvalue())

    assert len(packed.getvalue()) < 100_000
    told = victim.probe("import zipfile\ntell(tried(zipfile.ZipFile('bomb.zip').extractall))")
    assert told == "ENOSPC"
    assert victim.run("print('lives')").done.ok


def test_a_sparse_file_is_cut_by_what_the_reader_takes(victim: Tenant) -> None:
    """R6"""
    large = victim.with_limits(memory_bytes=1024 * MIB, data_bytes=512 * MIB)
    large.run("f = open('sparse.bin', 'wb'); f.truncate(500 << 20); f.close()")

    assert next(file.bytes for file in large.files() if file.name == "sparse.bin") == 500 * MIB
    before = large.host.memory()
    with pytest.raises(FileRefused):
        large.read("sparse.bin", most=10 * MIB)
    assert large.host.memory() - before < 40 * MIB
    large.close()


def test_a_huge_picture_is_passed_on_undecoded(victim: Tenant) -> None:
    """R6: 900 megapixels in some 110 kB"""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = zlib.compress(bytes(30_000 * (1 + 30_000 // 8)), 9)
    picture = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 30_000, 30_000, 1, 0, 0, 0, 0))
    picture += chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    before = victim.host.memory()
    victim.put("huge.png", picture)
    outcome = victim.run("from IPython.display import Image\ndisplay(Image(data=open('huge.png', 'rb').read()))")

    assert [image.data for image in outcome.images] == [picture]
    assert outcome.images[0].mime == "image/png"
    assert victim.host.memory() - before < 20 * MIB


@pytest.mark.parametrize("stream", ["stdout", "stderr", "display", "child"])
def test_endless_output_is_cut_and_then_ended(victim: Tenant, stream: str) -> None:
    """R7: the daemon keeps little of it."""
    codes = {
        "stdout": "while True: print('x' * 1000)",
        "stderr": "import sys\nwhile True: print('x' * 1000, file=sys.stderr)",
        "display": "while True: display('x' * 50_000)",
        "child": "import subprocess; subprocess.run(['yes', 'x' * 1000])",
    }
    before = victim.host.memory()
    outcome = victim.run(codes[stream])

    assert (outcome.done.reason, outcome.done.restarted) == (Reason.OUTPUT, True), outcome.done
    assert len(outcome.text.encode()) <= SMALL.text_bytes + 10_000
    assert victim.host.memory() - before < 40 * MIB


UNHEARD = {
    "child": "kept = subprocess.Popen(['sh', '-c', 'sleep 1; exec yes ' + 'x' * 1000])",
    "frames": """
header = json.dumps({"event": "stdout", "bytes": 0}).encode()
number, pieces = control(), (len(header).to_bytes(4, "big") + header) * 1000

def flood():
    time.sleep(1)
    while True:
        left = pieces
        while left:
            left = left[os.write(number, left):]

threading.Thread(target=flood, daemon=True).start()
""",
}


@pytest.mark.parametrize("way", UNHEARD)
def test_output_that_nobody_waits_for_ends_the_session(victim: Tenant, way: str) -> None:
    """R7: it would keep the daemon busy for as long as an idle session lives."""
    victim.probe(UNHEARD[way] + "\ntell(None)\n")
    deadline = time.monotonic() + 60
    while victim.files_or_none() is not None and time.monotonic() < deadline:
        before = time.monotonic()
        assert victim.host.health().is_available
        assert time.monotonic() - before < 10
        time.sleep(0.1)

    assert victim.files_or_none() is None


def test_spinning_processors_keep_nobody_waiting(victim: Tenant) -> None:
    """R8"""
    busy = victim.with_limits(seconds=5.0)
    spinning = busy.start_probe(
        """
for _ in range(6):
    if os.fork() == 0:
        while True:
            pass
while True:
    pass
"""
    )
    other = Tenant(victim.host)
    other.run("1")
    answers = 0
    while not spinning.is_over:
        assert victim.host.health().is_available
        assert other.run("1").done.ok
        answers += 1
        time.sleep(0.1)
    busy.close()
    other.close()

    assert answers > 2
    assert spinning.outcome().done.reason == Reason.TIMEOUT
