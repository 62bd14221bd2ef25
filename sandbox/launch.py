"""How a session is started: bubblewrap, the system-call filter and the limits around the runner, in one place.

Every option is there for a trial in which its absence was a hole (docs/adr/0007). A session that cannot have all of it
is not started.
"""

import asyncio
import contextlib
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from sandbox import seccomp
from sandbox.cgroups import Cgroup, Cgroups
from sandbox.environment import MOUNTED_AT
from sandbox.protocol import MIB, Limits

RUNNER = Path(__file__).with_name("runner.py")
FIRST_UID = 20_000  # as root, session number n runs as this plus n
TMP_BYTES, SHM_BYTES = 128 * MIB, 64 * MIB
ADDRESS_SPACE = 3 * 1024 * MIB  # a backstop; the watchdog counts what is really used
FILE_BYTES = 512 * MIB
PROCESSES = 64
DESCRIPTORS = 1_024  # of one process
STACK_BYTES = 8 * MIB
START_SECONDS = 60.0
END_SECONDS = 10.0

ENVIRONMENT = {
    "PATH": f"{MOUNTED_AT}/bin:/usr/bin:/bin",
    "HOME": "/tmp",  # noqa: S108 the sandbox's own
    "LANG": "C.UTF-8",
    "MPLBACKEND": "agg",
    "MPLCONFIGDIR": "/tmp/.mpl",  # noqa: S108
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
    "IPYTHONDIR": "/tmp/.ipython",  # noqa: S108
    "TZ": "UTC",
}
PASSWD = "root:x:0:0:root:/root:/usr/sbin/nologin\nsandbox:x:1000:1000:sandbox:/tmp:/bin/sh\n"  # noqa: S105
GROUP = "root:x:0:\nsandbox:x:1000:\n"


class CannotLaunch(Exception):
    """A session could not be started; the text is what bubblewrap or the system said."""


@dataclass(frozen=True)
class Launcher:
    """What all sessions of a daemon are started with. `environment` is the folder of the model's Python.

    `without` takes single walls away, so that the tests can show that each of them is needed; nothing else sets it.
    """

    environment: Path
    proc: bool = True
    bwrap: str = "bwrap"
    disable_userns: bool = True
    cgroups: Cgroups | None = None  # where the daemon may limit sessions by the kernel's own count
    without: frozenset[str] = field(default=frozenset())

    def has(self, wall: str) -> bool:
        return wall not in self.without

    def options(self, limits: Limits, files: dict[str, Path]) -> list[str]:
        """bubblewrap's options but for descriptors; `files` are those that are made for a launch."""
        walls = ["user", "ipc", "pid", "net", "uts", "cgroup-try"]
        options = [f"--unshare-{wall}" for wall in walls if self.has(f"unshare-{wall}")]
        if self.proc and self.disable_userns and self.has("disable-userns"):
            options.append("--disable-userns")
        options += ["--uid", "1000", "--gid", "1000"] if self.has("unshare-user") else []
        options += ["--hostname", "sandbox"] if self.has("unshare-uts") else []
        options += ["--die-with-parent"] if self.has("die-with-parent") else []
        options += ["--new-session", "--clearenv"]
        for name, value in ENVIRONMENT.items():
            options += ["--setenv", name, value]
        options += ["--ro-bind", "/usr", "/usr"]
        for name in ("bin", "sbin", "lib", "lib64"):
            options += ["--symlink", f"usr/{name}", f"/{name}"]
        options += ["--ro-bind", str(self.environment), MOUNTED_AT]
        for folder in base_of(self.environment):
            options += ["--ro-bind", folder, folder]
        options += ["--ro-bind", str(files["runner"]), "/opt/runner.py"]
        for path in ("/etc/ld.so.cache", "/etc/alternatives", "/etc/fonts", "/etc/localtime"):
            options += ["--ro-bind-try", path, path]
        options += ["--ro-bind", str(files["passwd"]), "/etc/passwd", "--ro-bind", str(files["group"]), "/etc/group"]
        if self.proc:
            options += ["--proc", "/proc"]
            if self.has("hidden-init"):
                # bubblewrap's pid 1 runs as the code's user. With its memory in hand the code could have it outlive us.
                options += ["--ro-bind", "/dev/null", "/proc/1/mem"]
                options += ["--tmpfs", "/proc/1/task", "--remount-ro", "/proc/1/task"]
        options += ["--dev", "/dev"]
        for size, path in (
            (SHM_BYTES, "/dev/shm"),  # noqa: S108
            (TMP_BYTES, "/tmp"),  # noqa: S108
            (limits.data_bytes, "/mnt/data"),
        ):
            options += ["--size", str(size)] if self.has("tmpfs-size") else []
            options += ["--tmpfs", path]
        if self.has("remount-ro"):
            options += ["--remount-ro", "/dev", "--remount-ro", "/"]
        return [*options, "--chdir", "/mnt/data"]

    def inner(self, *, preload: bool) -> list[str]:
        """What bubblewrap starts: the limits are set inside, where they count this session's processes only."""
        limits = [f"--as={ADDRESS_SPACE}:{ADDRESS_SPACE}"] if self.has("rlimit-as") else []
        limits += [f"--nproc={PROCESSES}:{PROCESSES}"] if self.has("rlimit-nproc") else []
        limits += [f"--nofile={DESCRIPTORS}:{DESCRIPTORS}"] if self.has("rlimit-nofile") else []
        limits += [f"--fsize={FILE_BYTES}:{FILE_BYTES}"] if self.has("rlimit-fsize") else []
        limits += ["--core=0:0", "--memlock=0:0", f"--stack={STACK_BYTES}:{STACK_BYTES}"]
        python = [f"{MOUNTED_AT}/bin/python", "-I", "-X", "utf8", "/opt/runner.py"]
        return ["/usr/bin/prlimit", *limits, "--", *python, *(["--preload"] if preload else [])]

    def outer(self, slot: int) -> list[str]:
        """Where memory is short the kernel ends a sandbox first, and where time is short others go before it.

        As root: under a uid of the session's own, so that nothing it does is done as root.
        """
        command = ["/usr/bin/choom", "-n", "1000", "--"] if self.has("oom-score") else []
        command += ["/usr/bin/nice", "-n", "10"]
        if os.geteuid() == 0 and self.has("setpriv"):
            uid = str(FIRST_UID + slot)
            command += ["/usr/bin/setpriv", "--reuid", uid, "--regid", uid, "--clear-groups", "--"]
        return command


def base_of(environment: Path) -> list[str]:
    """The folders outside /usr that the environment's interpreter comes from."""
    home = Path(os.path.realpath(environment / "bin" / "python")).parent.parent
    return [] if home == Path("/usr") or home.is_relative_to("/usr") else [str(home)]


class Shared:
    """Small files that every launch binds; readable for every session's uid, and gone with the daemon."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="holdfast-sandbox-")
        folder = Path(self._folder.name)
        folder.chmod(0o755)
        self.files = {"runner": folder / "runner.py", "passwd": folder / "passwd", "group": folder / "group"}
        self.files["runner"].write_bytes(RUNNER.read_bytes())
        self.files["passwd"].write_text(PASSWD)
        self.files["group"].write_text(GROUP)
        for file in self.files.values():
            file.chmod(0o644)

    def remove(self) -> None:
        self._folder.cleanup()


_shared: Shared | None = None
# bubblewrap dies with the *thread* that started it, so there is one, which lives as long as the process.
_starter = ThreadPoolExecutor(1, thread_name_prefix="launch")


def shared() -> Shared:
    global _shared
    if _shared is None:
        _shared = Shared()
    return _shared


@dataclass
class Launched:
    """A started sandbox: bubblewrap itself, the socket to the runner, and the host's number of the sandbox's pid 1."""

    process: "subprocess.Popen[bytes]"
    socket: socket.socket
    init: int
    pidfd: int
    cgroup: Cgroup | None = None

    def kill(self) -> None:
        """Ends everything in it: with its pid 1 the whole pid namespace goes."""
        with contextlib.suppress(OSError):
            signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)
        with contextlib.suppress(OSError):
            self.process.kill()
        if self.cgroup is not None:
            self.cgroup.kill()

    def reap(self) -> None:
        """Waits until it is gone, with all that was in it; to be called in a thread."""
        self.process.wait()
        select.select([self.pidfd], [], [], END_SECONDS)
        os.close(self.pidfd)
        self.socket.close()
        if self.cgroup is not None:
            self.cgroup.remove()


async def launch(launcher: Launcher, limits: Limits, slot: int, *, preload: bool) -> Launched:
    """Starts a sandbox. Raises CannotLaunch with what the system said."""
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(_starter, _start, launcher, limits, slot, preload)


def _start(launcher: Launcher, limits: Limits, slot: int, preload: bool) -> Launched:
    program = shutil.which(launcher.bwrap)
    if program is None:
        raise CannotLaunch("bubblewrap is not installed.")
    ours, theirs = socket.socketpair()
    opened: list[int] = []
    cgroup = launcher.cgroups.make(limits.memory_bytes) if launcher.cgroups is not None else None
    try:
        options = launcher.options(limits, shared().files)
        if launcher.has("seccomp"):
            try:
                opened.append(seccomp.descriptor())
            except seccomp.CannotFilter as error:
                raise CannotLaunch(str(error)) from None
            options += ["--seccomp", str(opened[-1])]
        status_out, status_in = os.pipe()
        opened.append(status_in)
        options += ["--json-status-fd", str(status_in)]
        arguments = os.memfd_create("options")
        opened.append(arguments)
        os.write(arguments, b"\0".join(option.encode() for option in options) + b"\0")
        os.lseek(arguments, 0, os.SEEK_SET)
        command = [*joining(cgroup), *launcher.outer(slot), program, "--args", str(arguments), "--"]
        command += launcher.inner(preload=preload)
        process = subprocess.Popen(
            command,
            stdin=theirs.fileno(),
            stdout=theirs.fileno(),
            stderr=subprocess.DEVNULL,
            env={} if launcher.has("empty-environment") else None,
            cwd="/",
            pass_fds=opened,
            process_group=0,
        )
    except OSError as error:
        ours.close()
        removed(cgroup)
        raise CannotLaunch(f"{error.strerror} ({error.filename}).") from None
    except BaseException:
        ours.close()
        removed(cgroup)
        raise
    finally:
        theirs.close()
        for handle in opened:
            os.close(handle)
    try:
        init = _init_of(status_out)
        pidfd = os.pidfd_open(init)
    except (CannotLaunch, OSError) as error:
        process.kill()
        process.wait()
        ours.close()
        removed(cgroup)
        raise CannotLaunch(str(error)) from None
    finally:
        os.close(status_out)
    return Launched(process, ours, init, pidfd, cgroup)


def joining(cgroup: Cgroup | None) -> list[str]:
    """What enters the cgroup before it becomes the launch. The watchdog looks on, also where that fails."""
    if cgroup is None:
        return []
    return ["/bin/sh", "-c", '{ echo 0 > "$0"; } 2>/dev/null; exec "$@"', str(cgroup.processes)]


def removed(cgroup: Cgroup | None) -> None:
    if cgroup is not None:
        cgroup.kill()
        cgroup.remove()


def _init_of(status: int) -> int:
    """The host's number of the sandbox's pid 1, which bubblewrap tells once it is there."""
    told = b""
    while b"\n" not in told:
        if not select.select([status], [], [], START_SECONDS)[0]:
            raise CannotLaunch("bubblewrap does not come to an end with starting.")
        piece = os.read(status, 4096)
        if not piece:
            raise CannotLaunch("bubblewrap could not make the sandbox.")
        told += piece
    return int(json.loads(told.split(b"\n")[0])["child-pid"])


def explain(launcher: Launcher, limits: Limits) -> str:
    """What bubblewrap says when it starts nothing but `true` with these options, for a person; empty: it went well."""
    program = shutil.which(launcher.bwrap)
    if program is None:
        return "bubblewrap is not installed."
    command: Sequence[str] = [*launcher.outer(0), program, *launcher.options(limits, shared().files), "--", "true"]
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, env={}, cwd="/", text=True, check=False
    )
    return "" if done.returncode == 0 else (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]


if sys.platform != "linux":  # pragma: no cover
    raise ImportError("Sandboxes are made of Linux's namespaces.")
