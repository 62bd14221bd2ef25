"""A session that stands ready for a call: opened, with what earlier code has left and the files of the run in it."""

import asyncio
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from assistant_site.wire.errors import WireError
from files.models import File
from metering import quotas
from sandbox.protocol import FileRefused, Limits, OpenedSession, SandboxUnavailable, SessionGone, SessionKey
from tenants.models import Tenant
from tools.code_interpreter import access, spaces
from tools.code_interpreter.access import code_threads
from tools.code_interpreter.limits import limits_of
from tools.code_interpreter.passing import blob_pieces, ended
from tools.code_interpreter.spaces import Input
from tools.models import CodeFile, CodeSpace
from tools.tool import ToolContext

PREPARING_SECONDS = 20.0  # for which a call waits while the sandbox is being prepared
LOOK_SECONDS = 1.0
OPENINGS = 2  # of a session that is gone before it stands ready
PREPARING = "The code interpreter is being prepared; try again in a minute."


@dataclass(frozen=True)
class Ready:
    """A session for a call: what `begin` gives. `notes` open the call's logs, `asides` are for the model alone.

    `problem`: there is no session, and this is why.
    """

    generation: str = ""
    notes: list[str] = field(default_factory=list)
    asides: list[str] = field(default_factory=list)
    problem: str = ""

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Plan:
    """What is to be in the session."""

    limits: Limits
    space: CodeSpace  # with the thread's last session, which has had everything then
    inputs: list[Input]
    kept: dict[str, CodeFile]
    problem: str = ""  # why there is to be no session


def planned(context: ToolContext) -> Plan:
    tenant = Tenant.objects.get(pk=context.tenant_id)
    space, inputs = spaces.settled(context.tenant_id, context.thread_id, context.code_files)
    kept = spaces.kept_of(context.tenant_id, context.thread_id)
    limits = limits_of(tenant)
    problem = quotas.begin_code(tenant, context.call_id, limits.seconds)
    return Plan(limits, space, inputs, kept, problem)


async def ready_session(context: ToolContext) -> Ready:
    """The session with all its files. Raises SandboxError if there is none to be had, ThreadGone."""
    plan = await code_threads().run(planned, context)
    if plan.problem:
        return Ready(problem=plan.problem)
    for attempt in range(1, OPENINGS + 1):
        try:
            return await _ready(context, plan)
        except SessionGone:
            if attempt == OPENINGS:
                raise
    raise AssertionError


async def _ready(context: ToolContext, plan: Plan) -> Ready:
    key = SessionKey(context.tenant_id, context.thread_id)
    opened = await _opened_once_prepared(key, plan.limits)
    notes: list[str] = []
    asides: list[str] = []
    there = set(opened.files.values())
    is_new = opened.generation != plan.space.generation
    absent: Iterable[str] = plan.space.absent
    if is_new:
        absent = lost = await _put_kept(key, opened.generation, plan)
        asides += [f"{name} could not be put back into /mnt/data: {why}" for name, why in lost.items()]
        if plan.space.generation:
            notes.append(new_session(len(plan.kept) - len(lost)))
        there |= {row.input_id for row in plan.kept.values()}
    put, missing = await _put_inputs(key, opened.generation, plan, there)
    asides += missing
    if is_new or put:
        is_empty = not put and not plan.kept
        listed = {} if is_empty else spaces.states_of(await access.sandbox().files(key, opened.generation))
        seen = listed if is_new else plan.space.seen | {name: listed[name] for name in put if name in listed}
        await code_threads().run(spaces.stands_ready, key, opened.generation, seen, absent)
    return Ready(opened.generation, notes, asides)


def new_session(files: int) -> str:
    put_back = f" {files} file{'s were' if files > 1 else ' was'} put back into /mnt/data." if files else ""
    return f"[This is a new session: the variables and imports of earlier calls are gone.{put_back}]"


async def _opened_once_prepared(key: SessionKey, limits: Limits) -> OpenedSession:
    clock = asyncio.get_running_loop().time
    deadline = clock() + PREPARING_SECONDS
    while True:
        try:
            return await access.sandbox().open(key, limits)
        except SandboxUnavailable:
            health = await access.health_once_started()
            if not (health.is_preparing or health.is_available):
                raise
            if clock() > deadline:
                raise SandboxUnavailable(PREPARING) from None
        await asyncio.sleep(LOOK_SECONDS)


async def _put_kept(key: SessionKey, generation: str, plan: Plan) -> dict[str, str]:
    """Puts back what earlier code has left; returns what could not be, with the reason."""
    lost = {}
    for name, row in plan.kept.items():
        if why := await _put(key, generation, name, row.blob, row.bytes, row.input_id):
            lost[name] = why
    return lost


async def _put_inputs(key: SessionKey, generation: str, plan: Plan, there: set[str]) -> tuple[list[str], list[str]]:
    """Puts what the session does not have yet: the names, and what the model must know of what is missing."""
    put, missing = [], []
    for each in plan.inputs:
        if each.id in there:
            continue
        if each.file is None:
            missing.append(f"The file {each.id} is not in /mnt/data: it was deleted or has expired.")
        elif why := await _put_input(key, generation, plan, each.name, each.file):
            missing.append(f"The file {each.name} ({each.id}) is not in /mnt/data: {why}")
        else:
            put.append(each.name)
    return put, missing


async def _put_input(key: SessionKey, generation: str, plan: Plan, name: str, file: File) -> str:
    if file.bytes > plan.limits.data_bytes:
        room = spaces.told_size(plan.limits.data_bytes)
        return f"it has {spaces.told_size(file.bytes)}, and there is room for {room}."
    return await _put(key, generation, name, file.blob, file.bytes, str(file.pk))


async def _put(key: SessionKey, generation: str, name: str, blob: str, size: int, tag: str) -> str:
    """Why this file could not be put into the session; empty: it is there. Raises SandboxError for the rest."""
    try:
        async with ended(blob_pieces(blob, size)) as pieces:
            await access.sandbox().put(key, generation, name, pieces, size, tag)
    except (FileRefused, WireError) as problem:  # the session's, and the storage's
        return str(problem)
    return ""
