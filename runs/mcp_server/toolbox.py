"""Which assistants are which tools.

A tool's name ends in the end of its assistant's id: so it is unique, stays the same whatever else is made, and leads to
the assistant also after that was given another name.
"""

import re
from dataclasses import dataclass
from typing import Any, Protocol

from mcp_types import INVALID_PARAMS, ListToolsResult, Tool

from assistants.models import Assistant
from runs.mcp_server.protocol import Refused
from tenants.models import Tenant
from threads.serializers import MAX_TEXT

PAGE = 100
ASK = "ask"
_NAME_LETTERS = 40
_ID_LETTERS = 8  # base62: random ones
_BY_ID = re.compile(rf"_([0-9A-Za-z]{{{_ID_LETTERS}}})$")

INPUT: dict[str, Any] = {
    "type": "object",
    "properties": {
        "message": {
            "type": "string",
            "minLength": 1,
            "maxLength": MAX_TEXT,
            "description": "What to say to the assistant. It knows nothing of your conversation but this.",
        },
        "thread_id": {
            "type": "string",
            "description": "Goes on with a conversation: the thread_id of an earlier answer. Without it, one begins.",
        },
    },
    "required": ["message"],
    "additionalProperties": False,
}
OUTPUT: dict[str, Any] = {
    "type": "object",
    "properties": {
        "answer": {"type": "string", "description": "What the assistant said."},
        "thread_id": {"type": "string", "description": "Give it to go on with this conversation."},
        "run_id": {"type": "string"},
        "status": {"type": "string", "description": "How the run ended: 'completed' if all went well."},
    },
    "required": ["answer", "thread_id", "run_id", "status"],
}


class Toolbox(Protocol):
    """What an address offers. Reads the database."""

    def page(self, cursor: str | None) -> ListToolsResult: ...

    def assistant(self, name: str) -> Assistant:
        """The assistant behind a tool. Raises `Refused`."""
        ...


@dataclass(frozen=True)
class One:
    """A single assistant, as the tool `ask`."""

    only: Assistant

    def page(self, cursor: str | None) -> ListToolsResult:
        _check_cursor(cursor or "asst_")
        return ListToolsResult(tools=[] if cursor else [tool_of(self.only, ASK)])

    def assistant(self, name: str) -> Assistant:
        if name != ASK:
            raise _unknown(name)
        return self.only


@dataclass(frozen=True)
class All:
    """Each assistant of a tenant, the newest first."""

    tenant: Tenant

    def page(self, cursor: str | None) -> ListToolsResult:
        known = Assistant.objects.of(self.tenant).only("pk", "name", "description").order_by("-pk")
        if cursor:
            _check_cursor(cursor)
            known = known.filter(pk__lt=cursor)
        found = list(known[: PAGE + 1])
        tools = [tool_of(each, name_of(each)) for each in found[:PAGE]]
        return ListToolsResult(tools=tools, next_cursor=found[PAGE - 1].pk if len(found) > PAGE else None)

    def assistant(self, name: str) -> Assistant:
        by_id = _BY_ID.search(name)
        if by_id is None:
            raise _unknown(name)
        found: Assistant | None = Assistant.objects.of(self.tenant).filter(pk__endswith=by_id[1]).first()
        if found is None:
            raise _unknown(name)
        return found


def name_of(assistant: Assistant) -> str:
    """`travel_agent_x7Kq01Zb`: letters, digits and `_` only, so that every model can call it."""
    words = re.sub(r"[^a-z0-9]+", "_", (assistant.name or "").lower())[:_NAME_LETTERS].strip("_")
    return f"{words or 'assistant'}_{assistant.pk[-_ID_LETTERS:]}"


def tool_of(assistant: Assistant, name: str) -> Tool:
    called = f"the assistant '{assistant.name}'" if assistant.name else "an assistant"
    return Tool(
        name=name,
        title=assistant.name or None,
        description=assistant.description or f"Asks {called}.",
        input_schema=INPUT,
        output_schema=OUTPUT,
    )


def _check_cursor(cursor: str) -> None:
    if not re.fullmatch(r"asst_[0-9A-Za-z]*", cursor):
        raise Refused(INVALID_PARAMS, "Invalid cursor.")


def _unknown(name: str) -> Refused:
    return Refused(INVALID_PARAMS, f"Unknown tool: {name[:100]}")
