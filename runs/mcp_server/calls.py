"""A call of a tool: the run that it starts, what is told while that is under way, and what it came to."""

import logging
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any

import orjson
from mcp_types import (
    Annotations,
    CallToolResult,
    ContentBlock,
    ProgressNotificationParams,
    ResourceLink,
    TextContent,
)

from assistant_site.db import threads
from assistant_site.wire.fields import RequestSerializer, Text
from assistant_site.wire.rest import prepared
from assistants.models import Assistant
from files.models import File
from runs import actions
from runs.events import Told
from runs.following import Goal, follow
from runs.machine import RESTING, Status
from runs.models import Run
from runs.serializers import CreateRunRequestSerializer, CreateThreadAndRunRequestSerializer
from tenants.models import ApiToken, Tenant
from threads.models import Message
from threads.serializers import MAX_TEXT

logger = logging.getLogger(__name__)

MOST_DEEP = 3
TOO_DEEP = (
    f"Assistants have called each other {MOST_DEEP} times in a row to come to this call, and may not go on. Answer "
    "with what is known."
)
GONE = "The conversation was deleted while the assistant was at work."
_WRITING_SECONDS = 0.5  # between two words on how much has been written
LINKS_SINCE = "2025-06-18"  # the version that knows them


class AskArgumentsSerializer(RequestSerializer):
    message = Text(most=MAX_TEXT, least=1, required=True)
    thread_id = Text(id_word="thread")


@dataclass(frozen=True)
class Arguments:
    message: str
    thread_id: str | None


def arguments_of(given: dict[str, Any]) -> Arguments:
    """Raises a `Fault` that says what is wrong with them."""
    checked = prepared(AskArgumentsSerializer, False).run_validation(given)
    return Arguments(checked["message"], checked["thread_id"])


def start(token: ApiToken, assistant: Assistant, arguments: Arguments, *, depth: int, user: str) -> Run:
    """The run, queued. Raises a `WireError`: the token may not, there is no such thread, or it is busy."""
    token.require("runs.write", "threads.write")
    by: dict[str, Any] = {"tenant": token.tenant, "token": token, "user": user}
    message = {"role": "user", "content": arguments.message}
    wanted: dict[str, Any] = {"assistant_id": assistant.pk}
    came_with = {"depth": depth} if depth else {}
    if arguments.thread_id is None:
        wanted["thread"] = {"messages": [message]}
        body = prepared(CreateThreadAndRunRequestSerializer, False).run_validation(wanted)
        return actions.start_thread_and_run(**by, body=body | {"extra_body": came_with})
    wanted["additional_messages"] = [message]
    body = prepared(CreateRunRequestSerializer, False).run_validation(wanted)
    return actions.start_run(**by, thread_id=arguments.thread_id, body=body | {"extra_body": came_with})


def failed(text: str) -> CallToolResult:
    """For a call that came to no run."""
    return CallToolResult(content=[TextContent(text=text)], is_error=True)


# --- While it is under way -------------------------------------------------------------------------------------------


@dataclass
class Call:
    """A run that somebody waits for. `files_at`: the address under which files have theirs; empty: none are linked."""

    tenant: Tenant
    run_id: str
    thread_id: str
    files_at: str = ""
    result: CallToolResult | None = field(default=None, init=False)

    async def batches(self) -> AsyncIterator[list[Told]]:
        """What is told of the run, to its rest; empty batches in silences. Then there is `result`."""
        position = 0
        while self.result is None:
            async for batch in follow(self.run_id, after=position, goal=Goal(position + 1)):
                yield batch
                position = max([position, *(entry.position for entry in batch)])
            self.result = await threads.of_this_loop().run(result_of, self)

    async def settled(self) -> CallToolResult:
        async for _ in self.batches():
            pass
        assert self.result is not None
        return self.result


@dataclass
class Progress:
    """Turns events into words for who waits; `token` is the client's."""

    token: int | str
    written: int = 0
    _last: float = 0.0

    def of(self, batch: list[Told]) -> Iterator[ProgressNotificationParams]:
        """What is new with these events, as far as it is worth a word."""
        for entry in batch:
            if words := self._words(entry):
                yield ProgressNotificationParams(progress_token=self.token, progress=entry.position, message=words)

    def _words(self, entry: Told) -> str:
        match entry.name:
            case b"thread.run.queued":
                return "Waiting for a worker."
            case b"thread.run.in_progress":
                return "At work."
            case b"thread.run.step.delta":
                calls = orjson.loads(entry.data)["delta"]["step_details"].get("tool_calls", [])
                names = [name for call in calls if (name := _called(call))]
                return f"Calls {', '.join(names)}." if names else ""
            case b"thread.message.delta":
                parts = orjson.loads(entry.data)["delta"]["content"]
                self.written += sum(len(part.get("text", {}).get("value") or "") for part in parts)
                if time.monotonic() - self._last >= _WRITING_SECONDS:
                    self._last = time.monotonic()
                    return f"Writes: {self.written} characters so far."
        return ""


def _called(call: dict[str, Any]) -> str:
    """The name in a piece that opens a call; later pieces have none."""
    if call.get("type") == "function":
        return str(call["function"].get("name") or "")
    return str(call["type"]) if "id" in call else ""


# --- What it came to -------------------------------------------------------------------------------------------------


def result_of(call: Call) -> CallToolResult | None:
    """None if the run goes on. One that waits for its caller is cancelled: nobody can answer it here."""
    run = Run.objects.of(call.tenant).filter(pk=call.run_id).first()
    if run is None:
        return failed(GONE)
    if Status(run.status) not in RESTING:
        return None
    problem = _problem(run)
    if run.status == Status.REQUIRES_ACTION:
        actions.interrupt_run(call.tenant, run.thread_id, run.pk)
        run.refresh_from_db(fields=["status"])
    messages = list(Message.objects.of(call.tenant).filter(run_id=run.pk).order_by("pk"))
    answer = "\n\n".join(text for message in messages if (text := message.text))
    about = {"thread_id": run.thread_id, "run_id": run.pk, "status": str(run.status)}
    content: list[ContentBlock] = [TextContent(text=text) for text in (answer, problem) if text]
    content += _links(call, messages)
    content.append(
        TextContent(
            text=f"To go on with this conversation, give thread_id '{run.thread_id}'.",
            annotations=Annotations(audience=["assistant"]),
        )
    )
    return CallToolResult(
        content=content,
        structured_content={"answer": answer or problem, **about},
        is_error=bool(problem) and not (run.status == Status.INCOMPLETE and answer),
        _meta=about,
    )


def _problem(run: Run) -> str:
    """What the caller must be told of how the run ended; empty if it ended well."""
    match run.status:
        case Status.COMPLETED:
            return ""
        case Status.REQUIRES_ACTION:
            return _unanswerable(run.required_action or {})
        case Status.FAILED:
            error = run.last_error or {}
            return f"The assistant failed: {error.get('message')} ({error.get('code')})"
        case Status.INCOMPLETE:
            return f"The answer is not complete ({run.incomplete_reason})."
        case Status.EXPIRED:
            return "The assistant took too long, and its run has expired."
        case _:
            return "The assistant's run was cancelled."


def _unanswerable(action: dict[str, Any]) -> str:
    functions = [call["function"]["name"] for call in action.get("submit_tool_outputs", {}).get("tool_calls", [])]
    approvals = [call["name"] for call in action.get("submit_tool_approval", {}).get("tool_calls", [])]
    wanted = [f"the output of {', '.join(functions)}"] if functions else []
    wanted += [f"approval for {', '.join(approvals)}"] if approvals else []
    return (
        f"The assistant asked its caller for {' and '.join(wanted) or 'something'}, which cannot be given over MCP. "
        "Its run was cancelled."
    )


def _links(call: Call, messages: list[Message]) -> list[ContentBlock]:
    """The files and pages that the answer names, each once and in their order."""
    if not call.files_at:
        return []
    pages: dict[str, str] = {}
    file_ids: list[str] = []
    for part in (part for message in messages for part in message.content):
        if part["type"] == "image_file":
            file_ids.append(part["image_file"]["file_id"])
        for annotation in part["text"]["annotations"] if part["type"] == "text" else ():
            details = annotation[annotation["type"]]
            if annotation["type"] == "url_citation":
                pages.setdefault(details["url"], details.get("title") or details["url"])
            else:
                file_ids.append(details["file_id"])
    files = File.objects.of(call.tenant).filter(pk__in=file_ids).in_bulk()
    links: list[ContentBlock] = [
        ResourceLink(name=files[id].filename, uri=f"{call.files_at}/{id}/content", size=files[id].bytes)
        for id in dict.fromkeys(file_ids)
        if id in files
    ]
    return [*links, *(ResourceLink(name=title, uri=url) for url, title in pages.items())]
