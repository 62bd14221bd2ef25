"""The headers that an MCP server is sent with every request: credentials, as a rule. Stored as one encrypted string."""

import json
import re
from collections.abc import Mapping

from tenants import encryption

MOST_HEADERS = 32
MOST_NAME = 128  # characters
MOST_VALUE = 8_192  # characters, such as a large token has

LEAST_SECRET = 8  # characters of a credential that is looked for in what comes back

_SECRET = re.compile(r"auth|key|token|secret|password|cookie|session|credential", re.I)
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\t\x20-\x7e]*")
# Those that belong to the connection or to the protocol, and would break either if somebody else set them.
_OURS = {
    "accept",
    "accept-encoding",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "keep-alive",
    "last-event-id",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
}
_OUR_BEGINNINGS = ("mcp-", "proxy-", "sec-")


class WrongHeader(Exception):
    """`message`: what is wrong, without the value."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


def checked(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers without blanks around their values. Raises `WrongHeader`."""
    if len(headers) > MOST_HEADERS:
        raise WrongHeader(f"there are more than {MOST_HEADERS} headers.")
    found: dict[str, str] = {}
    for name, value in headers.items():
        if len(name) > MOST_NAME or not _NAME.fullmatch(name):
            raise WrongHeader("a header's name has characters that names cannot have, or is too long.")
        if name.lower() in _OURS or name.lower().startswith(_OUR_BEGINNINGS):
            raise WrongHeader(f"the header '{name}' belongs to the connection and cannot be given.")
        if name.lower() in map(str.lower, found):
            raise WrongHeader(f"the header '{name}' is given twice.")
        if len(value) > MOST_VALUE or not _VALUE.fullmatch(value):
            raise WrongHeader(f"the value of the header '{name}' has characters other than ASCII's, or is too long.")
        found[name] = value.strip()
    return found


def in_lines(text: str) -> dict[str, str]:
    """Headers out of lines such as `Name: value`. Raises `WrongHeader`."""
    found: dict[str, str] = {}
    for line in filter(str.strip, text.splitlines()):
        name, colon, value = line.partition(":")
        if not colon:
            raise WrongHeader("each line must be a name, a colon and a value.")
        if name.strip() in found:
            raise WrongHeader(f"the header '{name.strip()[:MOST_NAME]}' is given twice.")
        found[name.strip()] = value.strip()
    return checked(found)


def secrets_among(headers: Mapping[str, str]) -> list[str]:
    """The values that are credentials, by their names, as far as they are long enough to be told from other words.

    Of `Bearer abc` also `abc`.
    """
    found: list[str] = []
    for name, value in headers.items():
        if _SECRET.search(name):
            found += [part for part in (value, value.rpartition(" ")[2]) if len(part) >= LEAST_SECRET]
    return found


def sealed(headers: Mapping[str, str]) -> str:
    """One string to store; empty for no headers."""
    return encryption.encrypt(json.dumps(dict(headers))) if headers else ""


def unsealed(stored: str) -> dict[str, str]:
    """Raises `encryption.Undecryptable`."""
    return dict(json.loads(encryption.decrypt(stored))) if stored else {}
