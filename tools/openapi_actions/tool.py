"""`{"type": "action", "id": …}`: the model calls one operation of a service that an OpenAPI document describes."""

import asyncio
import logging
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from assistant_site.db.threads import OfEachLoop
from assistant_site.wire.errors import InvalidRequest, NotFound, WireError
from files import actions as files
from files import storage
from files.models import File, Purpose
from tenants import reach
from tenants.encryption import Undecryptable
from tenants.models import Tenant
from tools.openapi import BadArguments, BadAuthentication, Operation, check_authentication
from tools.openapi_actions import answers, calling
from tools.openapi_actions.calling import Answered, Call, CallFailed
from tools.openapi_actions.models import Action, usable_by
from tools.openapi_actions.serializers import ActionToolSerializer
from tools.served import ServedTool
from tools.tool import Briefed, Offer, StoredFile, ToolContext, ToolResult

logger = logging.getLogger(__name__)

action_threads = OfEachLoop(lambda: 4)

AUTHENTICATIONS = "action_authentications"  # in the run's `extra_body`: by the action's id
LOST = (
    "The connection was lost while this call was made. The service may have carried it out, and it was not made again. "
    "Find out what was done before you repeat it."
)
UNREADABLE = "The call was not made: the credentials of this action cannot be read. The operator must see to it."


class ActionTool(ServedTool):
    type = "action"
    is_single = False
    has_effects = True
    shape = ActionToolSerializer

    def judge(self, tenant: Tenant, tools: list[dict[str, Any]]) -> None:
        wanted = {tool["id"] for tool in tools if tool["type"] == self.type}
        if not wanted:
            return
        rows = usable_by(tenant).filter(pk__in=[id for id in wanted if "\x00" not in id])
        found = set(rows.values_list("pk", flat=True))
        for id in sorted(wanted - found):
            raise NotFound(f"No action found with id '{id}'.", param="tools")

    def brief(self, tool: dict[str, Any], run: Briefed) -> Operation | None:
        """The action's operation; all of a run are read at once."""
        if self.type not in run.found:
            wanted = [each["id"] for each in run.tools if each["type"] == self.type]
            rows = usable_by(Tenant(pk=run.tenant_id)).filter(pk__in=wanted).only("operation", "tenant_id")
            run.found[self.type] = {row.pk: row.called for row in rows}
        operation: Operation | None = run.found[self.type].get(tool["id"])
        return operation

    def offers(self, tool: dict[str, Any], briefing: Operation | None) -> list[Offer]:
        if briefing is None:
            return []
        told = briefing.function_def
        return [Offer(told["name"], told["description"], with_files_by_id(briefing), of=tool["id"])]

    def note(self, tool: dict[str, Any], briefing: Operation | None) -> str:
        return "" if briefing is not None else f"The action {tool['id']} was deleted and cannot be used."

    async def run(self, context: ToolContext, arguments: dict[str, Any]) -> ToolResult:
        try:
            call = await action_threads().run(self._call, context, arguments)
            if context.is_resumed and not call.is_repeatable:
                return ToolResult(LOST)
            answered = await calling.make(call, min(self.seconds or 0, context.seconds_left) - 1)
        except Action.DoesNotExist:
            return ToolResult("The call was not made: the action was deleted.")
        except Undecryptable as problem:
            logger.error("Action %s: %s", context.of, problem)
            return ToolResult(UNREADABLE)
        except (BadArguments, BadAuthentication, WireError) as problem:
            return ToolResult(f"The call was not made. {problem}")
        except CallFailed as problem:
            lost = " The service may have carried it out all the same." if problem.was_sent else ""
            return ToolResult(f"The call failed. {problem.message}{lost}")
        if answers.is_file(answered.answer):
            return await action_threads().run(self._as_file, context, answered)
        return ToolResult(await asyncio.to_thread(told, answered, context.result_tokens))

    def _call(self, context: ToolContext, arguments: dict[str, Any]) -> Call:
        tenant = Tenant.objects.get(pk=context.tenant_id)
        action = usable_by(tenant).get(pk=context.of)
        given = context.secrets.get(AUTHENTICATIONS, {}).get(action.pk)
        if given is not None:
            check_authentication(given, action.called)
        return Call(
            operation=action.called,
            arguments=with_bytes(tenant, action.called, arguments),
            authentication=given if given is not None else action.authentication,
            key=context.call_id,
            allowed_hosts=reach.allowed_for(tenant),
        )

    def _as_file(self, context: ToolContext, answered: Answered) -> ToolResult:
        answer = answered.answer
        given = PurePosixPath(answers.name_of(answer))
        # No other of this run has it.
        name = f"{given.stem}-{context.turn}-{context.call_id.rpartition(':')[2]}{given.suffix}"
        try:
            file = files.create_file(
                tenant=Tenant(pk=context.tenant_id),
                filename=given.name,
                purpose=Purpose.ASSISTANTS_OUTPUT,
                pieces=[answered.body],
            )
        except WireError as problem:
            return ToolResult(f"The answer is a file, which could not be kept: {problem.message}")
        told = f"The answer is a file ({answers.media_type(answer) or 'of no known type'}, {len(answer.body)} bytes)."
        if answers.media_type(answer) in answers.SHOWN_IMAGES:
            return ToolResult(f"{told} It is an image, and shown to the user with your answer.", images=(str(file.pk),))
        link = f"To give it to the user, link to it in your answer: [{name}](sandbox:/mnt/data/{name})."
        return ToolResult(f"{told} {link}", files=(StoredFile(name, str(file.pk)),))


def told(answered: Answered, tokens: int) -> str:
    """Takes up to half a second for the largest answers, so not in an event loop."""
    return answers.told(answered.answer, answered.text, tokens)


def with_files_by_id(operation: Operation) -> dict[str, Any]:
    """The function's parameters; where a file is sent, the model names one by its id."""
    schema: dict[str, Any] = operation.function_def["parameters"]
    if not operation.file_arguments:
        return schema
    properties = dict(schema["properties"])
    for name in operation.file_arguments:
        known = properties[name]
        told = f"{known.get('description', '')} The id of a file, such as file-abc123.".strip()
        one = {"type": "string", "description": told}
        properties[name] = {"type": "array", "items": one} if known.get("type") == "array" else one
    return {**schema, "properties": properties}


def with_bytes(tenant: Tenant, operation: Operation, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments with files in the place of their ids. Raises the 404 of an id that is none."""
    given = dict(arguments)
    room = calling.MAX_BYTES
    for name in operation.file_arguments:
        value = given.get(name)
        if value is None:
            continue
        sent = []
        for id in value if isinstance(value, list) else [value]:
            file = files.fetch_file(tenant, str(id))
            room -= file.bytes
            if room < 0:
                raise InvalidRequest(f"With the file {file.pk}, this is more than can be sent in one call.")
            sent.append(with_content(file))
        given[name] = sent if isinstance(value, list) else sent[0]
    return given


def with_content(file: File) -> dict[str, Any]:
    with storage.opened(file.blob) as content:
        return {"name": file.filename, "type": "application/octet-stream", "bytes": content.read()}
