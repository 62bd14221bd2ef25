"""The base of most tools. What a tool does not say for itself is said here.

Its calls stand in run steps as calls of functions that already have their outputs: every client knows these.
"""

import builtins
from functools import cached_property
from typing import TYPE_CHECKING, Any

from django.conf import settings

from assistant_site.llm.arguments import as_object, flaw_in
from assistant_site.shares import Shares
from assistant_site.wire.fields import RequestSerializer
from assistant_site.wire.tools import BareToolSerializer
from tenants.models import Tenant
from tools.tool import FUNCTION, Briefed, Listener, Offer, ToolContext, ToolResult

if TYPE_CHECKING:
    from jsonschema import Draft202012Validator

# Of the calls that this process carries out: what one tenant's wait for holds up no other's.
tools_share = Shares(lambda: settings.TOOL_CALLS_PER_TENANT)

NOTHING: dict[str, Any] = {"type": "object", "properties": {}}


class Plain:
    """The answers of a tool that has nothing particular to say."""

    is_single = True
    refreshes = False
    in_order = False
    gives_sources = False
    links_to_code = False

    @property
    def seconds(self) -> float | None:
        return None

    def is_offered(self) -> bool:
        return True

    async def refresh(self, tenant_id: str, tool: dict[str, Any]) -> None:
        return

    def brief(self, tool: dict[str, Any], run: Briefed) -> Any:
        return None

    def note(self, tool: dict[str, Any], briefing: Any) -> str:
        return ""

    async def hindrance(self) -> str:
        return ""

    def listener(self) -> Listener | None:
        return None

    def opened(self, details: dict[str, Any]) -> dict[str, Any]:
        return details

    def shown_again(self, arguments: str) -> str:
        return arguments

    def flaw(self, arguments: str) -> str:
        return flaw_in(arguments or "{}") or ""

    async def begin(self, context: ToolContext) -> dict[str, Any] | None:
        return None

    async def abandon(self, context: ToolContext) -> None:
        return


class Arguments:
    """Tells a call's arguments as they come."""

    def feed(self, text: str) -> dict[str, Any]:
        return {"arguments": text}


class ServedTool(Plain):
    """A tool whose calls look like functions'. It has `type`, `run`, and `description` and `parameters`, or `offers`.

    `parameters` is a JSON schema; calls that do not fit it are refused with a text for the model. `shape` is how the
    tool may be written in `tools`. `has_effects`: a call that has begun is stored before it is carried out, so that it
    is never forgotten; a worker that takes it up from a dead one calls `run` with `context.is_resumed`, and the same
    `context.call_id`.
    """

    type: str
    description = ""
    parameters = NOTHING
    shape: builtins.type[RequestSerializer] = BareToolSerializer
    has_effects = False
    step_type = FUNCTION

    @property
    def seconds(self) -> float | None:
        return float(settings.TOOL_SECONDS)

    async def run(self, context: ToolContext, arguments: dict[str, Any]) -> ToolResult:
        """Carries a call out. What goes wrong should be told in the result, in words that help the model."""
        raise NotImplementedError

    def offers(self, tool: dict[str, Any], briefing: Any) -> list[Offer]:
        return [Offer(self.type, self.description, self.parameters)]

    def judge(self, tenant: Tenant, tools: list[dict[str, Any]]) -> None:
        """Refuses tools of assistants and runs that the tenant does not have, by the error that the caller gets."""

    def listener(self) -> Listener:
        return Arguments()

    def opening(self, tool: dict[str, Any], name: str) -> dict[str, Any]:
        return {"name": name, "arguments": "", "output": None}

    async def begin(self, context: ToolContext) -> dict[str, Any] | None:
        return {} if self.has_effects else None

    async def call(self, context: ToolContext, arguments: str) -> ToolResult:
        given = as_object(arguments)
        if misfit := self._misfit(given):
            return ToolResult(f"Nothing was done: {misfit}")
        return await self.run(context, given)

    def _misfit(self, arguments: dict[str, Any]) -> str:
        """What of the arguments does not fit `parameters`, in a sentence; else empty."""
        for error in self._validator.iter_errors(arguments):
            place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error.absolute_path)
            return f"the arguments{place and f', at {place[1:]},'} do not fit: {error.message[:500]}."
        return ""

    @cached_property
    def _validator(self) -> "Draft202012Validator":
        from jsonschema import Draft202012Validator
        from referencing import Registry

        return Draft202012Validator(self.parameters, registry=Registry())  # which fetches nothing
