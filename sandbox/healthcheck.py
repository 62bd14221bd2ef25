"""`python -m sandbox.healthcheck`: does the daemon at SANDBOX_SOCKET or SANDBOX_LISTEN answer, and can it run code?

Exit code 0: yes, or it is still being prepared; 1: no, with a sentence.
"""

import http.client
import json
import os
import socket
import sys

SECONDS = 4


class _Connection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("sandbox", timeout=SECONDS)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(SECONDS)
        self.sock.connect(self._path)


def problem() -> str:
    """A sentence; empty: it is well."""
    connection: http.client.HTTPConnection
    if path := os.environ.get("SANDBOX_SOCKET"):
        connection = _Connection(path)
    else:
        host, _, port = os.environ.get("SANDBOX_LISTEN", "").rpartition(":")
        if not port.isdecimal():
            return "Neither SANDBOX_SOCKET nor SANDBOX_LISTEN says where the daemon is."
        host = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "[::]": "::1"}.get(host, host.strip("[]"))  # noqa: S104
        connection = http.client.HTTPConnection(host, int(port), timeout=SECONDS)
    token = os.environ.get("SANDBOX_TOKEN", "")
    try:
        connection.request("GET", "/health", headers={"Authorization": f"Bearer {token}"} if token else {})
        answer = connection.getresponse()
        if answer.status != 200:
            return f"The sandbox's daemon answers {answer.status}."
        told = json.loads(answer.read())
    except (OSError, http.client.HTTPException, ValueError) as error:
        return f"The sandbox's daemon does not answer: {error}."
    finally:
        connection.close()
    if told.get("is_available") or told.get("is_preparing"):
        return ""
    return f"No code can be run: {told.get('reason') or 'the daemon does not say why'}"


if __name__ == "__main__":
    if found := problem():
        sys.exit(found)
