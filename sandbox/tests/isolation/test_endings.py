"""Code that does not end, or ends what it should not."""

import time
import uuid
from collections.abc import Callable

import pytest

from sandbox.protocol import Reason
from sandbox.tests.isolation.hosts import Host, Tenant
from sandbox.tests.isolation.processes import end, gone_within, is_running, so_many_with_words, with_words

ENDLESS = {
    "loop": "while True: pass",
    "sleep": "import time; time.sleep(60)",
    "catches": """
try:
    while True: pass
except BaseException as error:
    print(type(error).__name__)
""",
    "subprocess": "import subprocess; subprocess.run(['sleep', '60'])",
    "magic": "!sleep 60",
    "thread": """
import threading, time
waiting = threading.Thread(target=time.sleep, args=(5,), daemon=True)
waiting.start()
waiting.join()
""",
    "await": "import asyncio\nawait asyncio.sleep(60)",
}


@pytest.mark.parametrize("way", ENDLESS)
def test_code_that_does_not_end_is_interrupted_and_the_state_kept(victim: Tenant, way: str) -> None:
    """I1"""
    quick = victim.with_limits(seconds=1.0)
    quick.run("kept = 4711")
    outcome = quick.run(ENDLESS[way])

    assert (outcome.done.reason, outcome.done.restarted, outcome.done.ok) == (Reason.TIMEOUT, False, False)
    assert "KeyboardInterrupt" in outcome.text + outcome.error
    assert outcome.done.message
    assert quick.run("print(kept)").stdout == "4711\n"
    quick.close()


UNSTOPPABLE = {
    "ignores SIGINT": "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\nwhile True: pass",
    "another program": "import os; os.execv('/usr/bin/env', ['env', 'sleep', '60'])",
    "one C call": "(10 ** 9) ** (10 ** 7)",
    "stopped": "import os, signal; os.kill(os.getpid(), signal.SIGSTOP)",
}


def test_code_that_cannot_be_interrupted_is_ended_by_force(victim: Tenant) -> None:
    """I2: the session is lost and said to be; the next one takes the files again."""
    tenants = {way: victim.with_limits(seconds=1.0) for way in UNSTOPPABLE}
    for each in tenants.values():
        each.put("in.csv", b"1", tag="file-1")
    before = time.monotonic()
    under_way = {way: each.start(UNSTOPPABLE[way]) for way, each in tenants.items()}
    done = {way: each.outcome().done for way, each in under_way.items()}

    assert time.monotonic() - before < 30
    assert {way: (each.reason, each.restarted) for way, each in done.items()} == dict.fromkeys(
        UNSTOPPABLE, (Reason.TIMEOUT, True)
    )
    for each in tenants.values():
        opened = each.open()
        assert (opened.is_new, opened.files) == (True, {})
        each.put("in.csv", b"1", tag="file-1")
        assert each.run("print(open('in.csv').read(), open('file-1').read())").stdout == "1 1\n"
        each.close()


def test_code_that_catches_every_interrupt_ends(victim: Tenant) -> None:
    """I2: by one that it could not catch, or by force."""
    quick = victim.with_limits(seconds=1.0)
    before = time.monotonic()
    outcome = quick.run(
        """
def spin():
    while True:
        sum(range(1000))
while True:
    try:
        spin()
    except BaseException:
        pass
"""
    )

    assert outcome.done.reason == Reason.TIMEOUT
    assert time.monotonic() - before < 30
    assert quick.open().is_new is outcome.done.restarted
    assert quick.run("print(1)").stdout == "1\n"
    quick.close()


def test_endless_recursion_ends(victim: Tenant) -> None:
    """I2"""
    quick = victim.with_limits(seconds=2.0)
    outcome = quick.run("import sys; sys.setrecursionlimit(10**9)\ndef f(): f()\nf()")

    assert not outcome.done.ok
    assert outcome.done.reason in (Reason.TIMEOUT, Reason.DIED, Reason.MEMORY)
    quick.open()
    assert quick.run("print(1)").stdout == "1\n"
    quick.close()


def test_a_cancel_interrupts_what_runs(victim: Tenant) -> None:
    """I3: soon, also what cannot be interrupted; a cancel when nothing runs does nothing."""
    victim.run("kept = 1")
    for code, restarted in (("while True: pass", False), (UNSTOPPABLE["ignores SIGINT"], True)):
        under_way = victim.start(code)
        time.sleep(0.3)
        before = time.monotonic()
        victim.interrupt()
        outcome = under_way.outcome()
        assert time.monotonic() - before < 30
        assert (outcome.done.reason, outcome.done.restarted) == (Reason.INTERRUPTED, restarted)
    victim.open()
    victim.interrupt()
    assert victim.run("print(1)").stdout == "1\n"


DEADLY = {
    "os._exit": "import os; os._exit(3)",
    "segfault": "import ctypes; ctypes.string_at(0)",
    "closes its descriptors": "import os; os.closerange(0, 1024)",
    "kills itself": "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
    "shuts the socket": """
import os, socket, stat, time
for number in range(3, 100):
    try:
        if stat.S_ISSOCK(os.fstat(number).st_mode):
            socket.socket(fileno=number).shutdown(2)
    except OSError:
        pass
time.sleep(60)
""",
}


@pytest.mark.parametrize("way", DEADLY)
def test_code_that_ends_its_session_is_told_so(victim: Tenant, way: str) -> None:
    """I4: and the next call works."""
    before = time.monotonic()
    outcome = victim.run(DEADLY[way])

    assert (outcome.done.reason, outcome.done.restarted, outcome.done.ok) == (Reason.DIED, True, False), outcome
    assert outcome.done.message.endswith(".")
    assert time.monotonic() - before < 30
    assert victim.open().is_new
    assert victim.run("print(1)").stdout == "1\n"


DAEMONS = """
for _ in range(3):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            for number in (1, 2, 15):
                signal.signal(number, signal.SIG_IGN)
            os.execv("/usr/bin/sleep", ["sleep", mark])
        os._exit(0)
time.sleep(0.5)
tell(None)
"""


@pytest.mark.as_each_user
def test_processes_that_hide_end_with_the_session(victim: Tenant) -> None:
    """I5"""
    mark = f"3000.{uuid.uuid4().int % 10**12:012}"
    victim.probe(DAEMONS, mark=mark)
    hidden = so_many_with_words(3, "sleep", mark)
    session = victim.processes()

    victim.close()
    try:
        assert gone_within(10, hidden + session)
    finally:
        end(with_words("sleep", mark))


def test_sessions_end_with_the_daemon(own_host: Callable[..., Host]) -> None:
    """I5: however it ends."""
    host = own_host()
    mark = f"3000.{uuid.uuid4().int % 10**12:012}"
    made = Tenant(host)
    made.probe(DAEMONS, mark=mark)
    stopped = Tenant(host)  # its runner cannot notice that nobody is there any more
    stopped.start("import os, signal; os.kill(os.getpid(), signal.SIGSTOP)")
    time.sleep(0.5)
    sessions = host.processes()

    assert set(with_words("sleep", mark)) < set(sessions)
    host.kill()
    try:
        assert gone_within(10, sessions)
    finally:
        end([pid for pid in sessions if is_running(pid)])
