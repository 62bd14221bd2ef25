"""Names of files as callers give them: any language, but no paths, nothing invisible, not without end."""

import re
import unicodedata
from pathlib import PurePosixPath

MOST = 512
# Marks that turn the direction of writing make "exe.txt" of "txt.exe"; joiners belong to words and emoji and stay.
_TURNS = re.compile("[\u202a-\u202e\u2066-\u2069]")


def clean_name(given: str) -> str:
    """The last component of a path, storable and at most 512 characters with its extension; "" if nothing is left."""
    name = re.split(r"[/\\]", given)[-1]
    name = "".join(character for character in name if unicodedata.category(character) not in ("Cc", "Cs"))
    name = _TURNS.sub("", name).strip()
    if name in ("", ".", ".."):
        return ""
    if len(name) > MOST:
        extension = PurePosixPath(name).suffix[:32]
        name = name[: MOST - len(extension)] + extension
    return name
