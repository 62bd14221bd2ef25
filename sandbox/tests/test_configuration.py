"""sandboxd's settings: what is read, and the sentence for what cannot be."""

from pathlib import Path

import pytest

from sandbox.configuration import Configuration, WrongSetting
from sandbox.protocol import MIB

pytestmark = pytest.mark.sandbox

LEAST = {"SANDBOX_ENVIRONMENT": "/env", "SANDBOX_SOCKET": "/run/s"}


def test_defaults_and_everything_set() -> None:
    least = Configuration.from_environment(LEAST)
    assert (least.environment, least.socket, least.listen) == (Path("/env"), Path("/run/s"), None)
    assert (least.pool, least.socket_mode, least.builds) == (2, 0o600, False)
    assert (least.idle_seconds, least.age_seconds, least.unattended_seconds) == (1_200, 3_600, 60)
    assert least.limits.memory_bytes == 1_024 * MIB
    assert least.sessions >= 1

    full = Configuration.from_environment(
        LEAST
        | {
            "SANDBOX_SOCKET": "",
            "SANDBOX_LISTEN": "[::1]:99",
            "SANDBOX_TOKEN": "x",
            "SANDBOX_SOCKET_MODE": "660",
            "SANDBOX_BUILD": "1",
            "SANDBOX_POOL": "0",
            "SANDBOX_SESSIONS": "7",
            "SANDBOX_MEMORY_MB": "300",
            "SANDBOX_DATA_MB": "100",
            "SANDBOX_SECONDS": "9",
            "SANDBOX_IDLE_SECONDS": "2",
            "SANDBOX_AGE_SECONDS": "3",
            "SANDBOX_UNATTENDED_SECONDS": "4",
        }
    )
    assert (full.socket, full.listen, full.socket_mode, full.builds) == (None, ("::1", 99), 0o660, True)
    assert (full.pool, full.sessions, full.limits.sessions) == (0, 7, 7)
    assert (full.limits.memory_bytes, full.limits.data_bytes, full.limits.seconds) == (300 * MIB, 100 * MIB, 9.0)
    assert (full.idle_seconds, full.age_seconds, full.unattended_seconds) == (2, 3, 4)
    assert "'x'" not in repr(full)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"SANDBOX_ENVIRONMENT": ""}, "SANDBOX_ENVIRONMENT must be set"),
        ({"SANDBOX_SOCKET": ""}, "set SANDBOX_SOCKET"),
        ({"SANDBOX_SOCKET": "run/s"}, "SANDBOX_SOCKET must be an absolute path of at most 107 bytes"),
        ({"SANDBOX_SOCKET": "/" + "x" * 107}, "SANDBOX_SOCKET must be"),
        ({"SANDBOX_LISTEN": "127.0.0.1:80"}, "SANDBOX_LISTEN opens a port, so SANDBOX_TOKEN must be set"),
        ({"SANDBOX_LISTEN": "127.0.0.1", "SANDBOX_TOKEN": "x"}, "SANDBOX_LISTEN must be host:port"),
        ({"SANDBOX_LISTEN": "a:70000", "SANDBOX_TOKEN": "x"}, "SANDBOX_LISTEN must be host:port"),
        ({"SANDBOX_TOKEN": "schlüssel"}, "SANDBOX_TOKEN must have visible ASCII characters only."),
        ({"SANDBOX_TOKEN": "x", "SANDBOX_TOKEN_FALLBACKS": "a,ö"}, "SANDBOX_TOKEN must have visible ASCII characters"),
        ({"SANDBOX_TOKEN_FALLBACKS": "a,b"}, "SANDBOX_TOKEN_FALLBACKS are taken beside SANDBOX_TOKEN"),
        ({"SANDBOX_SOCKET_MODE": "9"}, "SANDBOX_SOCKET_MODE must be a file mode"),
        ({"SANDBOX_SOCKET_MODE": "060"}, "SANDBOX_SOCKET_MODE must be a file mode"),
        ({"SANDBOX_BUILD": "maybe"}, "SANDBOX_BUILD must be 1 or 0, but is 'maybe'"),
        ({"SANDBOX_POOL": "-1"}, "SANDBOX_POOL must be a whole number from 0 to 64"),
        ({"SANDBOX_SESSIONS": "0"}, "SANDBOX_SESSIONS must be a whole number from 1"),
        ({"SANDBOX_MEMORY_MB": "1"}, "SANDBOX_MEMORY_MB must be a whole number from 128"),
        ({"SANDBOX_SECONDS": "1.5"}, "SANDBOX_SECONDS must be a whole number from 1"),
    ],
)
def test_a_value_that_cannot_be_used_is_told(changes: dict[str, str], sentence: str) -> None:
    with pytest.raises(WrongSetting) as told:
        Configuration.from_environment(LEAST | changes)
    assert str(told.value).startswith(f"sandboxd cannot start: {sentence}")
