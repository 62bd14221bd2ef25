"""sandboxd's settings: its own environment variables, and nothing else."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from sandbox.protocol import MIB, Limits

T = TypeVar("T")
GIB = 1024 * MIB
LONGEST_SOCKET = 107  # bytes of a unix socket's path, the system's limit
MEMORY_FILES = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


class WrongSetting(SystemExit):
    """Ends the process with a sentence on standard error and exit code 1."""

    def __init__(self, sentence: str) -> None:
        super().__init__(f"sandboxd cannot start: {sentence}")


@dataclass(frozen=True)
class Configuration:
    """`limits` are the most any session may have, and what a session of the pool is started with."""

    environment: Path  # the folder of the model's Python
    socket: Path | None = None
    socket_mode: int = 0o600
    listen: tuple[str, int] | None = None
    token: str = field(default="", repr=False)
    token_fallbacks: tuple[str, ...] = field(default=(), repr=False)  # taken as well, while a new one is rolled out
    builds: bool = False  # whether the environment is made here if it is missing or outdated
    pool: int = 2
    sessions: int = 4
    limits: Limits = field(default_factory=Limits)
    idle_seconds: float = 20 * 60
    age_seconds: float = 60 * 60
    unattended_seconds: float = 60
    room_seconds: float = 30

    @classmethod
    def from_environment(cls, variables: Mapping[str, str] = os.environ) -> "Configuration":
        """Raises WrongSetting."""
        read = _Reader(variables)
        environment = read.value("SANDBOX_ENVIRONMENT", None, Path, "the folder of the sandbox's Python")
        if environment is None:
            raise WrongSetting("SANDBOX_ENVIRONMENT must be set to the folder of the sandbox's Python.")
        socket = read.value("SANDBOX_SOCKET", None, _socket, f"an absolute path of at most {LONGEST_SOCKET} bytes")
        listen = read.value("SANDBOX_LISTEN", None, _address, "host:port")
        token = variables.get("SANDBOX_TOKEN", "").strip()
        if socket is None and listen is None:
            raise WrongSetting("set SANDBOX_SOCKET to the path of a unix socket, or SANDBOX_LISTEN to host:port.")
        if listen is not None and not token:
            raise WrongSetting("SANDBOX_LISTEN opens a port, so SANDBOX_TOKEN must be set to a secret of your choice.")
        fallbacks = [part.strip() for part in variables.get("SANDBOX_TOKEN_FALLBACKS", "").split(",") if part.strip()]
        if not all(each.isascii() and each.isprintable() for each in [token, *fallbacks]):
            raise WrongSetting("SANDBOX_TOKEN must have visible ASCII characters only.")
        if fallbacks and not token:
            raise WrongSetting("SANDBOX_TOKEN_FALLBACKS are taken beside SANDBOX_TOKEN, which must be set.")
        memory = read.number("SANDBOX_MEMORY_MB", 1_024, low=128) * MIB
        sessions = read.number("SANDBOX_SESSIONS", sessions_for(memory), low=1, high=4_000)
        return cls(
            environment=environment.absolute(),
            socket=socket,
            socket_mode=read.value("SANDBOX_SOCKET_MODE", 0o600, _mode, "a file mode such as 600 or 660"),
            listen=listen,
            token=token,
            token_fallbacks=tuple(fallbacks),
            builds=read.value("SANDBOX_BUILD", False, _flag, "1 or 0"),
            pool=read.number("SANDBOX_POOL", 2, low=0, high=64),
            sessions=sessions,
            limits=Limits(
                memory_bytes=memory,
                data_bytes=read.number("SANDBOX_DATA_MB", 512, low=16) * MIB,
                seconds=float(read.number("SANDBOX_SECONDS", 120, low=1, high=86_400)),
                sessions=sessions,  # a tenant's share is said by who opens
            ),
            idle_seconds=read.number("SANDBOX_IDLE_SECONDS", 20 * 60, low=1),
            age_seconds=read.number("SANDBOX_AGE_SECONDS", 60 * 60, low=1),
            unattended_seconds=read.number("SANDBOX_UNATTENDED_SECONDS", 60, low=1),
            room_seconds=read.number("SANDBOX_ROOM_SECONDS", 30, low=0, high=300),
        )


def sessions_for(memory: int) -> int:
    """How many sessions of so much memory this host, or this container, can carry beside its own work."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for path in MEMORY_FILES:
        try:
            total = min(total, int(Path(path).read_text()))
        except (OSError, ValueError):
            continue
    return max(1, (total - GIB) // memory)


class _Reader:
    def __init__(self, variables: Mapping[str, str]) -> None:
        self.variables = variables

    def value(self, name: str, default: T, convert: Callable[[str], T], expected: str) -> T:
        raw = self.variables.get(name, "").strip()
        if not raw:
            return default
        try:
            return convert(raw)
        except ValueError:
            raise WrongSetting(f"{name} must be {expected}, but is {raw!r}.") from None

    def number(self, name: str, default: int, *, low: int, high: int = 2**31 - 1) -> int:
        def convert(raw: str) -> int:
            number = int(raw)
            if not low <= number <= high:
                raise ValueError
            return number

        return self.value(name, default, convert, f"a whole number from {low} to {high}")


def _socket(raw: str) -> Path:
    if not raw.startswith("/") or len(raw.encode()) > LONGEST_SOCKET:
        raise ValueError
    return Path(raw)


def _address(raw: str) -> tuple[str, int]:
    host, colon, port = raw.rpartition(":")
    number = int(port)
    if not colon or not host or not 0 <= number <= 65_535:
        raise ValueError
    return host.removeprefix("[").removesuffix("]"), number


def _mode(raw: str) -> int:
    mode = int(raw, 8)
    if mode & ~0o777 or mode & 0o600 != 0o600:
        raise ValueError
    return mode


def _flag(raw: str) -> bool:
    words = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}
    if raw.lower() not in words:
        raise ValueError
    return words[raw.lower()]
