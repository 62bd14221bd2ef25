"""R2R's documents and collections, and which of them are ours.

A vector store is a collection that has the store's id as its name. A file of a store is a document whose id follows
from the row's id, so a repetition after a crash finds what was done and doubles nothing.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid5

from vector_stores.r2r import errors
from vector_stores.r2r.connection import Account, Call, Session, session_of
from vector_stores.r2r.errors import R2RFailed

# After so long an unfinished document is taken for one that R2R forgot when it was killed.
FORGOTTEN_AFTER = timedelta(hours=1)
_NAMESPACE = UUID("6d7a27ce-8c07-5f2b-9c55-0c6a3d0f3a41")
_PAGE = 100


def document_id_of(store_file_id: str) -> str:
    """R2R's id of a file in a store."""
    return str(uuid5(_NAMESPACE, store_file_id))


@dataclass(frozen=True)
class Document:
    """What R2R tells about a document. `failure` is for the log only."""

    id: str
    status: str
    collections: frozenset[str]
    failure: str
    created_at: datetime | None
    store_file_id: str

    @classmethod
    def from_wire(cls, told: Mapping[str, Any]) -> "Document":
        metadata = told.get("metadata") or {}
        return cls(
            id=str(told["id"]),
            status=str(told["ingestion_status"]),
            collections=frozenset(str(each) for each in told.get("collection_ids") or ()),
            failure=str(metadata.get("failure") or "no reason given"),
            created_at=_moment(told.get("created_at")),
            store_file_id=str(metadata.get("store_file_id") or ""),
        )

    @property
    def is_ours(self) -> bool:
        return document_id_of(self.store_file_id) == self.id

    @property
    def is_unfinished(self) -> bool:
        return self.status not in ("success", "failed")

    @property
    def is_forgotten(self) -> bool:
        return self.created_at is None or datetime.now(UTC) - self.created_at > FORGOTTEN_AFTER


def _moment(told: object) -> datetime | None:
    try:
        moment = datetime.fromisoformat(str(told))
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


class Catalog:
    """What an account's server holds; each method is a call or two."""

    def __init__(self, account: Account) -> None:
        self.account = account

    @property
    def session(self) -> Session:
        return session_of(self.account)

    def document(self, document_id: str) -> Document | None:
        body = self._unless_missing(Call("GET", f"/documents/{document_id}"))
        return Document.from_wire(body["results"]) if body else None

    def documents_of(self, collection_id: str, *, offset: int) -> list[Document]:
        """A page of a collection's documents, empty at its end."""
        params = {"limit": _PAGE, "offset": offset}
        body = self._unless_missing(Call("GET", f"/collections/{collection_id}/documents", params=params))
        return [Document.from_wire(each) for each in body["results"]] if body else []

    def texts_of(self, document_id: str) -> Iterator[str]:
        """The passages R2R made of a file, in order. (Those it was sent have no order there.)"""
        offset = 0
        while True:
            params = {"limit": _PAGE, "offset": offset}
            body = self._unless_missing(Call("GET", f"/documents/{document_id}/chunks", params=params))
            page = body["results"] if body else []
            yield from (str(each["text"]) for each in page)
            offset += len(page)
            if len(page) < _PAGE:
                return

    def delete_document(self, document_id: str) -> None:
        self._unless_missing(Call("DELETE", f"/documents/{document_id}"))

    def delete_collection(self, collection_id: str) -> None:
        """The documents in it stay."""
        self._unless_missing(Call("DELETE", f"/collections/{collection_id}"))

    def collection_of(self, store_id: str) -> str | None:
        body = self._unless_missing(Call("GET", f"/collections/name/{store_id}"))
        return str(body["results"]["id"]) if body else None

    def made_collection_of(self, store_id: str) -> str:
        """The store's collection, made if it is not there."""
        found = self.collection_of(store_id)
        if found is None:
            try:
                described = {"name": store_id, "description": "A vector store of Holdfast"}
                return str(self.session.call(Call("POST", "/collections", json=described))["results"]["id"])
            except R2RFailed as failed:
                if failed.status != 409:
                    raise
                refused = failed
            found = self.collection_of(store_id)  # another worker was faster
            if found is None:  # R2R makes the id of user and name, so a renamed collection is in the way
                detail = f"the collection {store_id} was renamed in R2R: {refused.detail}"
                raise R2RFailed(errors.REFUSED, transient=True, detail=detail, status=409)
        return found

    def join(self, collection_id: str, document_id: str) -> None:
        """Puts a document into a collection; harmless if it is there."""
        try:
            self.session.call(Call("POST", f"/collections/{collection_id}/documents/{document_id}"))
        except R2RFailed as failed:
            if failed.status == 404:
                raise errors.DocumentFailed(errors.VANISHED, transient=True, detail=failed.detail) from None
            if failed.status != 409:
                raise

    def _unless_missing(self, call: Call) -> Any:
        """The decoded body; None where R2R says 404 to what we named."""
        try:
            return self.session.call(call)
        except R2RFailed as failed:
            if failed.status == 404 and failed.message != errors.NOT_R2R:
                return None
            raise
