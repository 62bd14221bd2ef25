"""What a tool has given, in words for the model; its pictures and files become files of the API."""

import asyncio
import base64
import binascii
import json
import logging
import mimetypes
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from mcp_types import (
    AudioContent,
    BlobResourceContents,
    CallToolResult,
    EmbeddedResource,
    ImageContent,
    ResourceLink,
    TextContent,
)

from assistant_site.db.threads import DatabaseThreads
from assistant_site.wire.errors import WireError
from files import actions
from files.models import Purpose
from tenants.models import Tenant
from tools.texts import BYTES_PER_TOKEN, cut, storable
from tools.tool import StoredFile, ToolContext, ToolResult

logger = logging.getLogger(__name__)

MOST_FILES = 10  # of one call
MOST_NAME = 100  # characters of a file's name
NOTHING = "The tool gave nothing back."

# Pictures that models take, by how they begin; another one is a file like any other.
_PICTURES = {
    "image/png": b"\x89PNG\r\n\x1a\n",
    "image/jpeg": b"\xff\xd8\xff",
    "image/gif": b"GIF8",
    "image/webp": b"RIFF",
}
_ENDINGS = {"image/webp": ".webp", "audio/wav": ".wav", "audio/ogg": ".ogg", "audio/mp4": ".m4a"}
_NOT_IN_NAMES = re.compile(r"[^\w.() -]")


@dataclass
class Gathered:
    """A result on its way into ours."""

    texts: list[str] = field(default_factory=list)
    images: list[str] = field(default_factory=list)
    files: list[StoredFile] = field(default_factory=list)
    left_out: int = 0  # files


async def told(
    result: CallToolResult, context: ToolContext, threads: DatabaseThreads, censor: Callable[[str], str]
) -> ToolResult:
    """The result as the model gets it, within the budget that the run has for it. `censor` goes over its text."""
    gathered = Gathered()
    for block in result.content:
        await _gather(block, context, threads, gathered)
    if gathered.left_out:
        gathered.texts.append(f"[{gathered.left_out} more files are left out]")
    if result.structured_content is not None and not any(isinstance(each, TextContent) for each in result.content):
        gathered.texts.insert(0, json.dumps(result.structured_content, ensure_ascii=False))
    text = censor(storable("\n\n".join(filter(None, gathered.texts)).strip())) or NOTHING
    if result.is_error:
        text = f"The tool failed: {text}"
    output = cut(text, int(context.result_tokens * BYTES_PER_TOKEN))
    return ToolResult(output, images=tuple(gathered.images), files=tuple(gathered.files))


async def _gather(block: Any, context: ToolContext, threads: DatabaseThreads, into: Gathered) -> None:
    match block:
        case TextContent():
            into.texts.append(block.text)
        case ImageContent() | AudioContent():
            await _store(block.data, block.mime_type, "", context, threads, into)
        case ResourceLink():
            known = " ".join(filter(None, [block.title or block.name, block.description]))
            into.texts.append(f"[resource {block.uri}] {known}".strip())
        case EmbeddedResource():
            resource = block.resource
            if isinstance(resource, BlobResourceContents):
                await _store(resource.blob, resource.mime_type or "", resource.uri, context, threads, into)
            else:
                into.texts.append(f"[resource {resource.uri}]\n{resource.text}")


async def _store(
    data: str, mime: str, uri: str, context: ToolContext, threads: DatabaseThreads, into: Gathered
) -> None:
    """A new file of these bytes, and what the model is told of it."""
    number = len(into.files) + 1
    if number > MOST_FILES:
        into.left_out += 1
        return
    try:
        content = await asyncio.to_thread(base64.b64decode, data, validate=True)
    except (binascii.Error, ValueError):
        into.texts.append("[a file that cannot be read]")
        return
    is_picture = mime in _PICTURES and content.startswith(_PICTURES[mime])
    own = name_in(uri) or f"{'image' if is_picture else 'file'}{_ending_of(mime)}"
    stem, dot, ending = own.rpartition(".")
    name = f"{stem}-{context.turn}-{context.call_id.rpartition(':')[2]}-{number}{dot}{ending}"  # no other of the run's
    try:
        file_id = await threads.run(_new_file, context.tenant_id, own, content)
    except WireError as problem:
        into.texts.append(f"[{own} could not be stored: {problem}]")
        return
    except Exception:
        logger.exception("A file of an MCP server's could not be stored for tenant %s.", context.tenant_id)
        into.texts.append(f"[{own} could not be stored]")
        return
    into.files.append(StoredFile(name, file_id))
    if is_picture:
        into.images.append(file_id)
        into.texts.append(f"[image {file_id} shown to the user; you can link to it as sandbox:/mnt/data/{name}]")
    else:
        into.texts.append(f"[a file, which you can link to in your answer as sandbox:/mnt/data/{name}]")


def _new_file(tenant_id: str, name: str, content: bytes) -> str:
    file = actions.create_file(
        tenant=Tenant(pk=tenant_id), filename=name, purpose=Purpose.ASSISTANTS_OUTPUT, pieces=[content]
    )
    return str(file.pk)


def name_in(uri: str) -> str:
    """The last part of an address, if it is a file's name; else empty."""
    try:
        last = PurePosixPath(unquote(urlsplit(uri).path)).name
    except ValueError:
        return ""
    last = _NOT_IN_NAMES.sub("_", storable(last)).strip(". ")[-MOST_NAME:]
    return last if "." in last else ""


def _ending_of(mime: str) -> str:
    return _ENDINGS.get(mime) or mimetypes.guess_extension(mime) or ".bin"
