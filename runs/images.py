"""The images of a prompt: from files and addresses to what the model is sent.

`located` finds the files, in the database's thread and with one query for all of them. `shown` then gets the bytes,
outside of it. An image that cannot be shown becomes a text that says why, and the run goes on.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, TypeVar

from assistant_site import fetching
from assistant_site.fetching import CannotFetch
from assistant_site.llm.chat import ChatRequest, Endpoint
from assistant_site.llm.sending import quirk_is_on
from files import storage
from files.models import File
from runs.pictures import MEGABYTE, Kept, NoPicture, data_url_of

logger = logging.getLogger(__name__)
Chat = dict[str, Any]
A = TypeVar("A")

MAX_IMAGES = 50
MAX_PROMPT_BYTES = 20 * MEGABYTE
MAX_SOURCE_BYTES = 20 * MEGABYTE  # of an image as it comes, before it is made smaller
AT_ONCE = 10  # images of one prompt
FETCHES = 16  # of the whole process: each one may hold MAX_SOURCE_BYTES
FETCH_SECONDS = 10.0
KEPT_BYTES = 64 * MEGABYTE
KEPT_ADDRESS_SECONDS = 300.0  # the later turns of a run ask for the same addresses

NO_ROOM = (
    f"A prompt has {MAX_IMAGES} images and {MAX_PROMPT_BYTES // MEGABYTE} MB of them at most; newer ones came first."
)
NO_FILE = "The file does not exist."
NO_VISION = "This model cannot see images."
UNREADABLE = "The file cannot be read at the moment."
TOO_LARGE = f"It is larger than {MAX_SOURCE_BYTES // MEGABYTE} MB."

_kept = Kept(KEPT_BYTES)
_fetches = asyncio.Semaphore(FETCHES)  # the engine has one loop
# Unpacking a picture takes a processor for up to seconds, and memory for its pixels: few at a time.
_unpacking = ThreadPoolExecutor(max_workers=2, thread_name_prefix="pictures")


# --- Finding the files ------------------------------------------------------------------------------------------------


def located(tenant_id: str, messages: list[Chat]) -> list[Chat]:
    """The messages, each `image_file` with where its bytes are, or a text if the tenant has no such file."""
    wanted = {part["image_file"]["file_id"] for part in _images(messages) if part["type"] == "image_file"}
    if not wanted:
        return messages
    files = File.objects.across_tenants().filter(File.unexpired(), tenant_id=tenant_id, pk__in=wanted).in_bulk()
    found: dict[int, Chat] = {}
    for part in _images(messages):
        if part["type"] == "image_file":
            file = files.get(part["image_file"]["file_id"])
            found[id(part)] = _not_shown(part, NO_FILE) if file is None else _with_place(part, file)
    return _replaced(messages, found)


def unseen(messages: list[Chat]) -> list[Chat]:
    """The messages for a model that has no eyes: a text for each image."""
    return _replaced(messages, {id(part): _not_shown(part, NO_VISION) for part in _images(messages)})


def _with_place(part: Chat, file: File) -> Chat:
    place = {"blob": file.blob, "bytes": file.bytes, "sha256": file.sha256}
    return {"type": "image_file", "image_file": part["image_file"] | place}


# --- Showing them -----------------------------------------------------------------------------------------------------


def are_fetched(endpoint: Endpoint, request: ChatRequest) -> bool:
    """Whether `shown` will fetch an address."""
    return quirk_is_on(endpoint.quirks, "fetch_images") and any(
        part["type"] == "image_url" and not part["image_url"]["url"].startswith("data:")
        for part in _images(request.messages)
    )


async def shown(endpoint: Endpoint, request: ChatRequest, allowed_hosts: tuple[str, ...]) -> ChatRequest:
    """The request as the model gets it: files as data URLs, and addresses too where the provider cannot fetch.

    The newest images get the room that a prompt has. `allowed_hosts`: what may be fetched though it is not public.
    """
    images = list(_images(request.messages))[::-1]
    if not images:
        return request
    fetching_from = allowed_hosts if quirk_is_on(endpoint.quirks, "fetch_images") else None
    found = {id(part): _not_shown(part, NO_ROOM) for part in images}
    left = MAX_PROMPT_BYTES
    for start in range(0, min(len(images), MAX_IMAGES), AT_ONCE):
        wave = images[start : min(start + AT_ONCE, MAX_IMAGES)]
        distinct = {_source_of(part): part for part in wave}
        loaded = await asyncio.gather(*(_loaded(part, fetching_from) for part in distinct.values()))
        pictures = dict(zip(distinct, loaded, strict=True))
        for part in wave:
            sent = _as_sent(part, pictures[_source_of(part)])
            left -= _bytes_of(sent)
            if left >= 0:
                found[id(part)] = sent
        if left < 0:
            break
    return replace(request, messages=_replaced(request.messages, found))


async def _loaded(part: Chat, fetching_from: tuple[str, ...] | None) -> str | NoPicture:
    """The address or data URL under which the model gets the image. Without `fetching_from` nothing is fetched."""
    if part["type"] == "image_file":
        return await _of_file(part["image_file"])
    url: str = part["image_url"]["url"]
    if _bytes_of(part) > MAX_SOURCE_BYTES:
        return NoPicture(TOO_LARGE)
    if fetching_from is None or url.startswith("data:"):
        return url
    return await _of_address(url, fetching_from)


def _as_sent(part: Chat, picture: str | NoPicture) -> Chat:
    if isinstance(picture, NoPicture):
        return _not_shown(part, picture.reason)
    return {"type": "image_url", "image_url": {"url": picture, "detail": part[part["type"]].get("detail", "auto")}}


def _source_of(part: Chat) -> str:
    """What two parts with the same picture have in common."""
    return str(part["image_file"]["sha256"] if part["type"] == "image_file" else part["image_url"]["url"])


async def _of_file(file: Chat) -> str | NoPicture:
    picture = _kept.get(file["sha256"])
    if picture is not None:
        return picture
    if file["bytes"] > MAX_SOURCE_BYTES:
        return NoPicture(TOO_LARGE)
    try:
        picture = await _in_thread(_read, file["blob"])
    except storage.BlobMissing:
        return NoPicture(NO_FILE)
    except Exception as error:  # whatever a storage fails with: it may be back at the next turn
        logger.warning("The file %s cannot be read: %r", file["file_id"], error)
        return NoPicture(UNREADABLE)
    _kept.put(file["sha256"], picture)
    return picture


def _read(blob: str) -> str | NoPicture:
    with storage.opened(blob) as stream:
        return _judged(stream.read(MAX_SOURCE_BYTES))


async def _of_address(url: str, allowed_hosts: tuple[str, ...]) -> str | NoPicture:
    key = " ".join((*allowed_hosts, url))  # what one tenant may reach is not shown to another, which may not
    picture = _kept.get(key)
    if picture is not None:
        return picture
    async with _fetches:
        try:
            fetched = await fetching.fetch(
                url, max_bytes=MAX_SOURCE_BYTES, seconds=FETCH_SECONDS, allowed_hosts=allowed_hosts
            )
        except CannotFetch as error:
            picture = NoPicture(error.message)
        else:
            picture = await _in_thread(_judged, fetched.body)
    _kept.put(key, picture, KEPT_ADDRESS_SECONDS)
    return picture


def _judged(content: bytes) -> str | NoPicture:
    try:
        return data_url_of(content)
    except NoPicture as error:
        return NoPicture(error.reason)  # a new one: what was raised would keep its frames, and they the bytes


async def _in_thread(work: Callable[[A], str | NoPicture], argument: A) -> str | NoPicture:
    return await asyncio.get_running_loop().run_in_executor(_unpacking, work, argument)


# --- Parts ------------------------------------------------------------------------------------------------------------


def _images(messages: list[Chat]) -> Iterator[Chat]:
    """The messages' parts that are images, in their order."""
    for message in messages:
        content = message.get("content")
        if isinstance(content, list):
            yield from (part for part in content if part["type"] in ("image_file", "image_url"))


def _replaced(messages: list[Chat], found: dict[int, Chat]) -> list[Chat]:
    """The messages with other parts, by the identity of those for which they stand."""
    return [
        _with_parts(message, found) if isinstance(message.get("content"), list) else message for message in messages
    ]


def _with_parts(message: Chat, found: dict[int, Chat]) -> Chat:
    return message | {"content": content_of([found.get(id(part), part) for part in message["content"]])}


def content_of(parts: list[Chat]) -> str | list[Chat]:
    """The content of a message: a plain text where there is nothing else, which is all that some models take."""
    if all(part["type"] == "text" for part in parts):
        return "\n".join(part["text"] for part in parts)
    return parts


def _bytes_of(part: Chat) -> int:
    """How much of the prompt's room the part takes; an address that the provider fetches takes none."""
    if part["type"] != "image_url" or not part["image_url"]["url"].startswith("data:"):
        return 0
    return len(part["image_url"]["url"]) * 3 // 4


def _not_shown(part: Chat, reason: str) -> Chat:
    """A text in the image's place."""
    if part["type"] == "image_file":
        name = part["image_file"]["file_id"]
    else:
        url = part["image_url"]["url"]
        name = "in the message" if url.startswith("data:") else url[:200]
    return {"type": "text", "text": f"[Image {name} is not shown. {reason}]"}
