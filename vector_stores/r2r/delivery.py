"""A file of a store on its way into R2R: sent, looked after until it can be found, and safe to send again.

R2R's answer to the sending is not to be trusted. In its light mode it comes when the work is done, which may take half
an hour; with Hatchet it comes at once and says nothing; a repetition that light mode refuses with 409 arrives as 500.
The document itself tells, so that is what is looked at.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import replace

import orjson

from vector_stores.r2r import errors
from vector_stores.r2r.connection import Call
from vector_stores.r2r.documents import Catalog, Document, document_id_of
from vector_stores.r2r.errors import DocumentFailed, NotInTime, R2RFailed

logger = logging.getLogger(__name__)

SEND_SECONDS = 20.0  # we wait so long for the answer, then look at the document
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 5.0


class Delivery:
    """One attempt at a file. `meanwhile` is called between two looks; what it raises ends the attempt."""

    def __init__(
        self,
        catalog: Catalog,
        *,
        store_id: str,
        store_file_id: str,
        metadata: dict[str, str],
        seconds: float,
        meanwhile: Callable[[], None],
    ) -> None:
        self.document_id = document_id_of(store_file_id)
        self._catalog = catalog
        self._store_id = store_id
        self._metadata = metadata | {"store_file_id": store_file_id}
        self._deadline = time.monotonic() + seconds
        self._meanwhile = meanwhile

    def bring(self, call: Call) -> None:
        """Returns when the document that `call` sends is done and in the store's collection."""
        # Asked for each time: R2R makes up a collection for an id it does not know, under a name of its own.
        collection_id = self._catalog.made_collection_of(self._store_id)
        if self._earlier_attempt_succeeds(collection_id):
            return
        form = {
            **(call.form or {}),
            "id": self.document_id,
            "collection_ids": orjson.dumps([collection_id]).decode(),
            # Never a title: it would replace the file's type and be written in front of each passage.
            "metadata": orjson.dumps(self._metadata).decode(),
            "ingestion_mode": "fast",  # the others have a language model write summaries
        }
        self._send(replace(call, form=form, seconds=min(SEND_SECONDS, max(self._seconds_left, 1.0))))
        self._wait(collection_id, seen=False)

    @property
    def _seconds_left(self) -> float:
        return max(self._deadline - time.monotonic(), 0.0)

    def _document(self) -> Document | None:
        return self._catalog.document(self.document_id)

    def _earlier_attempt_succeeds(self, collection_id: str) -> bool:
        """Whether an attempt that was cut short did the work or does it while we wait. Else nothing is left of it.

        A failed document would be in the way, and one that does not end was forgotten by an R2R that was killed.
        """
        document = self._document()
        if document is None:
            return False
        if document.status != "failed":
            try:
                self._wait(collection_id, seen=True)
                return True
            except NotInTime:
                self._catalog.delete_document(self.document_id)  # the next attempt begins anew
                raise
            except DocumentFailed as failed:
                logger.info("R2R did not end an earlier attempt at %s: %s", self._metadata, failed.detail)
        self._catalog.delete_document(self.document_id)
        return False

    def _send(self, call: Call) -> None:
        try:
            self._catalog.session.call(call)
        except R2RFailed as failed:
            try:
                document = self._document()
            except R2RFailed:
                raise failed from None
            if document is None or document.status == "failed":
                raise
            logger.info("R2R works on %s, whatever it answered: %s", self._metadata, failed.detail)

    def _wait(self, collection_id: str, *, seen: bool) -> None:
        """The document joins its collections only after its success is told; if it has not some time later, we do it.

        `seen`: it is there already. Otherwise Hatchet may still have it in its queue, and R2R does not know it yet.
        """
        pause = FIRST_PAUSE
        has_succeeded = False
        while True:
            document = self._document()
            status = document.status if document else "gone" if seen else "not there yet"
            seen = document is not None
            if status == "gone":
                raise DocumentFailed(errors.VANISHED, transient=True, detail=f"{self.document_id} is gone")
            if document and status == "failed":
                raise errors.document_failure(document.failure)
            if document and status == "success":
                if collection_id in document.collections:
                    return
                if has_succeeded:
                    self._catalog.join(collection_id, self.document_id)
                has_succeeded = True
            if not self._seconds_left:
                raise NotInTime(errors.TOO_LATE, transient=True, detail=f"{self.document_id} is {status}")
            self._meanwhile()
            time.sleep(min(pause, self._seconds_left))
            pause = min(pause * 1.5, LONGEST_PAUSE)
