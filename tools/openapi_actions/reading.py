"""Documents on their way in.

Those that must be fetched, or are large, are read while their request waits, which holds no thread of the web process;
one at a time, so that they do not take it from all others.
"""

from typing import Any

from rest_framework.request import Request

from assistant_site import fetching
from assistant_site.db.threads import OfEachLoop
from assistant_site.fetching import CannotFetch
from assistant_site.wire.errors import InvalidRequest
from assistant_site.wire.late import AskAgain
from tenants import reach
from tenants.models import Tenant
from tools.openapi import MAX_BYTES, BadDocument, Document, read_document

SCHEMA = "openapi_schema"
SECONDS = 20.0  # for fetching one
LARGE_BYTES = 256 * 1024  # of the request

Source = str | bytes | dict[str, Any]  # of a document: text, JSON or YAML, or its values

_SCOPE_KEY = "holdfast.document"
_reading_thread = OfEachLoop(lambda: 1)


def document_of(request: Request, tenant: Tenant, source: Source) -> Document | AskAgain:
    """The document that the request means, or the wait for it. Raises the error of one that cannot be used."""
    scope: dict[str, Any] = getattr(request._request, "scope", {})
    known: Reading | None = scope.get(_SCOPE_KEY)
    if known is not None:
        return known.document()
    url = source.strip() if isinstance(source, str) and source.strip().startswith(("http://", "https://")) else ""
    if not url and len(request._request.body) <= LARGE_BYTES:
        return read(source, "")
    scope[_SCOPE_KEY] = reading = Reading(source, url, reach.allowed_for(tenant))
    return AskAgain(reading)


def read(source: Source, url: str) -> Document:
    """Raises the error that the caller gets, with the place of the fault."""
    try:
        return read_document(source, url)
    except BadDocument as fault:
        where = f"{SCHEMA}.{fault.place}" if fault.place else SCHEMA
        message = f"Invalid '{where}': {fault.message}"
        raise InvalidRequest(message, param=where, code="invalid_openapi_schema") from None


class Reading:
    """What a request waits for: its document, from `url` if that is given."""

    def __init__(self, source: Source, url: str, allowed_hosts: tuple[str, ...]) -> None:
        self._source = source
        self._url = url
        self._allowed_hosts = allowed_hosts
        self._outcome: Document | Exception | None = None

    def document(self) -> Document:
        if isinstance(self._outcome, Exception):
            raise self._outcome
        assert self._outcome is not None
        return self._outcome

    async def wait(self) -> None:
        try:
            if self._url:
                await self._fetch()
            self._outcome = await _reading_thread().run(read, self._source, self._url)
        except Exception as error:  # told by the view, as every other
            self._outcome = error

    async def leave(self) -> None:
        return

    async def _fetch(self) -> None:
        try:
            fetched = await fetching.fetch(
                self._url, max_bytes=MAX_BYTES, seconds=SECONDS, allowed_hosts=self._allowed_hosts
            )
        except CannotFetch as failure:
            raise InvalidRequest(f"Invalid '{SCHEMA}': {failure.message}", param=SCHEMA) from None
        self._source, self._url = fetched.body, fetched.url
