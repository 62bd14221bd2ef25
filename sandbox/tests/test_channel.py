"""Code that speaks on the runner's own channel: it spoils its own session at most."""

import asyncio

import pytest

from sandbox.protocol import Limits, Reason, SessionGone
from sandbox.tests.test_session import Play, play

# Finds the channel among the process's descriptors, and says something on it.
SPEAK = """
import json, os, stat, struct, threading, time
def is_socket(descriptor):
    try:
        return stat.S_ISSOCK(os.fstat(descriptor).st_mode)
    except OSError:
        return False
[channel] = filter(is_socket, range(1024))
def frame(**header):
    head = json.dumps(header).encode()
    return struct.pack('>I', len(head)) + head
"""


@pytest.mark.sandbox
class TestChannel:
    def test_an_end_that_is_forged_is_found_out_before_the_next_call(self) -> None:
        async def scene(play: Play) -> None:
            forged = "os.write(channel, frame(event='done', id=NUMBER, ok=True, bytes=2) + b'[]')\ntime.sleep(60)"
            number = play.session._count + 2  # after the ping
            assert (await play.done(SPEAK + forged.replace("NUMBER", str(number)))).reason == Reason.COMPLETED
            with pytest.raises(SessionGone):
                await play.done("print(1)")
            assert not play.session.is_alive

        play(scene)

    def test_a_flood_of_empty_events_ends_the_session_also_while_nothing_runs(self) -> None:
        async def scene(play: Play) -> None:
            flood = (
                "def flood():\n    time.sleep(0.2)\n    while True: os.write(channel, many)\n"
                "many = frame(event='stdout', bytes=0) * 1000\nthreading.Thread(target=flood, daemon=True).start()"
            )
            assert (await play.done(SPEAK + flood)).reason == Reason.COMPLETED
            for _ in range(300):
                await asyncio.sleep(0.1)
                if not play.session.is_alive:
                    return
            pytest.fail("it goes on")

        play(scene)

    def test_forked_children_do_not_speak_on_it(self) -> None:
        async def scene(play: Play) -> None:
            code = (
                "import os\nfrom IPython.display import display\nchildren = []\nfor _ in range(4):\n"
                "    children.append(os.fork())\n    if not children[-1]:\n"
                "        for _ in range(20): display('c' * 50_000)\n        print('child')\n        os._exit(0)\n"
                "for _ in range(20): display('p' * 50_000)\nfor child in children: os.waitpid(child, 0)\nprint('whole')"
            )
            said = await play.says(code)
            assert said.count("whole") == 1
            assert said.count("child\n") == 4
            assert "c" * 50 not in said

        play(scene, Limits(text_bytes=8_000_000))
