"""Tools for tests of the engine, installed as a package of somebody else's would be.

Each execution is written down as a line of JSON in the file that RIG names.
"""

import asyncio
import contextlib
import json
import os
import time
from pathlib import Path
from typing import Any

from assistant_site.db.threads import of_this_loop
from files import actions
from tenants.models import Tenant
from tools.citations import Source
from tools.served import ServedTool
from tools.tool import Offer, StoredFile, ToolContext, ToolResult


def note(context: ToolContext, **more: Any) -> None:
    line = {"name": context.name, "call_id": context.call_id, "is_resumed": context.is_resumed, "at": time.time()}
    with Path(os.environ["RIG"]).open("a") as file:
        file.write(json.dumps({**line, **more}) + "\n")


def note_late() -> None:
    Path(os.environ["RIG"] + "-late").touch()


class Sleep(ServedTool):
    """Sleeps for `seconds`; too long is more than three."""

    type = "sleep"
    parameters = {
        "type": "object",
        "properties": {"seconds": {"type": "number"}, "say": {"type": "string"}},
        "required": ["seconds"],
    }
    seconds = 3.0

    async def run(self, context: ToolContext, arguments: dict[str, Any]) -> ToolResult:
        note(context)
        await asyncio.sleep(arguments["seconds"])
        return ToolResult(arguments.get("say", "slept"))


class Stubborn(ServedTool):
    """Goes on for twenty seconds whoever tries to stop it; then there is a file RIG-late."""

    type = "stubborn"
    seconds = 1.0

    async def run(self, context: ToolContext, arguments: dict[str, Any]) -> ToolResult:
        note(context)
        end = time.monotonic() + 20
        while time.monotonic() < end:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(end - time.monotonic())
        note_late()
        raise RuntimeError("too late")


class Breaking(ServedTool):
    type = "breaking"

    async def run(self, context: ToolContext, arguments: dict[str, Any]) -> ToolResult:
        if arguments.get("how") == "cancelled":
            raise asyncio.CancelledError
        raise RuntimeError("the password is hunter2")


class Effect(ServedTool):
    """Does something that must be done once; slowly at first, at once when it is resumed."""

    type = "effect"
    has_effects = True

    async def run(self, context: ToolContext, arguments: dict[str, Any]) -> ToolResult:
        note(context, **arguments)
        if not context.is_resumed:
            await asyncio.sleep(arguments.get("seconds", 0))
        return ToolResult(f"done {arguments.get('what', '')}".strip())


class Asking(ServedTool):
    """Two functions; one of them must be approved."""

    type = "asking"
    has_effects = True

    def offers(self, tool: dict[str, Any], briefing: Any) -> list[Offer]:
        schema = {"type": "object", "properties": {"what": {"type": "string"}}}
        return [
            Offer("look", "Looks.", schema, of="look at it"),
            Offer("do it!", "Does.", schema, of="do", needs_approval=True),
        ]

    async def run(self, context: ToolContext, arguments: dict[str, Any]) -> ToolResult:
        note(context, of=context.of, **arguments)
        return ToolResult(f"{context.of}: {arguments.get('what')}")


class Many(ServedTool):
    """More functions than a model takes."""

    type = "many"

    def offers(self, tool: dict[str, Any], briefing: Any) -> list[Offer]:
        return [Offer("many", f"Number {number}.", {"type": "object"}, of=str(number)) for number in range(150)]

    async def run(self, context: ToolContext, arguments: dict[str, Any]) -> ToolResult:
        return ToolResult(context.of)


class Bringing(ServedTool):
    """Brings a page to cite, an image and a file."""

    type = "bringing"
    gives_sources = True

    async def run(self, context: ToolContext, arguments: dict[str, Any]) -> ToolResult:
        def stored(name: str, content: bytes) -> str:
            tenant = Tenant(pk=context.tenant_id)
            file = actions.create_file(tenant=tenant, filename=name, purpose="assistants_output", pieces=[content])
            return str(file.pk)

        image = await of_this_loop().run(stored, "cat.png", b"\x89PNG\r\n\x1a\n")
        report = await of_this_loop().run(stored, "report.csv", b"a,b\n")
        source = Source.of_page(context.turn, context.number, url="https://example.com/cats", title="All of cats")
        return ToolResult(
            f"{source.marker} purr\x00\ud800", None, (source,), (image,), (StoredFile("report.csv", report),)
        )
