"""`code_interpreter`: the model writes Python, which runs in the sandbox of its thread.

Nothing here fails a run: what goes wrong stands in the call's logs, and the model reads it.
"""

import contextlib
import json
import logging
import time
from collections.abc import Sequence
from functools import partial
from typing import Any

from assistant_site.wire.errors import WireError
from files import actions
from files.models import Purpose
from metering import quotas
from sandbox.protocol import (
    CallLost,
    Done,
    Error,
    FileInfo,
    Image,
    Reason,
    Result,
    SandboxError,
    SessionGone,
    SessionKey,
    Stderr,
    Stdout,
)
from tenants.models import Tenant
from tools.code_interpreter import access, arguments, kept, spaces
from tools.code_interpreter.access import code_threads
from tools.code_interpreter.arguments import KEY, Unreadable, code_of
from tools.code_interpreter.limits import limits_of, output_bytes_of
from tools.code_interpreter.opening import Ready, ready_session
from tools.code_interpreter.outputs import Outputs, for_the_model
from tools.code_interpreter.passing import ended
from tools.served import Plain
from tools.texts import BYTES_PER_TOKEN
from tools.tool import Briefed, Offer, ToolContext, ToolResult

logger = logging.getLogger(__name__)

PACKAGES = (
    "numpy, pandas, scipy, scikit-learn, statsmodels, sympy, networkx, matplotlib, seaborn, pillow, openpyxl, "
    "xlsxwriter, python-docx, python-pptx, pypdf, pdfplumber, reportlab, lxml, beautifulsoup4, pyyaml"
)
DESCRIPTION = (
    "Runs Python and returns what it printed and the value of its last expression. Variables, imports and files "
    "survive from call to call of this conversation. There is no network and no pip install. "
    f"Installed are {PACKAGES}. "
    "Files are in /mnt/data, the working directory. To give the user a file, save it there and link to it in your "
    "answer: [name](sandbox:/mnt/data/name). A figure is shown to the user by plt.show(), without a link."
)
PARAMETERS = {
    "type": "object",
    "properties": {arguments.KEY: {"type": "string", "description": "The Python code to run."}},
    "required": [arguments.KEY],
    "additionalProperties": False,
}
MOST_LISTED = 50  # changed files of which the model is told
LOST = (
    "[The connection to the sandbox was lost while this code ran. It may have run in part, and was not run again. "
    "Check what it has done before you repeat it.]"
)
FAULT = "The code could not be run because of a fault of the server."
THREAD_GONE = "The code was not run: its thread was deleted."


class CodeInterpreter(Plain):
    type = step_type = "code_interpreter"
    in_order = True
    links_to_code = True

    def is_offered(self) -> bool:
        """Whether models are told of it at all; the operator may have switched it off."""
        return not access.is_off()

    def offers(self, tool: dict[str, Any], briefing: Any) -> list[Offer]:
        description = f"{DESCRIPTION}\n{briefing}" if briefing else DESCRIPTION
        return [Offer(self.type, description, PARAMETERS)]

    def brief(self, tool: dict[str, Any], run: Briefed) -> str:
        seconds = limits_of(Tenant.objects.get(pk=run.tenant_id)).seconds
        try:
            _, inputs = spaces.settled(run.tenant_id, run.thread_id, run.code_files)
        except spaces.ThreadGone:
            return ""
        files = spaces.briefing(inputs, spaces.kept_of(run.tenant_id, run.thread_id))
        return f"A call may take {seconds:g} seconds. {files}".strip()

    async def hindrance(self) -> str:
        health = await access.health_once_started()
        return "" if health.is_available or health.is_preparing else health.sentence

    def listener(self) -> arguments.Listener:
        return arguments.Listener()

    def opening(self, tool: dict[str, Any], name: str) -> dict[str, Any]:
        return {"input": "", "outputs": []}

    def opened(self, details: dict[str, Any]) -> dict[str, Any]:
        return {"input": "", "outputs": []}

    def shown_again(self, arguments: str) -> str:
        text = arguments
        with contextlib.suppress(Unreadable):
            text = json.dumps({KEY: code_of(arguments)}, ensure_ascii=False)
        return text

    def flaw(self, text: str) -> str:
        return arguments.flaw(text)

    async def begin(self, context: ToolContext) -> dict[str, Any]:
        return (await self._ready(context)).as_json()

    async def call(self, context: ToolContext, arguments: str) -> ToolResult:
        return await Execution(self, context, arguments).result()

    async def abandon(self, context: ToolContext) -> None:
        try:
            await access.sandbox().interrupt(key_of(context))
        except SandboxError as problem:
            logger.warning("The code of thread %s was not interrupted: %s", context.thread_id, problem)
        except Exception:
            logger.exception("The code of thread %s was not interrupted.", context.thread_id)
        await code_threads().run(quotas.end_code, context.tenant_id, context.call_id, None)

    async def _ready(self, context: ToolContext) -> Ready:
        try:
            return await ready_session(context)
        except SandboxError as problem:
            return Ready(problem=str(problem))
        except spaces.ThreadGone:
            return Ready(problem=THREAD_GONE)
        except Exception:
            logger.exception("No code session of thread %s could be opened.", context.thread_id)
            return Ready(problem=FAULT)


def key_of(context: ToolContext) -> SessionKey:
    return SessionKey(context.tenant_id, context.thread_id)


class Execution:
    """One call on its way to its result."""

    def __init__(self, tool: CodeInterpreter, context: ToolContext, text: str) -> None:
        self.tool = tool
        self.context = context
        self.text = text
        self.outputs = Outputs(context.told, context.grow)
        self.remarks: list[str] = []  # for the model alone
        self.is_silent = True  # no event has come
        self.seconds = 0.0  # in which code ran

    async def result(self) -> ToolResult:
        try:
            code = arguments.code_of(self.text)
        except arguments.Unreadable as problem:
            return ToolResult(str(problem), self.outputs.details)
        self.outputs.told_input(code)
        try:
            await self._carry_out(code)
        except SandboxError as problem:
            self.outputs.end_with(str(problem))
        except Exception:
            logger.exception("The code of call %s of tenant %s failed.", self.context.call_id, self.context.tenant_id)
            self.outputs.end_with(FAULT)
        finally:
            self.outputs.stop()
        self.outputs.tell()
        await code_threads().run(quotas.end_code, self.context.tenant_id, self.context.call_id, self.seconds)
        most = await code_threads().run(self._most_bytes)
        output = for_the_model(self.outputs, self.remarks, most)
        return ToolResult(output, self.outputs.details, images=self.outputs.images)

    async def _carry_out(self, code: str) -> None:
        begun = self.context.begun
        ready = Ready(**begun) if begun is not None else await self.tool._ready(self.context)
        done = None
        try:
            done = await self._execute(ready, code)
        except SessionGone:
            if self.context.is_resumed:  # it may have run in the session that is gone
                self.outputs.end_with(LOST)
                return
            ready = await self.tool._ready(self.context)
            done = await self._execute(ready, code)
        except CallLost:
            self.outputs.end_with(LOST)
        if ready.problem:
            return
        changed = done.changed if done else ()
        report = await kept.kept_if_there(key_of(self.context), ready.generation, changed)
        self.remarks += remarks_on(report, changed)

    async def _execute(self, ready: Ready, code: str) -> Done | None:
        """Runs the code, or follows what has been begun. Raises SessionGone if nothing was run."""
        if ready.problem:
            self.outputs.line(ready.problem)
            return None
        done = None
        began = time.monotonic()
        events = access.sandbox().execute(key_of(self.context), ready.generation, self.context.call_id, code)
        async with ended(events):
            async for event in events:
                self.seconds = time.monotonic() - began
                if self.is_silent:
                    self.is_silent = False
                    self.remarks += ready.asides
                    for note in ready.notes:
                        self.outputs.line(note)
                if isinstance(event, Done):
                    done = event
                else:
                    await self._show(event)
        if done is not None and done.reason is not Reason.COMPLETED:
            self.outputs.line(done.message)
        return done

    async def _show(self, event: Stdout | Stderr | Result | Image | Error) -> None:
        match event:
            case Image():
                try:
                    await self.outputs.image(partial(self._stored, event))
                except WireError as problem:
                    self.outputs.end_with(f"[An image could not be stored: {problem}]")
            case Error():
                self.outputs.line(event.traceback)
            case Result():
                self.outputs.text(event.text, is_result=True)
            case _:
                self.outputs.text(event.text)

    async def _stored(self, image: Image, number: int) -> str:
        """A new file of this image; its id."""
        ending = "jpg" if image.mime == "image/jpeg" else "png"
        file = await code_threads().run(
            actions.create_file,
            tenant=Tenant(pk=self.context.tenant_id),
            filename=f"image-{number}.{ending}",
            purpose=Purpose.ASSISTANTS_OUTPUT,
            pieces=[image.data],
        )
        return str(file.pk)

    def _most_bytes(self) -> int:
        tenant = Tenant.objects.filter(pk=self.context.tenant_id).first() or Tenant()
        return min(output_bytes_of(tenant), int(self.context.result_tokens * BYTES_PER_TOKEN))


def remarks_on(report: kept.Kept, changed: Sequence[FileInfo]) -> list[str]:
    """What the model is told of the files that the code has written."""
    remarks = []
    if report.names:
        remarks.append("New or changed files, which you can link to in your answer:")
        remarks += [
            f"sandbox:/mnt/data/{each.name} ({spaces.told_size(each.bytes)})" for each in report.names[:MOST_LISTED]
        ]
        if len(report.names) > MOST_LISTED:
            remarks.append(f"and {len(report.names) - MOST_LISTED} more")
    for name, why in list(report.unkept.items())[:MOST_LISTED]:
        remarks.append(f"{name} is not kept beyond this session, and cannot be linked to: {why.rstrip('.')}.")
    return remarks
