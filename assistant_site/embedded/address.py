"""The addresses that our processes listen on."""

import errno
import http.client
import json
import socket
from pathlib import Path

from assistant_site.embedded.process import CannotStart

REASONS = {
    errno.EADDRINUSE: "it is in use by another program. Stop that, or set PORT to another number",
    errno.EACCES: "only root may use it. Set PORT to a number from 1024 upwards",
    errno.EADDRNOTAVAIL: "HOST is no address of this machine",
}


def check_free(host: str, port: int) -> None:
    """Raises CannotStart with a sentence when nobody could listen on this address now."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except socket.gaierror:
        raise CannotStart(f"HOST is {host!r}, which is no address of this machine.") from None
    with socket.socket(family, kind, protocol) as listener:
        # As the web process will: connections of an earlier one that are still fading away are no obstacle.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(address)
            listener.listen(1)
        except OSError as error:
            reason = REASONS.get(error.errno or 0, f"{error.strerror}")
            raise CannotStart(f"Port {port} on {host} cannot be used: {reason}.") from None


def reachable(host: str) -> str:
    """A host name under which this machine reaches a server that listens on `host`."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)  # noqa: S104


def in_url(host: str) -> str:
    """The host as it is written in a URL."""
    return f"[{host}]" if ":" in host else host


def listens(path: Path) -> bool:
    """Whether a program takes connections at this Unix socket now."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as caller:
        caller.settimeout(1)
        try:
            caller.connect(str(path))
        except OSError:
            return False
        return True


def code_interpreter(host: str, port: int) -> str:
    """How /readyz tells whether code can be run; empty when it does not answer."""
    try:
        _, body = _readyz(host, port)
        return str(json.loads(body)["code_interpreter"])
    except (OSError, http.client.HTTPException, ValueError, KeyError):
        return ""


def _readyz(host: str, port: int) -> tuple[int, str]:
    connection = http.client.HTTPConnection(reachable(host), port, timeout=5)
    try:
        connection.request("GET", "/readyz")
        answer = connection.getresponse()
        return answer.status, answer.read().decode(errors="replace")
    finally:
        connection.close()


def not_ready(host: str, port: int) -> str:
    """Empty when /readyz answers 200; else what it says is missing, or that it does not answer."""
    try:
        status, body = _readyz(host, port)
    except (OSError, http.client.HTTPException):
        return "the web process does not answer yet"
    if status == 200:
        return ""
    try:
        return json.dumps(json.loads(body))
    except ValueError:
        return f"/readyz answers {status}"
