"""Code that speaks to the daemon in the runner's name, or listens to what the runner is told."""

import os
import time
import uuid

import pytest

from sandbox.protocol import MIB, Reason, SandboxError
from sandbox.tests.isolation.hosts import Tenant

# A frame: length of the header (u32, big-endian), the header in JSON, as many bytes of payload as it says in `bytes`.
FORGED = {
    "a header of 4 GiB": r"""send(b"\xff\xff\xff\xff" + b"x" * 1000)""",
    "a header of 1 MiB": r"""raw(b" " * (1 << 20))""",
    "an empty header": r"""send(bytes(4))""",
    "a payload of 4 GiB": """
frame({"event": "stdout", "bytes": 1 << 32})
while True:
    send(b"x" * (1 << 20))
""",
    "deep JSON": r"""raw(b"[" * 60_000)""",
    "a list": r"""raw(b"[1, 2, 3]")""",
    "a number": r"""raw(b"5")""",
    "no JSON": r"""raw(b"\xff\xfe{}")""",
    "no event": r"""frame({"bytes": 0})""",
    "no length": r"""frame({"event": "stdout"})""",
    "an event that is no text": r"""frame({"event": 5, "bytes": 0})""",
    "an unknown event": r"""frame({"event": "root", "bytes": 1}, b"x")""",
    "a negative length": r"""frame({"event": "stdout", "bytes": -1})""",
    "a length that is no number": r"""raw(b'{"event": "stdout", "bytes": NaN}')""",
    "a length that is true": r"""frame({"event": "stdout", "bytes": True}, b"x")""",
    "a huge number": r"""raw(b'{"event": "stdout", "bytes": ' + b"9" * 60_000 + b"}")""",
    "an answer to nothing": r"""frame({"re": 4711, "bytes": 0})""",
    "the end of another": r"""frame({"event": "done", "id": 4711, "ok": True, "bytes": 2}, b"[]")""",
    "files of wrong types": r"""frame({"event": "done", "id": 4711, "ok": True, "bytes": 13}, b'[{"name": 5}]')""",
    "endless empty frames": """
while True:
    frame({"event": "stdout", "bytes": 0})
""",
    "endless headers": """
while True:
    frame({"event": "stdout", "bytes": 0, "more": "x" * 60_000})
""",
}
SENDING = """
number = control()
def send(data):
    while data:
        data = data[os.write(number, data):]
def raw(header, payload=b""):
    send(len(header).to_bytes(4, "big") + header + payload)
def frame(header, payload=b""):
    raw(json.dumps(header).encode(), payload)
"""


@pytest.mark.parametrize("way", FORGED)
def test_a_forged_frame_ends_the_session(victim: Tenant, way: str) -> None:
    """P1: the daemon's memory stays flat."""
    quick = victim.with_limits(seconds=10.0)
    quick.open()
    before = quick.host.memory()
    begun = time.monotonic()
    outcome = quick.start_probe(SENDING + FORGED[way] + "\ntime.sleep(60)\n").outcome()

    assert outcome.done.restarted, outcome
    assert outcome.done.reason in (Reason.DIED, Reason.OUTPUT), outcome
    assert time.monotonic() - begun < 30
    assert quick.host.memory() - before < 30 * MIB
    assert quick.open().is_new
    assert quick.run("print(1)").stdout == "1\n"
    quick.close()


# The runner's own variables are in the frames that called the code.
DONE = """
at = sys._getframe()
while not {"re", "code"} <= set(at.f_locals):
    at = at.f_back
frame({"event": "done", "id": at.f_locals["re"], "ok": True, "bytes": 2}, b"[]")
while True:
    pass
"""


def test_a_forged_end_harms_only_its_author(victim: Tenant) -> None:
    """P1: it cannot be told from a real one, so the next call first makes sure that somebody answers."""
    quick = victim.with_limits(seconds=2.0)
    quick.run("kept = 1")
    forged = quick.start_probe(SENDING + DONE).outcome()
    assert forged.done.reason == Reason.COMPLETED

    begun = time.monotonic()
    try:
        after = quick.run("print(6 * 7)")
        answered = (after.done.ok and after.stdout == "42\n") or after.done.restarted
    except SandboxError:
        answered = True
    assert answered
    assert time.monotonic() - begun < 20
    opened = quick.open()
    assert quick.run("print(6 * 7)").stdout == "42\n", opened
    quick.close()


def test_descriptors_cannot_be_handed_to_the_daemon(victim: Tenant) -> None:
    """P1: they would be its own to run out of."""
    victim.run("1")
    before = len(os.listdir(f"/proc/{victim.host.pid}/fd"))
    outcome = victim.start_probe(
        SENDING
        + """
import array
handles = array.array("i", [os.open("/dev/null", os.O_RDONLY)] * 100)
header = json.dumps({"event": "stdout", "bytes": 0}).encode()
with socket.socket(fileno=os.dup(number)) as wire:
    for _ in range(5):
        wire.sendmsg([len(header).to_bytes(4, "big") + header], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, handles)])
time.sleep(0.3)
tell(None)
"""
    ).outcome()

    assert outcome.done.ok, outcome
    assert len(os.listdir(f"/proc/{victim.host.pid}/fd")) <= before + 5


def test_listening_on_the_control_channel_harms_only_the_own_session(victim: Tenant) -> None:
    """P2"""
    quick = victim.with_limits(seconds=2.0)
    quick.probe(
        """
number = control()
if os.fork() == 0:
    while True:
        try:
            if not os.read(number, 65536):
                os._exit(0)
        except OSError:
            time.sleep(0.001)
tell(None)
"""
    )
    begun = time.monotonic()
    for _ in range(3):
        try:
            outcome = quick.run("print(6 * 7)")
        except SandboxError:
            break
        assert outcome.stdout in ("42\n", "")
        if outcome.done.restarted:
            break
    assert time.monotonic() - begun < 20
    quick.close()
    quick.open()
    assert quick.run("print(6 * 7)").stdout == "42\n"
    quick.close()


def test_a_finished_call_is_not_executed_again(victim: Tenant) -> None:
    """P3: the same events, from the daemon."""
    call_id = f"call_{uuid.uuid4().hex}"
    victim.run("runs = []")
    code = "runs.append(1); print('x' * 3); open('made.txt', 'w').write('1'); runs"
    first = victim.run(code, call_id)
    again = victim.run(code, call_id)
    under_way = [victim.start("import time; time.sleep(0.5); runs.append(2); runs", f"{call_id}-2") for _ in range(3)]

    assert again == first
    assert len({each.outcome() for each in under_way}) == 1
    assert victim.run("print(runs)").stdout == "[1, 2]\n"
