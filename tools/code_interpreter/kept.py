"""Files that code has left in /mnt/data: kept after each execution, so that they outlive the session, and made files
of the API where an answer links to them.
"""

import asyncio
import contextlib
import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from django.db import transaction
from django.utils import timezone

from assistant_site.wire.errors import WireError
from files import actions, blobs
from files.models import File, Purpose
from files.storage import Stored, Streamed
from sandbox.protocol import FileInfo, FileRefused, SessionGone, SessionKey
from tenants.models import Tenant, TenantQuerySet
from tools.code_interpreter import access, spaces
from tools.code_interpreter.access import code_threads
from tools.code_interpreter.arguments import storable
from tools.code_interpreter.limits import MOST_KEPT_FILES, kept_bytes
from tools.code_interpreter.passing import ended, stored
from tools.models import CodeFile

logger = logging.getLogger(__name__)

MOST_LISTED = 1_000  # files of a session; a list that long may not be whole
AT_ONCE = 4


@dataclass(frozen=True)
class Left:
    """What the thread's code has left until now, and its inputs, when an execution has ended."""

    kept: dict[str, CodeFile]
    inputs: dict[str, File]  # by their names
    absent: frozenset[str]


@dataclass
class Kept:
    """What became of the files after an execution: `names` are new or changed, `unkept` with the reason."""

    names: list[FileInfo] = field(default_factory=list)
    unkept: dict[str, str] = field(default_factory=dict)


def left_by(tenant_id: str, thread_id: str) -> Left:
    space = spaces.space_of(tenant_id, thread_id)
    if space is None:
        raise spaces.ThreadGone(thread_id)
    files = File.objects.of(Tenant(pk=tenant_id)).in_bulk(list(space.inputs.values()))
    inputs = {name: files[id] for name, id in space.inputs.items() if id in files}
    return Left(spaces.kept_of(tenant_id, thread_id), inputs, frozenset(space.absent))


async def keep(key: SessionKey, generation: str, changed: Iterable[FileInfo]) -> Kept:
    """Stores what is new or other in the session, and forgets what is not there any more.

    Raises SessionGone, ThreadGone; everything else is told in what it returns.
    """
    listed = await access.sandbox().files(key, generation)
    left = await code_threads().run(left_by, key.tenant_id, key.thread_id)
    changed_names = {info.name for info in changed}
    result = Kept([info for info in listed if info.name in changed_names])
    wanted, refused = _chosen(listed, left, changed_names)
    limit = asyncio.Semaphore(AT_ONCE)

    async def keep_one(info: FileInfo) -> None:
        async with limit:
            if why := await _keep_one(key, generation, info, left):
                refused[info.name] = why

    for outcome in await asyncio.gather(*map(keep_one, wanted), return_exceptions=True):
        if isinstance(outcome, BaseException):
            raise outcome
    gone = set() if len(listed) >= MOST_LISTED else left.kept.keys() - {info.name for info in listed} - left.absent
    # An old state under the name of what could not be kept would be taken for it.
    await code_threads().run(_forget, key, gone | (refused.keys() & left.kept.keys()))
    result.unkept = {name: why for name, why in refused.items() if name in changed_names}
    return result


def _chosen(listed: list[FileInfo], left: Left, changed: set[str]) -> tuple[list[FileInfo], dict[str, str]]:
    """Which files of the session are to be read and stored, and which are not to be kept, with the reason.

    Also what was missed earlier, such as by a worker that died. If there is too much, the small ones are kept.
    """
    candidates, room, places = [], kept_bytes(), MOST_KEPT_FILES
    for info in listed:
        row = left.kept.get(info.name)
        was_put = row is None and info.name in left.inputs and left.inputs[info.name].bytes == info.bytes
        if info.name in changed or (row is None and not was_put) or (row is not None and row.bytes != info.bytes):
            candidates.append(info)
        elif row is not None:
            room, places = room - row.bytes, places - 1
    wanted, refused = [], {}
    for info in sorted(candidates, key=lambda info: (info.bytes, info.name)):
        if not _is_storable(info.name):
            refused[info.name] = "its name cannot be stored"
        elif places < 1:
            refused[info.name] = f"a conversation keeps {MOST_KEPT_FILES:,} files at most"
        elif info.bytes > room:
            refused[info.name] = f"a conversation keeps {spaces.told_size(kept_bytes())} of files at most"
        else:
            wanted.append(info)
            room, places = room - info.bytes, places - 1
    return wanted, refused


def _is_storable(name: str) -> bool:
    return len(name) <= CodeFile.MOST_NAME and name == storable(name) and name.isprintable()


async def _keep_one(key: SessionKey, generation: str, info: FileInfo, left: Left) -> str:
    """Why the file is not kept; empty: it is."""
    try:
        async with ended(access.sandbox().read(key, generation, info.name, info.bytes)) as pieces:
            new = await stored(pieces)
    except (FileRefused, WireError) as problem:
        return str(problem)
    given = left.inputs.get(info.name)
    await code_threads().run(_own, key, info.name, new, given)
    return ""


def _own(key: SessionKey, name: str, new: Stored, given: File | None) -> None:
    """Makes the thread the owner of this content of its file, unless it has it already, or it is the input's."""
    superfluous = [new.blob]
    try:
        with transaction.atomic():
            spaces.lock_thread(key.tenant_id, key.thread_id)
            row: CodeFile | None = _rows(key).filter(name=name).first()
            if row is not None and row.sha256 == new.sha256:
                return
            if row is not None:
                row.delete()
            if given is None or given.sha256 != new.sha256:
                owner = CodeFile(
                    tenant_id=key.tenant_id,
                    thread_id=key.thread_id,
                    name=name,
                    sha256=new.sha256,
                    input_id=str(given.pk) if given else "",
                    updated_at=timezone.now(),
                )
                blobs.give(new, owner)
                superfluous = []
            superfluous += [row.blob] if row is not None else []
    finally:
        blobs.drop(*superfluous)


def _forget(key: SessionKey, names: Iterable[str]) -> None:
    """Files that code has deleted."""
    if not names:
        return
    with transaction.atomic():
        spaces.lock_thread(key.tenant_id, key.thread_id)
        rows = list(_rows(key).filter(name__in=names))
        for row in rows:
            row.delete()
    blobs.drop(*[row.blob for row in rows])


def _rows(key: SessionKey) -> TenantQuerySet[CodeFile]:
    return CodeFile.objects.of(Tenant(pk=key.tenant_id)).filter(thread_id=key.thread_id)


async def kept_if_there(key: SessionKey, generation: str, changed: Iterable[FileInfo]) -> Kept:
    """As `keep`; nothing if the session or the thread is gone, and with a log entry if something is wrong."""
    try:
        return await keep(key, generation, changed)
    except (SessionGone, spaces.ThreadGone):
        return Kept()
    except Exception:
        logger.exception("The files of the code of thread %s were not kept.", key.thread_id)
        return Kept(unkept={info.name: "of a fault of the server" for info in changed})


def names_of(tenant_id: str, thread_id: str) -> frozenset[str]:
    """The names below /mnt/data that an answer may link to: what code has left, and what it was given."""
    space = spaces.space_of(tenant_id, thread_id)
    inputs = space.inputs if space else {}
    return frozenset([*spaces.kept_of(tenant_id, thread_id), *inputs, *inputs.values()])


def file_for(tenant_id: str, thread_id: str, name: str) -> str | None:
    """The id of the file that has the content of /mnt/data/<name>: one is made if there is none yet.

    An input that was not changed is its own file. None: there is no such file, or it is empty, as no file can be.
    """
    tenant = Tenant(pk=tenant_id)
    space = spaces.space_of(tenant_id, thread_id)
    inputs = space.inputs if space else {}
    by_id = {id: each for each, id in inputs.items()}
    name = by_id.get(name, name)
    row: CodeFile | None = CodeFile.objects.of(tenant).filter(thread_id=thread_id, name=storable(name)).first()
    if row is None:
        known = inputs.get(name)
        return known if known and _is_there(tenant, known) else None
    if row.file_id and _is_there(tenant, row.file_id):
        return row.file_id
    return _made(tenant, row) if row.bytes else None


def _made(tenant: Tenant, row: CodeFile) -> str | None:
    """A file with this row's content; another's if somebody else was first. None: the row was changed meanwhile."""
    with contextlib.closing(Streamed(row.blob, row.bytes)) as pieces:
        file = actions.create_file(
            tenant=tenant,
            filename=PurePosixPath(row.name).name,
            purpose=Purpose.ASSISTANTS_OUTPUT,
            pieces=pieces,
        )
    same = CodeFile.objects.of(tenant).filter(pk=row.pk, file_id=row.file_id)
    if same.update(file_id=file.pk):
        return str(file.pk)
    actions.erase(str(file.pk))
    now: CodeFile | None = CodeFile.objects.of(tenant).filter(pk=row.pk).first()
    return now.file_id if now else None


def _is_there(tenant: Tenant, file_id: str) -> bool:
    return actions.files_of(tenant).filter(pk=file_id).exists()
