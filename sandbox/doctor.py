"""Whether code can be run safely here: every wall is tried, with the launch that sessions get.

    python -m sandbox.doctor [--environment FOLDER]

What fails turns the code interpreter off, with a sentence that says what to do. Nothing is run with less.
"""

import argparse
import asyncio
import contextlib
import os
import platform
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from sandbox import launch, seccomp
from sandbox.launch import CannotLaunch, Launcher
from sandbox.protocol import MIB, Done, Error, Health, Limits, Reason, SandboxError, Stdout
from sandbox.session import Session

OFF = "code_interpreter is off:"
PROGRAMS = {"prlimit": "util-linux", "setpriv": "util-linux", "choom": "util-linux", "nice": "coreutils"}
OLDEST_WITH_DISABLE = (0, 8)

# Run inside. Each line of its output is a wall that does not hold.
PROBE = """
import ctypes, errno, os, socket, subprocess
def status(name):
    try:
        for line in open('/proc/self/status'):
            if line.startswith(name + ':'):
                return line.split()[1]
    except FileNotFoundError:
        return None
if status('Seccomp') not in (None, '2'):
    print('the system-call filter is not loaded')
if status('CapEff') not in (None, '0' * 16):
    print('the code has capabilities')
if ctypes.CDLL(None, use_errno=True).unshare(0x10000000) == 0:
    print('the code may make namespaces of its own')
for family in (40, 38, 16, 17):  # VSOCK, ALG, NETLINK, PACKET
    try:
        socket.socket(family, socket.SOCK_DGRAM if family != 38 else socket.SOCK_SEQPACKET).close()
        print('the code may open a socket of family', family)
    except OSError:
        pass
try:
    socket.create_connection(('1.1.1.1', 53), 0.5).close()
    print('the code reaches the network')
except OSError:
    pass
for path in ('/x', '/usr/x', '/etc/x', '/dev/x', '/opt/x', '/mnt/x'):
    try:
        open(path, 'w').close()
        print('the code may write', path)
    except OSError:
        pass
if os.path.exists(CANARY_FILE):
    print('the code sees a file of the host')
seen = ' '.join(os.environ)
for pid in os.listdir('/proc') if os.path.isdir('/proc') else ():
    if pid.isdigit():
        try:
            seen += open(f'/proc/{pid}/environ').read()
        except OSError:
            pass
if CANARY_NAME in seen:
    print("the code sees the daemon's environment")
try:
    open('/proc/1/mem', 'rb').close()
    print('the code reaches the memory of pid 1')
except OSError:
    pass
if ctypes.CDLL(None).prctl(1, 0, 0, 0, 0) == 0:
    print('the code may outlive the daemon')
children = []
try:
    for _ in range(80):
        children.append(os.fork())
        if children[-1] == 0:
            import time
            time.sleep(20)
            os._exit(0)
    print('the code may start any number of processes')
except OSError:
    pass
for child in children:
    os.kill(child, 9)
"""
# Under a limit of 100 MiB: neither half is too much, so both must be seen. What Python takes itself is far from 30 MiB.
HOG = """
import time
open('/mnt/data/half', 'wb').write(bytes(10 * 1024 * 1024) * 7)
half = bytearray(50 * 1024 * 1024)
time.sleep(20)
"""


class Off(Exception):
    """A check that failed: what is wrong, and what is to be done."""

    def __init__(self, reason: str, remedy: str) -> None:
        super().__init__(f"{OFF} {reason} {remedy}".strip())
        self.reason = reason
        self.remedy = remedy


async def examine(environment: Path, say: Callable[[str], None] = lambda line: None) -> Health:
    """Tries everything; never raises. `say` gets a line for each check."""
    health, _ = await launcher_for(environment, say)
    return health


async def launcher_for(
    environment: Path, say: Callable[[str], None] = lambda line: None
) -> tuple[Health, Launcher | None]:
    """The health, and what sessions are to be started with if all is well."""
    try:
        launcher = await _found(environment, say)
        start, notes = await _tried(launcher, say)
    except Off as off:
        say(f"FAILED  {off.reason} {off.remedy}")
        return Health(False, reason=f"{OFF} {off.reason}", remedy=off.remedy), None
    except Exception as error:  # a check that breaks is no check
        say(f"FAILED  {error!r}")
        remedy = "Run `python -m sandbox.doctor` for more, and report it."
        return Health(False, reason=f"{OFF} its self-test failed ({error!r}).", remedy=remedy), None
    say(f"ok      a session starts in {start:.2f} s")
    tier = "bubblewrap" if launcher.proc else "bubblewrap without /proc"
    return Health(True, tier=tier, notes=tuple(notes)), launcher


async def _found(environment: Path, say: Callable[[str], None]) -> Launcher:
    """A launcher that bubblewrap takes: with /proc if that is allowed here, else without."""
    bwrap = bubblewrap()
    version = version_of(bwrap)
    say(f"ok      bubblewrap {'.'.join(map(str, version))}")
    try:
        say(f"ok      system-call filter, {len(seccomp.program()) // 8} instructions")
    except seccomp.CannotFilter as error:
        raise Off(str(error), "") from None
    check_reachable(environment)
    say(f"ok      Python in {environment}")
    launcher = Launcher(environment, bwrap=bwrap, disable_userns=version >= OLDEST_WITH_DISABLE)
    said = await asyncio.to_thread(launch.explain, launcher, Limits())
    if not said:
        say("ok      namespaces, with /proc")
        return launcher
    without = replace(launcher, proc=False)
    if not await asyncio.to_thread(launch.explain, without, Limits()):
        say(f"ok      namespaces, without /proc ({said})")
        return without
    raise refused(said)


def bubblewrap() -> str:
    """Where bubblewrap is, if that and all other programs of a launch are there. Raises Off."""
    bwrap = shutil.which("bwrap")
    if bwrap is None:
        raise Off("bubblewrap is not installed.", "Debian, Ubuntu: apt install bubblewrap")
    for program, package in PROGRAMS.items():
        if shutil.which(program, path="/usr/bin") is None:
            raise Off(f"/usr/bin/{program} is missing.", f"Debian, Ubuntu: apt install {package}")
    return bwrap


def version_of(bwrap: str) -> tuple[int, ...]:
    said = subprocess.run([bwrap, "--version"], capture_output=True, text=True, check=False).stdout
    return tuple(int(number) for number in re.findall(r"\d+", said)[:3])


def check_reachable(environment: Path) -> None:
    """As root, sessions run as other users, who must be able to walk to Python."""
    python = environment / "bin" / "python"
    if not python.exists():
        remedy = "Build it: make sandbox"
        raise Off(f"there is no Python for the code in {environment}.", remedy)
    if os.geteuid() != 0:
        return
    for path in (environment, Path(os.path.realpath(python))):
        for folder in [path, *path.parents]:
            if not folder.stat().st_mode & 0o001:
                raise Off(
                    f"{folder} is closed to the users that sessions run as.",
                    "Set SANDBOX_DIR to a folder that everybody may enter, such as /var/lib/holdfast/sandbox, "
                    "or run Holdfast as a service user.",
                )


def refused(said: str) -> Off:
    """What bubblewrap says when it may not make a sandbox, with what helps."""
    reason = f"the system does not let bubblewrap make a sandbox ({said})."
    if "Can't mount proc" in said:
        return Off(reason, "In a container: set systempaths=unconfined (docs/code-interpreter.md).")
    if "setting up uid map" in said or "Permission denied" in said:
        restricted = Path("/proc/sys/kernel/apparmor_restrict_unprivileged_userns")
        with contextlib.suppress(OSError):
            if restricted.read_text().strip() == "1":
                return Off(reason, "Ubuntu: load deploy/apparmor/holdfast-sandbox with apparmor_parser -r")
    with contextlib.suppress(OSError):
        if Path("/proc/sys/kernel/unprivileged_userns_clone").read_text().strip() == "0":
            return Off(reason, "As root: sysctl -w kernel.unprivileged_userns_clone=1")
    with contextlib.suppress(OSError):
        if Path("/proc/sys/user/max_user_namespaces").read_text().strip() == "0":
            return Off(reason, "As root: sysctl -w user.max_user_namespaces=10000")
    return Off(
        reason,
        "In a container: use the seccomp profile deploy/seccomp-sandbox.json (docs/code-interpreter.md). Else the "
        "kernel must allow user namespaces.",
    )


async def _tried(launcher: Launcher, say: Callable[[str], None]) -> tuple[float, list[str]]:
    """Starts sessions, and looks at their walls from inside. The seconds that a start takes; what is weaker."""
    canary = f"HOLDFAST_CANARY_{secrets.token_hex(4)}"
    with tempfile.NamedTemporaryFile(prefix="holdfast-canary-") as file:
        os.chmod(file.name, 0o644)
        os.environ[canary] = "1"
        try:
            started = time.monotonic()
            session = await started_session(launcher, Limits())
            start = time.monotonic() - started
            try:
                code = f"CANARY_NAME, CANARY_FILE = {canary!r}, {file.name!r}\n{PROBE}"
                said, done = await _run(session, code, 30)
            finally:
                await session.close()
        finally:
            del os.environ[canary]
    if said.strip() or not done.ok:
        holes = "; ".join(said.strip().splitlines()[:5]) or "the probe did not come to its end"
        raise Off(f"a wall of the sandbox does not hold here: {holes}.", "Report this, with `uname -a`.")
    say("ok      filter, capabilities, network, files, environment and processes, tried from inside")
    session = await started_session(launcher, Limits(memory_bytes=100 * MIB))
    try:
        _, done = await _run(session, HOG, 10)
    finally:
        await session.close()
    if done.reason != Reason.MEMORY:
        raise Off(
            f"a session that used too much memory, for data and files, was not ended ({done.reason}).",
            "The daemon must be able to look into its sandboxes: as root, it needs the capability SYS_PTRACE.",
        )
    say("ok      a session that uses too much memory, for data and files, is ended")
    notes = [] if launcher.proc else ["Code has no /proc here; a few libraries miss it."]
    return start, notes


async def started_session(launcher: Launcher, limits: Limits) -> Session:
    try:
        return await Session.start(launcher, limits, slot=0)
    except CannotLaunch as error:
        said = await asyncio.to_thread(launch.explain, launcher, limits)
        raise (
            refused(said) if said else Off(f"a session does not start: {error}", "Run make sandbox again.")
        ) from None


async def _run(session: Session, code: str, seconds: float) -> tuple[str, Done]:
    said, done = "", Done(False, Reason.DIED)
    try:
        async for event in session.execute(code, seconds):
            if isinstance(event, Stdout):
                said += event.text
            elif isinstance(event, Error):
                said += event.traceback
            elif isinstance(event, Done):
                done = event
    except SandboxError:
        pass
    return said, done


def main() -> int:
    from sandbox.environment import default_directory

    parser = argparse.ArgumentParser(prog="python -m sandbox.doctor", description=__doc__)
    parser.add_argument("--environment", type=Path, default=None, help="the folder of the model's Python")
    environment = parser.parse_args().environment
    if environment is None:
        environment = Path(os.environ.get("SANDBOX_ENVIRONMENT") or default_directory(Path("var").resolve()))
    print(f"Linux {platform.release()}, uid {os.geteuid()}")  # noqa: T201
    health = asyncio.run(examine(environment.resolve(), print))
    launch.shared().remove()
    print(f"The code interpreter can be used ({health.tier})." if health.is_available else health.sentence)  # noqa: T201
    return 0 if health.is_available else 1


if __name__ == "__main__":
    sys.exit(main())
