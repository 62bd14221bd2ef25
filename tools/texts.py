"""Texts of strangers on their way to a model: what can be stored of them, and how much of them is shown."""

import re

BYTES_PER_TOKEN = 3.5
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def storable(text: str) -> str:
    """The text as it can be stored and sent: NUL and halves of pairs become U+FFFD."""
    return _UNSTORABLE.sub("\ufffd", text)


def cut(text: str, most_bytes: int) -> str:
    """The text, or its beginning and its end with a line that says how much is missing."""
    encoded = text.encode()
    if len(encoded) <= most_bytes:
        return text
    half = most_bytes // 2
    head = encoded[:half].decode(errors="ignore")
    tail = encoded[len(encoded) - half :].decode(errors="ignore")
    missing = len(text) - len(head) - len(tail)
    return f"{head}\n[… {missing:,} characters are not shown here …]\n{tail}"
