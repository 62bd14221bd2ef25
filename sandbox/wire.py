"""How what `sandbox.protocol` names is written in the daemon's HTTP: JSON objects, one event a line. Pure."""

import base64
import binascii
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

from sandbox.protocol import (
    CallLost,
    Done,
    Error,
    Event,
    FileInfo,
    FileRefused,
    Health,
    Image,
    Limits,
    NoRoom,
    OpenedSession,
    Reason,
    Result,
    SandboxError,
    SandboxUnavailable,
    SessionGone,
    SessionKey,
    Stderr,
    Stdout,
)

LONGEST_LINE = 16 * 1024 * 1024  # an image of 8 MiB in base64, and room
LONGEST_NAME = 1_024  # bytes of a file's whole path
LONGEST_PART = 255  # bytes of one folder's or file's name
STATUSES: dict[type[SandboxError], int] = {
    SandboxUnavailable: 503,
    NoRoom: 429,
    SessionGone: 410,
    CallLost: 409,
    FileRefused: 422,
    SandboxError: 400,
}
_ERRORS = {kind.__name__: kind for kind in STATUSES}
_ID = re.compile(r"(?!\.{1,2}$)[\w.:@-]{1,128}", re.ASCII)
_TEXTS: dict[str, type[Stdout] | type[Stderr] | type[Result]] = {"stdout": Stdout, "stderr": Stderr, "result": Result}


class Malformed(SandboxError):
    """What was received is not what this page says."""


def key_of(tenant_id: str, thread_id: str) -> SessionKey:
    """The session's key, if both are letters, digits and `_.:@-`; raises Malformed."""
    if not _ID.fullmatch(tenant_id) or not _ID.fullmatch(thread_id):
        raise Malformed("A session's tenant and thread are 1 to 128 letters, digits and any of _.:@-")
    return SessionKey(tenant_id, thread_id)


def checked_name(name: str) -> str:
    """A path below /mnt/data; raises FileRefused if it could be anything else, or is no text that can be shown."""
    try:
        parts = [part.encode() for part in name.split("/")]
    except UnicodeEncodeError:
        raise FileRefused("The file's name is not valid Unicode.") from None
    if not name or name.startswith("/") or any(part in (b"", b".", b"..") for part in parts):
        raise FileRefused(f"{name[:80]!r} is not the name of a file below /mnt/data.")
    if any(ord(letter) < 32 or 127 <= ord(letter) < 160 for letter in name):
        raise FileRefused("The file's name has control characters.")
    if any(len(part) > LONGEST_PART for part in parts) or len(name.encode()) > LONGEST_NAME:
        raise FileRefused(f"The file's name is longer than {LONGEST_PART} bytes a part or {LONGEST_NAME} in all.")
    return name


def dumps(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def loads(body: bytes) -> dict[str, Any]:
    """A JSON object; raises Malformed for anything else, however deep it is nested."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        raise Malformed("The body is not JSON.") from None
    if not isinstance(value, dict):
        raise Malformed("The body is not a JSON object.")
    return value


def field(body: Mapping[str, Any], name: str, kind: type, default: Any = None) -> Any:
    """A member of this very type, or the default where it is missing; raises Malformed."""
    value = body.get(name, default)
    if kind is float and type(value) is int:
        value = float(value)
    if type(value) is not kind:
        raise Malformed(f"{name} must be of type {kind.__name__}.")
    return value


def limits_to(limits: Limits) -> dict[str, Any]:
    return asdict(limits)


def limits_from(body: Mapping[str, Any], own: Limits) -> Limits:
    """What is asked for, with nothing above our own; what is not named is as our own."""
    values: dict[str, Any] = {}
    for each in fields(Limits):
        most = getattr(own, each.name)
        value = field(body, each.name, type(most), most)
        if not value > 0:
            raise Malformed(f"{each.name} must be positive.")
        values[each.name] = min(value, most)
    return Limits(**values)


def opened_to(opened: OpenedSession) -> dict[str, Any]:
    return asdict(opened)


def opened_from(body: Mapping[str, Any]) -> OpenedSession:
    files = field(body, "files", dict)
    return OpenedSession(
        generation=field(body, "generation", str),
        is_new=field(body, "is_new", bool),
        files={clean(name): clean(str(tag)) for name, tag in files.items()},
    )


def health_to(health: Health) -> dict[str, Any]:
    return asdict(health)


def health_from(body: Mapping[str, Any]) -> Health:
    return Health(
        is_available=field(body, "is_available", bool),
        is_preparing=field(body, "is_preparing", bool, False),
        reason=field(body, "reason", str, ""),
        remedy=field(body, "remedy", str, ""),
        tier=field(body, "tier", str, ""),
        notes=tuple(str(note) for note in field(body, "notes", list, [])),
        sessions=field(body, "sessions", int, 0),
    )


def file_to(file: FileInfo) -> dict[str, Any]:
    return {"name": file.name, "bytes": file.bytes, "modified": file.modified}


def files_from(values: Any) -> list[FileInfo]:
    if not isinstance(values, list) or not all(isinstance(each, dict) for each in values):
        raise Malformed("files must be a list of objects.")
    return [
        FileInfo(clean(field(each, "name", str)), field(each, "bytes", int), field(each, "modified", int, 0))
        for each in values
    ]


def error_to(error: SandboxError) -> tuple[int, bytes]:
    """Status and body of a refusal."""
    kind = next(each for each in type(error).__mro__ if each in STATUSES)
    return STATUSES[kind], dumps({"error": kind.__name__, "message": str(error)})


def error_from(body: bytes) -> SandboxError:
    """The exception that `error_to` was given; Malformed if it is none of ours."""
    told = loads(body)
    kind = _ERRORS.get(field(told, "error", str))
    if kind is None:
        raise Malformed("The error is of no known kind.")
    return kind(clean(field(told, "message", str)))


def event_to(event: Event | SandboxError) -> bytes:
    """One line. An exception in place of an event: nothing was begun, or the call was lost."""
    return dumps(_event(event)) + b"\n"


def _event(event: Event | SandboxError) -> dict[str, Any]:
    match event:
        case Stdout(text) | Stderr(text) | Result(text):
            return {"event": type(event).__name__.lower(), "text": text}
        case Image(mime, data):
            return {"event": "image", "mime": mime, "data": base64.b64encode(data).decode()}
        case Error(name, traceback):
            return {"event": "error", "name": name, "traceback": traceback}
        case Done():
            changed = [file_to(file) for file in event.changed]
            return {
                "event": "done",
                "ok": event.ok,
                "reason": event.reason,
                "restarted": event.restarted,
                "changed": changed,
                "message": event.message,
            }
        case SandboxError():
            kind = next(each for each in type(event).__mro__ if each in STATUSES)
            return {"event": "refused", "error": kind.__name__, "message": str(event)}


def event_from(line: bytes) -> Event | SandboxError:
    """The event of a line; raises Malformed."""
    told = loads(line)
    kind = field(told, "event", str)
    if kind in _TEXTS:
        return _TEXTS[kind](clean(field(told, "text", str)))
    if kind == "image":
        try:
            return Image(field(told, "mime", str), base64.b64decode(field(told, "data", str), validate=True))
        except (binascii.Error, ValueError):
            raise Malformed("An image is not in base64.") from None
    if kind == "error":
        return Error(clean(field(told, "name", str)), clean(field(told, "traceback", str)))
    if kind == "done":
        try:
            reason = Reason(field(told, "reason", str))
        except ValueError:
            raise Malformed("A call ended for no known reason.") from None
        return Done(
            ok=field(told, "ok", bool),
            reason=reason,
            restarted=field(told, "restarted", bool),
            changed=tuple(files_from(told.get("changed"))),
            message=clean(field(told, "message", str)),
        )
    if kind == "refused":
        return error_from(line)
    raise Malformed("An event is of no known kind.")


def clean(text: str) -> str:
    """Without lone surrogates, which can be written in JSON and nowhere else."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode(errors="replace").decode()
    return text
