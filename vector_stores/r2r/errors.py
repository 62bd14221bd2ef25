"""What a failure of R2R means: whether trying again can help, and what may be said about it.

R2R's own words name inner addresses and models, so nobody but the operator's log gets them.
"""

import re
from collections.abc import Mapping

from assistant_site.llm.errors import WITHHELD, without_secrets

UNREACHABLE = "The retrieval server (R2R) does not answer."
EMBEDDINGS_DOWN = "The embedding model behind the retrieval server (R2R) does not answer."
WENT_WRONG = "The retrieval server (R2R) failed."
BUSY = "The retrieval server (R2R) is limiting requests."
LOGIN_REFUSED = "The retrieval server (R2R) refused the server's login."
FORBIDDEN = "The retrieval server (R2R) refused access, or a limit of its user is reached."
NOT_R2R = "The address of the retrieval server answered, but not as R2R does."
NOT_CONFIGURED = "This vector store is kept by R2R, and no R2R server is configured."
UNREADABLE_CREDENTIAL = "The credential of the retrieval server (R2R) cannot be read."
TOO_LATE = "The retrieval server (R2R) did not finish the file in time."
VANISHED = "The retrieval server (R2R) lost the file while it was read."
STILL_WORKING = "The retrieval server (R2R) still works on the file."
UNREADABLE = "The retrieval server (R2R) could not read the file."
TOO_LARGE = "The file is larger than the retrieval server (R2R) takes."
UNSUPPORTED = "The retrieval server (R2R) does not take files of this type."
REFUSED = "The retrieval server (R2R) refused the request."

# R2R's inner retries ended; the status is 400 in searches, 500 in ingestion, 401 if its provider refused the key.
_EMBEDDING_WORDS = ("error getting embeddings", "authentication error: invalid api key")
_PROCESSING_FAILED = "R2RDocumentProcessingError"
_FILTER_FAILED = "FilterError"
_MAX_DETAIL = 400


class R2RFailed(Exception):
    """`message` may be shown to a tenant; `detail` is for the log.

    `transient`: neither the file nor the question is to blame, so the same can be tried later (R2R is down, busy,
    wrongly configured). Otherwise trying again changes nothing.
    """

    def __init__(self, message: str, transient: bool, *, detail: str = "", status: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.transient = transient
        self.detail = detail
        self.status = status


class DocumentFailed(R2RFailed):
    """R2R took the file and did not come to an end with it: the document is `failed` or gone."""


class NotInTime(R2RFailed):
    """R2R works on the file longer than the caller waits."""


def words_of(body: object) -> tuple[str, str]:
    """The message and the error type in R2R's envelope or FastAPI's; both may be empty."""
    if not isinstance(body, Mapping):
        return "", ""
    if "message" in body:
        return str(body["message"]), str(body.get("error_type") or "")
    detail = body.get("detail")
    if isinstance(detail, Mapping):
        return str(detail.get("message") or detail.get("error") or ""), str(detail.get("error_type") or "")
    if isinstance(detail, list) and detail and isinstance(detail[0], Mapping):
        return str(detail[0].get("msg") or ""), ""
    return (detail, "") if isinstance(detail, str) else ("", "")


def failure_of(status: int, body: object, asked: str) -> R2RFailed:
    """What an answer of 300 or more means. `asked` (method and path) goes into the detail."""
    words, kind = words_of(body)
    said = WITHHELD if status in (400, 422) else _one_line(words)
    detail = f"{asked}: HTTP {status} {kind} {said}".rstrip()
    message, transient = _meaning(status, words.lower(), kind)
    return R2RFailed(message, transient, detail=detail, status=status)


def document_failure(reason: str) -> DocumentFailed:
    """What a document means that R2R keeps as `failed` for this reason."""
    about_embeddings = any(word in reason.lower() for word in _EMBEDDING_WORDS)
    message = EMBEDDINGS_DOWN if about_embeddings else UNREADABLE
    return DocumentFailed(message, about_embeddings, detail=f"the document failed: {_one_line(reason)}")


def _meaning(status: int, words: str, kind: str) -> tuple[str, bool]:
    if any(known in words for known in _EMBEDDING_WORDS):
        return EMBEDDINGS_DOWN, True
    if kind == _PROCESSING_FAILED:
        return UNREADABLE, False
    if kind == _FILTER_FAILED:
        return REFUSED, False
    if status == 429:
        return BUSY, True
    if status >= 500:
        return WENT_WRONG, True
    if status < 400 or (status == 404 and words == "not found"):  # FastAPI's word for a path it does not have
        return NOT_R2R, True
    known = {401: (LOGIN_REFUSED, True), 403: (FORBIDDEN, True), 413: (TOO_LARGE, False), 415: (UNSUPPORTED, False)}
    return known.get(status, (REFUSED, False))


def _one_line(words: str) -> str:
    return re.sub(r"\s+", " ", without_secrets(words))[:_MAX_DETAIL]
