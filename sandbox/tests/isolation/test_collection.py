"""Files with which hostile code would make its reader, the daemon, open something else or wait for ever."""

import json
import os
import time
from pathlib import Path

from sandbox.protocol import FileRefused, SandboxError
from sandbox.tests.isolation.hosts import Tenant

WAYS = """
import pathlib
os.makedirs("folder/deep", exist_ok=True)
made = {
    "good.txt": tried(pathlib.Path("good.txt").write_text, "good"),
    "folder/deep/good.txt": tried(pathlib.Path("folder/deep/good.txt").write_text, "good"),
    "link": tried(os.symlink, "/etc/passwd", "link"),
    "relative": tried(os.symlink, "../../etc/passwd", "relative"),
    "environ": tried(os.symlink, "/proc/1/environ", "environ"),
    "fd": tried(os.symlink, "/proc/self/fd/0", "fd"),
    "host": tried(os.symlink, shadow, "host"),
    "zero": tried(os.symlink, "/dev/zero", "zero"),
    "dir": tried(os.symlink, "/etc", "dir"),
    "loop": tried(os.symlink, "loop", "loop"),
    "own": tried(os.symlink, "good.txt", "own"),
    "hard": tried(os.link, "/etc/passwd", "hard"),
    "fifo.csv": tried(os.mkfifo, "fifo.csv"),
    "device": tried(os.mknod, "device", 0o20666, os.makedev(1, 3)),
    "socket": tried(lambda: socket.socket(socket.AF_UNIX).bind("socket")),
}
tell(made)
"""
NAMES = (
    "link",
    "relative",
    "environ",
    "fd",
    "host",
    "zero",
    "dir",
    "dir/passwd",
    "loop",
    "hard",
    "fifo.csv",
    "device",
    "socket",
    "folder",
    ".",
    "..",
    "",
    "/",
    "/etc/passwd",
    "../../etc/passwd",
    "../data/../../etc/passwd",
    "folder/../../../etc/passwd",
    "good.txt/",
    "/mnt/data/../../etc/hostname",
    "/proc/1/root/etc/passwd",
)


def host_files() -> list[bytes]:
    paths = [Path(path) for path in ("/etc/passwd", "/etc/hostname", "/etc/shadow")]
    return [path.read_bytes() for path in paths if path.exists() and os.access(path, os.R_OK)]


def test_only_regular_files_are_listed_and_read(tenant: Tenant) -> None:
    """C1: nothing of the host, and nothing blocks."""
    made = tenant.probe(WAYS, shadow="/etc/shadow")
    assert (made["link"], made["hard"], made["device"]) == ("ok", "EXDEV", "EPERM")

    before = time.monotonic()
    listed = {file.name for file in tenant.files()}
    assert {"good.txt", "folder/deep/good.txt"} <= listed
    assert listed.isdisjoint(set(NAMES) - {"own"})
    answers, refusals = {}, []
    for name in NAMES:
        try:
            answers[name] = tenant.read(name, seconds=5)
        except FileRefused as refused:
            refusals.append(str(refused))
    assert all(refusals)
    assert time.monotonic() - before < 30
    assert not [name for name, data in answers.items() if data in host_files()]
    # Through a folder's link: the sandbox's own file, which the code can read anyway.
    assert set(answers) <= {"dir/passwd"}
    assert tenant.read("good.txt") == tenant.read("folder/deep/good.txt") == b"good"


def test_a_file_is_not_put_through_what_lies_there(tenant: Tenant) -> None:
    """C1: a link, a folder or a FIFO in the way is replaced or refused; nothing blocks."""
    tenant.probe(
        """
os.symlink("/tmp/elsewhere", "a.csv")
os.makedirs("b.csv/x", exist_ok=True)
tried(os.mkfifo, "c.csv")
os.symlink("/etc", "e")
tell(None)
"""
    )
    before = time.monotonic()
    for name in ("a.csv", "b.csv", "c.csv", "e/x.csv", "../x.csv", "/tmp/y.csv", "", ".", "x" * 300, "n\0l"):
        try:
            tenant.put(name, b"data")
        except FileRefused:
            continue
    told = tenant.probe(
        "tell([os.path.exists(p) for p in ('/tmp/elsewhere', '/tmp/x.csv', '/mnt/x.csv', '/tmp/y.csv')])"
    )

    assert told == [False] * 4
    assert time.monotonic() - before < 30


def test_names_of_files_never_break_the_answer(tenant: Tenant) -> None:
    """C2"""
    told = tenant.probe(
        r"""
names = [b"new\nline", b"esc\x1b[31m", b"undecodable\xff\xfe", b"quote\"'", b"back\\slash", b"tab\t",
         "ünïcode".encode(),
         b"x" * 255, b"\xf0\x9f\x98\x80", b"-rf", b" ", b"%2e%2e%2f", "\u202ertl".encode(), b"..hidden", b"a;b&c|d",
         "\ud800".encode("utf-8", "surrogatepass"), b"\r\nSet-Cookie: x"]
for name in names:
    with open(b"/mnt/data/" + name, "wb") as f:
        f.write(b"data")
tell(tried(open, b"/mnt/data/" + b"x" * 256, "wb"))
"""
    )
    assert told == "ENAMETOOLONG"
    listed = tenant.files()

    assert {"ünïcode", "😀", "x" * 255} <= {file.name for file in listed}
    for file in listed:
        json.dumps(file.name).encode()
        file.name.encode()  # no surrogates
        assert file.name.isprintable()
        try:
            assert tenant.read(file.name) in (b"data", b"good")
        except FileRefused:
            continue
    outcome = tenant.run("open('changed\\n.txt', 'w').close(); open('changed.txt', 'w').close()")
    assert "changed.txt" in {file.name for file in outcome.done.changed}


def test_a_file_swapped_between_listing_and_reading(tenant: Tenant) -> None:
    """C3: what is read is the sandbox's own file, or nothing."""
    tenant.probe(
        """
open("/mnt/data/swapped", "w").write("own")
def swap():
    while go_on:
        for make in (lambda: os.symlink("/etc/hostname", "/mnt/data/.new"),
                     lambda: os.symlink("/etc/passwd", "/mnt/data/.new"),
                     lambda: open("/mnt/data/.new", "w").write("own")):
            try:
                make()
                os.rename("/mnt/data/.new", "/mnt/data/swapped")
            except OSError:
                pass
go_on = True
threading.Thread(target=swap, daemon=True).start()
tell(None)
"""
    )
    got: list[bytes | None] = []
    for _ in range(40):
        tenant.files()
        try:
            got.append(tenant.read("swapped"))
        except FileRefused:
            got.append(None)
    tenant.run("go_on = False")

    assert set(got) <= {b"own", b"", None}
    assert b"own" in got


def test_a_file_that_shrinks_or_grows_while_it_is_read_harms_nobody(tenant: Tenant) -> None:
    """C3"""
    tenant.probe(
        """
def breathe():
    with open("/mnt/data/breathing", "wb") as f:
        while go_on:
            for size in (0, 4_000_000, 10):
                f.truncate(size)
go_on = True
threading.Thread(target=breathe, daemon=True).start()
time.sleep(0.05)
tell(None)
"""
    )
    for _ in range(10):
        try:
            assert len(tenant.read("breathing", most=5_000_000)) <= 5_000_000
        except SandboxError:
            continue
    tenant.run("go_on = False")
    assert tenant.run("print(1)").stdout == "1\n"
