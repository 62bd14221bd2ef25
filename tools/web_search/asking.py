"""How a provider is asked: over the guarded client, within a time, once more after a fault of its own."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from assistant_site import fetching
from tools.web_search.hits import SearchFailed

SECONDS = 10.0  # for an answer, a second attempt included
PAUSE_SECONDS = 0.3  # before the second attempt
MAX_BYTES = 2 * 1024 * 1024
DETAIL_CHARACTERS = 200

BAD_ACCESS = "The search service refused this server's access to it."
USED_UP = "The search service's quota is used up."
BUSY = "The search service gets too many requests at the moment."
BAD_QUERY = "The search service did not accept the query."
BROKEN = "The search service has a fault."
SILENT = "The search service cannot be reached, or did not answer in time."
UNREADABLE = "The search service gave an answer that cannot be read."
REFUSED = "The search service refused the request."


@dataclass(frozen=True)
class Access:
    """A way to use a provider: the tenant's own, or the installation's.

    `name` is what the operator finds it by, such as `TAVILY_API_KEY`. `allowed_hosts` may be asked although they are
    not public.
    """

    provider: str
    base_url: str
    name: str
    key: str = field(default="", repr=False)
    allowed_hosts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Failure:
    """What a status means: a sentence for the model, and what the operator can do. `{name}` is the access's name."""

    told: str
    remedy: str = ""


async def ask(
    access: Access,
    method: str,
    path: str,
    *,
    failures: Mapping[int, Failure],
    params: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
    body: object = None,
) -> dict[str, Any]:
    """The JSON object with which a provider answers; raises `SearchFailed` for all else."""
    url = access.base_url + path + (f"?{urlencode(params)}" if params else "")
    try:
        async with asyncio.timeout(SECONDS):
            answer = await _send(access, method, url, headers or {}, body)
            if answer.status >= 500:
                await asyncio.sleep(PAUSE_SECONDS)
                answer = await _send(access, method, url, headers or {}, body)
    except fetching.CannotFetch as error:
        raise SearchFailed(SILENT, f"{error.message} Check {access.name}.") from error
    except TimeoutError:
        raise SearchFailed(SILENT, f"No answer within {SECONDS:g} seconds.") from None
    if answer.status != 200:
        raise _failed(access, answer, failures)
    found = _parsed(answer.body)
    if not isinstance(found, dict):
        raise SearchFailed(UNREADABLE, f"The answer is no JSON object. Does {access.name} lead to {access.provider}?")
    return found


async def _send(access: Access, method: str, url: str, headers: Mapping[str, str], body: object) -> fetching.Answer:
    sent = {"Accept": "application/json", **headers}
    content = None
    if body is not None:
        content = json.dumps(body).encode()
        sent["Content-Type"] = "application/json"
    return await fetching.request(
        method,
        url,
        content=content,
        headers=sent,
        max_bytes=MAX_BYTES,
        seconds=SECONDS,
        allowed_hosts=access.allowed_hosts,
        follow=False,
    )


def _failed(access: Access, answer: fetching.Answer, failures: Mapping[int, Failure]) -> SearchFailed:
    failure = failures.get(answer.status)
    if failure is None:
        failure = Failure(BROKEN) if answer.status >= 500 else Failure(REFUSED, "Check {name}.")
    said = without_secret(detail_in(_parsed(answer.body)), access.key)
    reason = f"It answered {answer.status}{f' ({said})' if said else ''}."
    return SearchFailed(failure.told, f"{reason} {failure.remedy.replace('{name}', access.name)}".strip())


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def detail_in(answer: Any, depth: int = 3) -> str:
    """What an error's body says, in whichever of the usual places: one line, bounded."""
    if isinstance(answer, str):
        return " ".join(answer[: 4 * DETAIL_CHARACTERS].split())[:DETAIL_CHARACTERS]
    if isinstance(answer, dict) and depth:
        for name in ("message", "error", "detail"):
            if found := detail_in(answer.get(name), depth - 1):
                return found
    return ""


def without_secret(text: str, secret: str) -> str:
    """Some services quote the key that they refuse, or its beginning."""
    for length in (len(secret), 12, 8):
        if secret and length <= len(secret):
            text = text.replace(secret[:length], "…")
    return text


def rows_of(answer: Mapping[str, Any], access: Access, *path: str) -> list[dict[str, Any]]:
    """The list of objects at this place of an answer; an absent one is empty."""
    found: Any = answer
    for name in path:
        found = found.get(name) if isinstance(found, dict) else None
        if found is None:
            return []
    if not isinstance(found, list):
        raise SearchFailed(UNREADABLE, f"`{'.'.join(path)}` of the answer is no list. Has {access.provider} changed?")
    return [row for row in found if isinstance(row, dict)]


def text_of(row: Mapping[str, Any], *names: str) -> str:
    """The first of these fields that holds a text."""
    for name in names:
        value = row.get(name)
        if isinstance(value, str) and value.strip():
            return value
    return ""
