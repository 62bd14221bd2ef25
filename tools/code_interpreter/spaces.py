"""Which files a thread's code finds, and under which names: decided once, told to the model before it writes code."""

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from django.db import transaction
from django.utils import timezone

from files.models import File
from files.names import clean_name
from sandbox.protocol import FileInfo, SessionKey
from tenants.models import Tenant
from threads.models import Thread
from tools.models import CodeFile, CodeSpace

Seen = dict[str, list[int]]  # of files by their names: bytes, and the sandbox's time

MOST_NAME_BYTES = 240  # of one component; the sandbox's file system takes 255
MOST_SUFFIX_BYTES = 32
MOST_BRIEFED = 50
_UNFIT = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")  # control codes, line ends, halves of pairs


class ThreadGone(Exception):
    """The thread was deleted while its code was to run."""


@dataclass(frozen=True)
class Input:
    """A file of the assistant's or the thread's for code; `file` is None if it has been deleted or has expired."""

    id: str
    name: str
    file: File | None


def lock_thread(tenant_id: str, thread_id: str) -> None:
    """Part of a transaction that writes rows of the thread's code: it comes before or after the thread's deletion."""
    same = Thread.objects.of(Tenant(pk=tenant_id)).filter(pk=thread_id)
    if same.select_for_update(no_key=True).only("pk").first() is None:
        raise ThreadGone(thread_id)


def space_of(tenant_id: str, thread_id: str) -> CodeSpace | None:
    found: CodeSpace | None = CodeSpace.objects.of(Tenant(pk=tenant_id)).filter(thread_id=thread_id).first()
    return found


def settled(tenant_id: str, thread_id: str, file_ids: Sequence[str]) -> tuple[CodeSpace, list[Input]]:
    """The thread's space and these files in it, each with its name, which it gets here if it has none yet.

    Raises ThreadGone.
    """
    tenant = Tenant(pk=tenant_id)
    wanted = list(dict.fromkeys(file_ids))
    files = {str(file.pk): file for file in File.objects.of(tenant).filter(File.unexpired(), pk__in=wanted)}
    space = space_of(tenant_id, thread_id)
    if space is None or any(id in files and id not in space.inputs.values() for id in wanted):
        with transaction.atomic():
            lock_thread(tenant_id, thread_id)
            space = space_of(tenant_id, thread_id) or CodeSpace(tenant_id=tenant_id, thread_id=thread_id)
            taken = {name.split("/")[0] for name in kept_of(tenant_id, thread_id)}
            for id in wanted:
                if id in files and id not in space.inputs.values():
                    name = unique_name(files[id].filename, id, {*taken, *space.inputs})
                    space.inputs[name] = id
            space.save()
    names = {id: name for name, id in space.inputs.items()}
    return space, [Input(id, names.get(id, ""), files.get(id)) for id in wanted]


def kept_of(tenant_id: str, thread_id: str) -> dict[str, CodeFile]:
    """The files that the thread's code has left, by name."""
    rows = CodeFile.objects.of(Tenant(pk=tenant_id)).filter(thread_id=thread_id).order_by("name")
    return {row.name: row for row in rows}


def stands_ready(key: SessionKey, generation: str, seen: Seen, absent: Iterable[str]) -> None:
    """Notes the session that has all files it can have."""
    spaces = CodeSpace.objects.of(Tenant(pk=key.tenant_id)).filter(thread_id=key.thread_id)
    spaces.update(generation=generation, seen=seen, absent=sorted(absent), used_at=timezone.now())


def have_seen(key: SessionKey, generation: str, seen: Seen) -> None:
    """Notes the states of the session's files that are kept now."""
    spaces = CodeSpace.objects.of(Tenant(pk=key.tenant_id)).filter(thread_id=key.thread_id, generation=generation)
    spaces.update(seen=seen)


def state_of(info: FileInfo) -> list[int]:
    return [info.bytes, info.modified]


def states_of(listed: Iterable[FileInfo]) -> Seen:
    return {info.name: state_of(info) for info in listed if is_storable(info.name)}


def is_storable(name: str) -> bool:
    """Whether a name out of the sandbox can be stored and shown."""
    return len(name) <= CodeFile.MOST_NAME and _UNFIT.search(name) is None


def unique_name(filename: str, file_id: str, taken: Collection[str]) -> str:
    """The file's own name as it can stand in /mnt/data, with a number if it is taken."""
    name = clean_name(filename) or file_id
    suffix = PurePosixPath(name).suffix
    if len(suffix.encode()) > MOST_SUFFIX_BYTES:
        suffix = ""
    stem = name.removesuffix(suffix)
    number = 1
    while True:
        ending = suffix if number == 1 else f"-{number}{suffix}"
        tried = _cut(stem, MOST_NAME_BYTES - len(ending.encode())) + ending
        if tried not in taken:
            return tried
        number += 1


def _cut(text: str, most: int) -> str:
    return text.encode()[:most].decode(errors="ignore")


def briefing(inputs: Sequence[Input], kept: dict[str, CodeFile]) -> str:
    """The files that the model is told of before it writes code; the newest of its own if they are too many."""
    lines = []
    for each in inputs:
        if each.file is not None:
            changed = kept.get(each.name)
            size = changed.bytes if changed else each.file.bytes
            lines.append(f"- {each.name} ← {each.id} ({told_size(size)})")
    names = {each.name for each in inputs}
    own = sorted((row for row in kept.values() if row.name not in names), key=lambda row: row.updated_at, reverse=True)
    lines += [f"- {row.name} ({told_size(row.bytes)})" for row in own]
    if len(lines) > MOST_BRIEFED:
        lines = [*lines[:MOST_BRIEFED], f"- and {len(lines) - MOST_BRIEFED} more"]
    return "\n".join(["Files in /mnt/data:", *lines]) if lines else ""


def told_size(size: int) -> str:
    for unit, factor in (("MB", 1_000_000), ("kB", 1_000)):
        if size >= factor:
            return f"{size / factor:.1f} {unit}"
    return f"{size} bytes" if size != 1 else "1 byte"
