"""An R2R server as the engine of vector stores: what is put there, found there, and removed from there.

We send our own passages; R2R embeds and searches them.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from vector_stores.r2r import errors
from vector_stores.r2r.connection import Account, Call
from vector_stores.r2r.delivery import Delivery
from vector_stores.r2r.documents import Catalog, document_id_of
from vector_stores.r2r.errors import R2RFailed

logger = logging.getLogger(__name__)

MAX_CHUNKS = 102_400  # R2R's limits for one request
MAX_RESULTS = 1_000
INGEST_SECONDS = 1_800.0
HEALTH_SECONDS = 5.0
RRF_K = 50  # of R2R's hybrid search: what is first by meaning and by words scores 1 / (RRF_K + 1)

# The collections of stores, for searches; a store's collection changes only when it is removed.
_collections: dict[tuple[Account, str], str] = {}
_MOST_COLLECTIONS = 100_000


def forget_collections() -> None:
    """Makes this process ask for every store's collection anew."""
    _collections.clear()


def nothing() -> None:
    """Done meanwhile, unless the caller has something better to do."""


@dataclass(frozen=True)
class Found:
    """A passage that R2R found, by its text: R2R keeps no positions of passages it is sent. `score` is 0…1."""

    store_file_id: str
    text: str
    score: float


class R2R:
    """A server and the user who speaks to it. Its methods are synchronous and raise `R2RFailed`."""

    def __init__(self, account: Account, *, hybrid: bool = False) -> None:
        """`hybrid`: R2R joins its search by meaning with its search by words, which knows English only."""
        self.account = account
        self._hybrid = hybrid
        self._catalog = Catalog(account)

    def put(
        self,
        store_id: str,
        store_file_id: str,
        texts: Sequence[str],
        *,
        metadata: Mapping[str, str],
        seconds: float = INGEST_SECONDS,
        meanwhile: Callable[[], None] = nothing,
    ) -> None:
        """Brings these passages to R2R and returns when they can be found.

        Harmless to repeat, also while R2R still works on an earlier attempt. `meanwhile` is called some seconds apart
        (at first up to `delivery.SEND_SECONDS`); what it raises ends the waiting.
        """
        if len(texts) > MAX_CHUNKS:
            raise R2RFailed(
                f"The file has {len(texts):,} passages; the retrieval server (R2R) takes {MAX_CHUNKS:,} of a file.",
                transient=False,
            )
        if not texts:  # R2R refuses an empty list, and there is nothing to find
            self.remove_file(store_id, store_file_id)
            return
        delivery = Delivery(
            self._catalog,
            store_id=store_id,
            store_file_id=store_file_id,
            metadata=dict(metadata),
            seconds=seconds,
            meanwhile=meanwhile,
        )
        # Url-encoded: in a multipart body R2R takes at most 1 MB of it.
        delivery.bring(Call("POST", "/documents", form={"chunks": orjson.dumps(list(texts)).decode()}))

    def put_native(
        self,
        store_id: str,
        store_file_id: str,
        path: Path,
        filename: str,
        *,
        metadata: Mapping[str, str],
        seconds: float = INGEST_SECONDS,
        meanwhile: Callable[[], None] = nothing,
    ) -> list[str]:
        """Brings the file itself to R2R, whose parsers read and cut it; returns the passages they made, in order."""
        delivery = Delivery(
            self._catalog,
            store_id=store_id,
            store_file_id=store_file_id,
            metadata=dict(metadata),
            seconds=seconds,
            meanwhile=meanwhile,
        )
        with path.open("rb") as file:
            delivery.bring(Call("POST", "/documents", file=(filename, file)))
        return list(self._catalog.texts_of(delivery.document_id))

    def search(
        self, store_ids: Sequence[str], store_file_ids: Sequence[str] | None, query: str, limit: int
    ) -> list[Found]:
        """The passages nearest to the query in these stores, or in these files of theirs; best first.

        R2R shows its superuser everything, so the filter is what keeps tenants apart: there is no search without one,
        and each hit is held against it.
        """
        if not query.strip():
            return []
        documents = {document_id_of(each): each for each in store_file_ids or ()}
        collections = set() if store_file_ids is not None else self._collections_of(store_ids)
        if documents:
            filters: dict[str, Any] = {"document_id": {"$in": list(documents)}}
        elif collections:
            filters = {"collection_ids": {"$overlap": sorted(collections)}}
        else:
            return []
        settings = {
            "limit": min(max(limit, 1), MAX_RESULTS),
            "filters": filters,
            "use_semantic_search": True,
            "use_hybrid_search": self._hybrid,
        }
        asked = {"query": query, "search_mode": "custom", "search_settings": settings}
        body = self._catalog.session.call(Call("POST", "/retrieval/search", json=asked))
        hits = body["results"].get("chunk_search_results") or ()
        found = [found for hit in hits if (found := self._found(hit, documents, collections))]
        return sorted(found, key=lambda each: each.score, reverse=True)

    def remove_file(self, store_id: str, store_file_id: str) -> None:
        """Removes a file of a store; harmless if it is not there.

        While R2R works on it this fails for now, because R2R would write its passages afterwards.
        """
        document = self._catalog.document(document_id_of(store_file_id))
        if document is None:
            return
        if document.is_unfinished and not document.is_forgotten:
            detail = f"{store_file_id} of {store_id} is {document.status}"
            raise R2RFailed(errors.STILL_WORKING, transient=True, detail=detail)
        self._catalog.delete_document(document.id)

    def remove_store(self, store_id: str) -> None:
        """Removes our documents of a store, then its collection; harmless if it is not there."""
        _collections.pop((self.account, store_id), None)
        collection_id = self._catalog.collection_of(store_id)
        if collection_id is None:
            return
        others = 0  # documents that somebody else put into our collection: not ours to delete
        while page := self._catalog.documents_of(collection_id, offset=others):
            for document in page:
                if document.is_ours:
                    self._catalog.delete_document(document.id)
                else:
                    others += 1
        self._catalog.delete_collection(collection_id)

    def health(self) -> str:
        """The word ok, or a sentence that says what to do."""
        try:
            self._catalog.session.call_openly(Call("GET", "/health", seconds=HEALTH_SECONDS))
        except R2RFailed as failed:
            logger.warning("R2R at %s: %s", self.account.base_url, failed.detail)
            return "R2R does not answer. Check that it runs and that its address (R2R_BASE_URL) is right."
        try:
            self._catalog.session.call(Call("GET", "/users/me", seconds=HEALTH_SECONDS))
        except R2RFailed as failed:
            logger.warning("R2R at %s: %s", self.account.base_url, failed.detail)
            if failed.message == errors.LOGIN_REFUSED:
                return "R2R refuses the login. Check its user and password (R2R_USERNAME, R2R_PASSWORD)."
            return "R2R answers, but does not say who its user is. Its own log says why."
        return "ok"

    def _found(self, hit: Mapping[str, Any], documents: Mapping[str, str], collections: set[str]) -> Found | None:
        """None for a hit that the filter should have kept out, or that is somebody else's document."""
        document_id = str(hit.get("document_id"))
        store_file_id = documents.get(document_id, "")
        if not collections.isdisjoint(str(each) for each in hit.get("collection_ids") or ()):
            store_file_id = str((hit.get("metadata") or {}).get("store_file_id") or "")
        if not store_file_id or document_id_of(store_file_id) != document_id:
            return None
        score = float(hit.get("score") or 0.0) * (RRF_K + 1 if self._hybrid else 1)
        return Found(store_file_id, str(hit.get("text") or ""), min(max(score, 0.0), 1.0))

    def _collections_of(self, store_ids: Sequence[str]) -> set[str]:
        """Stores into which nothing was put have none."""
        for store_id in store_ids:
            key = (self.account, store_id)
            if key not in _collections and (found := self._catalog.collection_of(store_id)):
                if len(_collections) >= _MOST_COLLECTIONS:
                    _collections.clear()
                _collections[key] = found
        return {found for each in store_ids if (found := _collections.get((self.account, each)))}
