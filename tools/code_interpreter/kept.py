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
from django.db.models import Sum
from django.utils import timezone

from assistant_site.wire.errors import WireError
from files import actions, blobs
from files.models import File, Purpose
from files.storage import Stored, Streamed
from metering import quotas
from sandbox.protocol import FileInfo, FileRefused, SandboxError, SessionGone, SessionKey
from tenants.models import Tenant, TenantQuerySet
from tools.code_interpreter import access, spaces
from tools.code_interpreter.access import code_threads
from tools.code_interpreter.limits import MOST_KEPT_FILES, kept_bytes
from tools.code_interpreter.passing import ended, stored
from tools.code_interpreter.spaces import Seen
from tools.models import CodeFile
from tools.texts import storable

logger = logging.getLogger(__name__)

MOST_LISTED = 1_000  # files of a session; a list that long may not be whole
AT_ONCE = 4


@dataclass(frozen=True)
class Left:
    """What is known of a thread's files when an execution has ended."""

    kept: dict[str, CodeFile]
    inputs: dict[str, File]  # by their names
    seen: Seen
    absent: frozenset[str]


@dataclass
class Kept:
    """What became of the files after an execution: `names` are new or changed, `unkept` with the reason."""

    names: list[FileInfo] = field(default_factory=list)
    unkept: dict[str, str] = field(default_factory=dict)


def left_by(key: SessionKey, generation: str) -> Left:
    space = spaces.space_of(key.tenant_id, key.thread_id)
    if space is None:
        raise spaces.ThreadGone(key.thread_id)
    files = File.objects.of(Tenant(pk=key.tenant_id)).in_bulk(list(space.inputs.values()))
    inputs = {name: files[id] for name, id in space.inputs.items() if id in files}
    seen = space.seen if space.generation == generation else {}
    return Left(spaces.kept_of(key.tenant_id, key.thread_id), inputs, seen, frozenset(space.absent))


async def keep(key: SessionKey, generation: str, changed: Iterable[FileInfo]) -> Kept:
    """Stores what is new or other in the session, and forgets what is not there any more.

    Also what was missed earlier, by a worker that died or a storage that failed: what is not `Left.seen` is looked at.
    Raises SandboxError, ThreadGone; of single files everything is told in what it returns.
    """
    listed = await access.sandbox().files(key, generation)
    left = await code_threads().run(left_by, key, generation)
    changed_names = {info.name for info in changed}
    candidates = [i for i in listed if i.name in changed_names or left.seen.get(i.name) != spaces.state_of(i)]
    wanted, refused = _chosen(candidates, listed, left)
    failed: dict[str, str] = {}
    limit = asyncio.Semaphore(AT_ONCE)

    async def keep_one(info: FileInfo) -> None:
        async with limit:
            try:
                await _keep_one(key, generation, info, left.inputs.get(info.name))
            except FileRefused as problem:
                refused[info.name] = str(problem)
            except WireError as problem:  # the storage's; another time
                failed[info.name] = str(problem)

    for outcome in await asyncio.gather(*map(keep_one, wanted), return_exceptions=True):
        if isinstance(outcome, BaseException):
            raise outcome
    gone = set() if len(listed) >= MOST_LISTED else left.kept.keys() - {info.name for info in listed} - left.absent
    # An old state under the name of what could not be kept would be taken for it.
    await code_threads().run(_forget, key, gone | (refused.keys() & left.kept.keys()))
    unkept = refused | failed
    seen = spaces.states_of(info for info in listed if info.name not in unkept)
    if seen != left.seen:
        await code_threads().run(spaces.have_seen, key, generation, seen)
    return Kept(
        [info for info in listed if info.name in changed_names - unkept.keys()],
        {name: why for name, why in unkept.items() if name in changed_names},
    )


def _chosen(candidates: list[FileInfo], listed: list[FileInfo], left: Left) -> tuple[list[FileInfo], dict[str, str]]:
    """Which of these are to be read and stored, and which are not to be kept, with the reason.

    If there is too much, the small ones are kept.
    """
    looked_at = {info.name for info in candidates}
    staying = [left.kept[info.name] for info in listed if info.name in left.kept and info.name not in looked_at]
    room, places = kept_bytes() - sum(row.bytes for row in staying), MOST_KEPT_FILES - len(staying)
    wanted, refused = [], {}
    for info in sorted(candidates, key=lambda info: (info.bytes, info.name)):
        if not spaces.is_storable(info.name):
            refused[info.name] = "its name cannot be stored"
        elif places < 1:
            refused[info.name] = f"a conversation keeps {MOST_KEPT_FILES:,} files at most"
        elif info.bytes > room:
            refused[info.name] = f"a conversation keeps {spaces.told_size(kept_bytes())} of files at most"
        else:
            wanted.append(info)
            room, places = room - info.bytes, places - 1
    return wanted, refused


async def _keep_one(key: SessionKey, generation: str, info: FileInfo, given: File | None) -> None:
    async with ended(access.sandbox().read(key, generation, info.name, info.bytes)) as pieces:
        new = await stored(pieces)
    await code_threads().run(_own, key, info.name, new, given)


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
                quotas.check_storage(Tenant(pk=key.tenant_id), new.bytes)
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
    except SandboxError as problem:
        logger.warning("The files of the code of thread %s were not kept: %s", key.thread_id, problem)
        return Kept(unkept={info.name: str(problem) for info in changed})
    except Exception:
        logger.exception("The files of the code of thread %s were not kept.", key.thread_id)
        return Kept(unkept={info.name: "the server has a fault" for info in changed})


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


def stored_bytes(tenant_id: str) -> int:
    """What the tenant's code has left takes."""
    rows = CodeFile.objects.across_tenants().filter(tenant_id=tenant_id)
    return rows.aggregate(bytes=Sum("bytes"))["bytes"] or 0


def _is_there(tenant: Tenant, file_id: str) -> bool:
    return actions.files_of(tenant).filter(pk=file_id).exists()
