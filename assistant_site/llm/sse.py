"""Bytes of an answer into the payloads of its server-sent events, as forgiving as the providers are careless.

Lines end with `\\n`, `\\r\\n` or `\\r`; `data:` comes with or without a blank; every `data:` line is a payload of its
own, because some gateways forget the empty line between two events and none spreads one JSON text over two lines.
Comments and the other fields (`event:`, `id:`, `retry:`) carry nothing a chat model says, so they are skipped.
"""

MAX_LINE_BYTES = 16 * 1024 * 1024
DONE = b"[DONE]"
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class LineTooLong(ValueError):
    """A line passed `MAX_LINE_BYTES`: nothing a chat model says is that long."""


class PayloadReader:
    """Collects bytes, however they were cut, and gives the payloads of the lines that are complete."""

    __slots__ = ("_parts", "_size", "_untouched")

    def __init__(self) -> None:
        self._parts: list[bytes] = []  # the pieces of the unfinished line; joined once, so a long line stays linear
        self._size = 0
        self._untouched = True

    def feed(self, data: bytes) -> list[bytes]:
        """The payloads that `data` completes, `[DONE]` among them. Raises `LineTooLong`."""
        if b"\n" not in data and b"\r" not in data:
            self._keep(data)
            return []
        if self._parts:
            self._parts.append(data)
            data = b"".join(self._parts)
            self._parts.clear()
            self._size = 0
        if self._untouched:
            self._untouched = False
            data = data.removeprefix(_BYTE_ORDER_MARK)
        lines = data.splitlines()  # of bytes: exactly the three line endings; a cut `\r\n` only adds an empty line
        if data[-1] not in b"\r\n":
            self._keep(lines.pop())
        return _payloads(lines)

    def end(self) -> list[bytes]:
        """The payload of a last line that was never ended; it may be cut in the middle."""
        last = b"".join(self._parts)
        self._parts.clear()
        self._size = 0
        return _payloads([last.removeprefix(_BYTE_ORDER_MARK) if self._untouched else last])

    def _keep(self, piece: bytes) -> None:
        self._size += len(piece)
        if self._size > MAX_LINE_BYTES:
            raise LineTooLong
        self._parts.append(piece)


def _payloads(lines: list[bytes]) -> list[bytes]:
    return [payload for line in lines if line[:5] == b"data:" and (payload := line[5:].strip())]
