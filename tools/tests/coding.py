"""A thread whose code is run in tests, as a run would have it run."""

import asyncio
import copy
import json
import secrets
from collections.abc import Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from django.core.files.storage import storages
from django.db import connections, models
from openai.lib.streaming._deltas import accumulate_delta

from assistant_site.db.threads import DatabaseThreads
from files import actions, storage
from files.models import File
from sandbox.protocol import SessionKey
from tenants.models import Tenant
from threads.models import Thread
from tools.code_interpreter import access, closing, kept
from tools.code_interpreter.tool import CodeInterpreter
from tools.models import CodeFile
from tools.tests.scripted import ScriptedSandbox, Session
from tools.tool import ToolContext, ToolResult

T = TypeVar("T")
TOOL = CodeInterpreter()
CODE = {"type": "code_interpreter"}
EMPTY = {"input": "", "outputs": []}


@dataclass
class Called:
    """A call that was carried out; `told` is what its readers have put together."""

    result: ToolResult
    told: dict[str, Any]
    growths: list[dict[str, Any]]
    begun: dict[str, Any] | None
    call_id: str

    @property
    def details(self) -> dict[str, Any]:
        assert self.result.details is not None
        return self.result.details

    @property
    def logs(self) -> str:
        return "".join(entry.get("logs", "") for entry in self.details["outputs"])


@dataclass
class Coder:
    tenant: Tenant
    thread: Thread
    sandbox: Any
    files: list[str] = field(default_factory=list)

    @classmethod
    def new(cls, sandbox: Any) -> "Coder":
        tenant = Tenant.objects.create(name=f"Coder {secrets.token_hex(6)}")
        return cls(tenant, Thread.objects.create(tenant=tenant), sandbox)

    def upload(self, name: str, content: bytes) -> str:
        file = actions.create_file(tenant=self.tenant, filename=name, purpose="assistants", pieces=[content])
        self.files.append(str(file.pk))
        return str(file.pk)

    def run(
        self,
        code: str,
        *,
        resumed: Called | None = None,
        told: dict[str, Any] | None = None,
        call_id: str = "",
        begin: bool = True,
        **context: Any,
    ) -> Called:
        """Carries a call out. `resumed`: goes on with that call, as another worker, where `told` is what was told."""
        growths: list[dict[str, Any]] = []
        start = told if told is not None else EMPTY
        made = ToolContext(
            tenant_id=self.tenant.id,
            turn=1,
            options={"type": "code_interpreter"},
            thread_id=self.thread.id,
            call_id=resumed.call_id if resumed else call_id or secrets.token_hex(8),
            told=start,
            is_resumed=resumed is not None,
            grow=growths.append,
            code_files=tuple(self.files),
            **context,
        )

        async def carry_out() -> tuple[dict[str, Any] | None, ToolResult]:
            begun = resumed.begun if resumed else await TOOL.begin(made) if begin else None
            ready = ToolContext(**{**vars(made), "begun": begun})
            return begun, await TOOL.call(ready, json.dumps({"code": code}))

        begun, result = self.awaited(carry_out())
        folded: dict[Any, Any] = json.loads(json.dumps(start))
        for index, entry in enumerate(folded["outputs"]):
            entry["index"] = index
        for growth in growths:
            grown: dict[Any, Any] = dict(growth)
            folded = accumulate_delta(folded, copy.deepcopy(grown))
        return Called(result, without_indexes(folded), growths, begun, made.call_id)

    def awaited(self, coroutine: Coroutine[Any, Any, T]) -> T:
        async def with_one_connection() -> T:
            """The loop is a short one: what it has opened is closed with it."""
            threads = access.code_threads._of_loops[asyncio.get_running_loop()] = DatabaseThreads(1)
            try:
                return await coroutine
            finally:
                await access.disconnect()
                await threads.run(connections.close_all)
                threads.close()

        with access.using(self.sandbox):
            return asyncio.run(with_one_connection())

    @property
    def session(self) -> Session:
        session: Session
        [session] = [each for key, each in self.sandbox.sessions.items() if key.thread_id == self.thread.id]
        return session

    def delete(self, row: models.Model) -> None:
        """Deletes the thread or the tenant, and waits until the session is closed for it."""
        with access.using(self.sandbox):
            row.delete()
            closing.wait()

    def lose_session(self) -> None:
        assert isinstance(self.sandbox, ScriptedSandbox)
        self.awaited(self.sandbox.close(self.key))

    @property
    def key(self) -> SessionKey:
        return SessionKey(self.tenant.id, self.thread.id)

    @property
    def kept(self) -> dict[str, bytes]:
        """What is kept of the thread's files, read from the storage."""
        rows = CodeFile.objects.of(self.tenant).filter(thread=self.thread)
        return {row.name: b"".join(storage.joined([(row.blob, row.bytes)])) for row in rows}

    def content(self, file_id: str) -> bytes:
        file = File.objects.of(self.tenant).get(pk=file_id)
        return b"".join(storage.joined([(file.blob, file.bytes)]))


def without_indexes(details: dict[str, Any]) -> dict[str, Any]:
    return {
        **details,
        "outputs": [{k: v for k, v in entry.items() if k != "index"} for entry in details.get("outputs", [])],
    }


def is_stored(blob: str) -> bool:
    return Path(storages["blobs"].path(blob)).exists()


def rows_of(coder: Coder) -> dict[str, CodeFile]:
    return {row.name: row for row in CodeFile.objects.of(coder.tenant).filter(thread=coder.thread)}


def file_for(coder: Coder, name: str) -> str | None:
    return kept.file_for(coder.tenant.id, coder.thread.id, name)


def names_of(coder: Coder) -> frozenset[str]:
    return kept.names_of(coder.tenant.id, coder.thread.id)
