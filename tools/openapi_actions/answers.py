"""What a service answered, as a model reads it: a text, or the name of a file."""

import codecs
import http
import json
import re
from email.message import Message
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from assistant_site.fetching import Answer
from assistant_site.wire.rendering import dumps
from files.names import clean_name

MOST_DATA = 4_000_000  # characters of JSON that are read: a fraction of a second in which nothing else is done
BYTES_PER_TOKEN = 3  # of JSON, roughly: too small rather than too large
_TEXTUAL = re.compile(
    r"text/|application/([\w.+-]+\+)?(json|xml|yaml|x-yaml|x-ndjson|javascript|x-www-form-urlencoded)\b"
    r"|application/(json-seq|graphql|toml)\b"
)
# What Python has beside charsets; some fail on any text, others take a time that grows with the square of its length.
_NO_CHARSETS = {"idna", "punycode", "raw-unicode-escape", "unicode-escape", "undefined", "utf-7"}
_ENDINGS = {
    "application/pdf": ".pdf",
    "application/zip": ".zip",
    "image/png": ".png",
    "image/jpeg": ".jpg",
    "image/webp": ".webp",
    "image/gif": ".gif",
    "text/csv": ".csv",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": ".xlsx",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": ".docx",
    "audio/mpeg": ".mp3",
    "video/mp4": ".mp4",
}
SHOWN_IMAGES = ("image/png", "image/jpeg", "image/webp", "image/gif")


def media_type(answer: Answer) -> str:
    return answer.content_type.partition(";")[0].strip().lower()


def is_file(answer: Answer) -> bool:
    """Whether it is to be kept as a file: sent as one, or nothing that is read as text."""
    if not answer.body or not 200 <= answer.status < 300:
        return False
    disposition = answer.headers.get("content-disposition", "").strip().lower()
    if disposition.startswith("attachment"):
        return True
    return not is_text(answer)


def is_text(answer: Answer) -> bool:
    """Whether the body is to be read as text."""
    kind = media_type(answer)
    return bool(_TEXTUAL.match(kind)) if kind else b"\x00" not in answer.body[:1024]


def name_of(answer: Answer) -> str:
    """The file's name: as the service calls it, else the end of its address, with an ending that fits."""
    header = Message()
    header["Content-Disposition"] = answer.headers.get("content-disposition", "")
    name = clean_name(header.get_filename() or "") or clean_name(unquote(urlsplit(answer.url).path.rpartition("/")[2]))
    name = re.sub(r"[\s()\[\]<>\"'`|*?:]+", "_", name) or "answer"  # a link in Markdown ends at some of these
    if not PurePosixPath(name).suffix:
        name += _ENDINGS.get(media_type(answer), ".bin")
    return name


def text_of(answer: Answer) -> str:
    """The body as text, in the charset that it says, or UTF-8."""
    header = Message()
    header["Content-Type"] = answer.content_type or "text/plain"
    try:
        codec = codecs.lookup(header.get_content_charset("utf-8"))
        charset = "utf-8" if codec.name in _NO_CHARSETS else codec.name
        text = answer.body.decode(charset, "replace")
    except (LookupError, ValueError):
        text = answer.body.decode("utf-8", "replace")
    return text.encode("utf-8", "replace").decode()  # some charsets have halves of surrogate pairs


def status_of(answer: Answer) -> str:
    """`404 Not Found`"""
    try:
        return f"{answer.status} {http.HTTPStatus(answer.status).phrase}"
    except ValueError:
        return str(answer.status)


def told(answer: Answer, text: str, tokens: int) -> str:
    """The answer, which has this text, as the model reads it: cut to about so many tokens."""
    most = max(200, tokens * BYTES_PER_TOKEN)
    if len(text.encode()) > most:
        kept = text.encode()[:most].decode(errors="ignore")
        text = f"{kept}\n[The answer is longer: {len(text)} characters, of which {len(kept)} are shown.]"
    if 200 <= answer.status < 300:
        return text if text.strip() else f"The service answered {status_of(answer)}, without content."
    return f"The service answered {status_of(answer)}." + (f"\n{text}" if text.strip() else "")


def as_data(text: str) -> Any:
    """An answer's text for the caller of the API: JSON as values, if it can be written again, else as it is."""
    if len(text) > MOST_DATA:
        return text
    try:
        value = json.loads(text, parse_constant=_refuse)
        dumps(value)
    except (ValueError, RecursionError):
        return text
    return value


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")
