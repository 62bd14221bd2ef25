"""R2R 3.6.6 as it was seen to answer (statuses, envelopes, habits), in a thread of the test.

What it imitates beside the calls: passages that were sent lose their order and position; a repetition comes as 500 in
light mode; a part of a multipart body that is no file may have 1 MB; a failed document stays; deleting a collection
leaves its documents; its user sees everything. Ranking is cosine over `embeddings.hashed`.
"""

import contextlib
import json
import re
import secrets
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email import message_from_bytes
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, parse_qsl, urlsplit
from uuid import UUID, uuid4, uuid5

from assistant_site.tests.stack import free_port
from vector_stores.tests.r2r.embeddings import cosine, hashed

OWNER = "b327eeb0-3abe-5087-9990-ab3dd3cd27bf"
TYPES = {"txt", "md", "pdf", "docx", "pptx", "xlsx", "html", "csv", "json", "png", "mp3"}


class Refusal(Exception):
    def __init__(self, status: int, body: object) -> None:
        super().__init__(status)
        self.status = status
        self.body = body


def r2r_exception(status: int, message: str, kind: str = "R2RException") -> Refusal:
    return Refusal(status, {"message": message, "error_type": kind})


def unexpected(message: str, kind: str, during: str) -> Refusal:
    told = {"message": f"An error '{message}' occurred during {during}", "error": message, "error_type": kind}
    return Refusal(500, {"detail": told})


def invalid(message: str) -> Refusal:
    return Refusal(422, {"detail": [{"type": "error", "loc": ["body"], "msg": message}]})


@dataclass
class StoredDocument:
    id: str
    metadata: dict[str, Any]
    wanted: list[str]
    chunks: list[dict[str, Any]] = field(default_factory=list)
    statuses: list[str] = field(default_factory=lambda: ["success"])  # those still to come; the last one stays
    joins_after: int = 0  # looks at it after its success until it is in its collections
    collections: list[str] = field(default_factory=list)
    created_at: str = field(default_factory=lambda: datetime.now(UTC).isoformat())

    def looked_at(self) -> dict[str, Any]:
        """What is told now; the next look finds it a step further."""
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        if status == "success":
            if self.joins_after == 0:
                self.collections.extend(each for each in self.wanted if each not in self.collections)
            self.joins_after -= 1
        return self.told(status)

    def told(self, status: str) -> dict[str, Any]:
        return {
            "id": self.id,
            "collection_ids": list(self.collections),
            "owner_id": OWNER,
            "document_type": "txt",
            "metadata": self.metadata,
            "title": f"Ingested Chunks - {self.id}",
            "ingestion_status": status,
            "extraction_status": "pending",
            "created_at": self.created_at,
            "updated_at": self.created_at,
        }


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        super().__init__(address, handler)
        self._open: set[Any] = set()

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def server_close(self) -> None:
        """Ends kept connections too, as a process does when it ends."""
        super().server_close()
        for request in list(self._open):
            with contextlib.suppress(OSError):
                request.shutdown(socket.SHUT_RDWR)


class FakeR2R:
    """Serves while its `with` block lasts. `asked` are the calls that came, as "POST /documents"."""

    def __init__(self) -> None:
        self.port = free_port()
        self.username, self.password = "holdfast@example.com", secrets.token_urlsafe(12)
        self.asked: list[str] = []
        self.refusals: list[tuple[int, bytes]] = []  # given to the next calls that carry a token, whatever they ask
        self.embeddings_are_down = False
        self.statuses: list[str] | None = None  # with Hatchet: what a new document goes through
        self.is_queued = False  # with Hatchet: a new document is unknown until `take_up`
        self.joins_after = 0
        self.queue: list[StoredDocument] = []
        self.collections: dict[str, dict[str, Any]] = {}
        self.documents: dict[str, StoredDocument] = {}
        self.access: set[str] = set()
        self.refresh: set[str] = set()

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def start(self) -> None:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                status, raw = outer._answer(self.command, self.path, dict(self.headers.items()), body)
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw)

            do_GET = do_POST = do_DELETE = answer  # noqa: N815

            def log_message(self, format: str, *arguments: object) -> None:
                pass

        self._server = _Server(("127.0.0.1", self.port), Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def take_up(self) -> None:
        """Hatchet's worker begins with what is queued."""
        for document in self.queue:
            self.documents[document.id] = document
        self.queue.clear()

    def _answer(self, method: str, target: str, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
        parts = urlsplit(target)
        path = parts.path.removeprefix("/v3")
        self.asked.append(f"{method} {path}")
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        try:
            for (verb, pattern), (is_open, does) in self._routes().items():
                if verb == method and (match := re.fullmatch(pattern, path)):
                    if not is_open:
                        self._admit(headers)
                        if self.refusals:
                            return self.refusals.pop(0)
                    status, results = does(*match.groups(), query=query, headers=headers, body=body)
                    return status, json.dumps({"results": results}).encode()
            raise Refusal(404, {"detail": "Not Found"})
        except Refusal as refusal:
            return refusal.status, json.dumps(refusal.body).encode()

    def _routes(self) -> dict[tuple[str, str], tuple[bool, Callable[..., tuple[int, Any]]]]:
        one = "([^/]+)"
        return {
            ("GET", "/health"): (True, lambda **_: (200, {"message": "ok"})),
            ("POST", "/users/login"): (True, self._login),
            ("POST", "/users/refresh-token"): (True, self._refresh),
            ("GET", "/users/me"): (False, lambda **_: (200, {"id": OWNER, "hashed_password": "JDJiJDEyJFY1"})),
            ("POST", "/collections"): (False, self._create_collection),
            ("GET", f"/collections/name/{one}"): (False, self._collection_by_name),
            ("DELETE", f"/collections/{one}"): (False, self._delete_collection),
            ("GET", f"/collections/{one}/documents"): (False, self._documents_of),
            ("POST", f"/collections/{one}/documents/{one}"): (False, self._join),
            ("POST", "/documents"): (False, self._create_document),
            ("GET", f"/documents/{one}"): (False, lambda id, **_: (200, self._document(id).looked_at())),
            ("DELETE", f"/documents/{one}"): (False, self._delete_document),
            ("GET", f"/documents/{one}/chunks"): (False, self._chunks),
            ("POST", "/retrieval/search"): (False, self._search),
        }

    # --- users -------------------------------------------------------------------------------------------------------

    def _admit(self, headers: dict[str, str]) -> None:
        given = headers.get("Authorization", "")
        if not given:
            raise r2r_exception(401, "No credentials provided. Create an account at …")
        if given.removeprefix("Bearer ") not in self.access:
            raise r2r_exception(401, "Invalid token or API key")

    def _login(self, *, headers: dict[str, str], body: bytes, **_: Any) -> tuple[int, Any]:
        if not headers.get("Content-Type", "").startswith("application/x-www-form-urlencoded"):
            raise invalid("Field required")
        if dict(parse_qsl(body.decode())) != {"username": self.username, "password": self.password}:
            raise r2r_exception(401, "Incorrect email or password")
        return 200, self._new_tokens()

    def _refresh(self, *, body: bytes, **_: Any) -> tuple[int, Any]:
        token = json.loads(body)
        if token not in self.refresh:
            raise r2r_exception(401, "Token has been invalidated")
        self.refresh.remove(token)
        return 200, self._new_tokens()

    def _new_tokens(self) -> dict[str, Any]:
        access, refresh = secrets.token_urlsafe(40), secrets.token_urlsafe(40)
        self.access.add(access)
        self.refresh.add(refresh)
        return {
            "access_token": {"token": access, "token_type": "access"},
            "refresh_token": {"token": refresh, "token_type": "refresh"},
        }

    # --- collections -------------------------------------------------------------------------------------------------

    def _create_collection(self, *, body: bytes, **_: Any) -> tuple[int, Any]:
        name = json.loads(body)["name"]
        id = str(uuid5(UUID(OWNER), name))
        if id in self.collections:
            raise r2r_exception(409, "Collection with this ID already exists")
        self.collections[id] = {"id": id, "owner_id": OWNER, "name": name}
        return 200, self.collections[id]

    def _collection_by_name(self, name: str, **_: Any) -> tuple[int, Any]:
        for collection in self.collections.values():
            if collection["name"] == name:
                return 200, collection
        raise r2r_exception(404, "No collection found with the specified name")

    def _existing(self, collection_id: str) -> None:
        if collection_id not in self.collections:
            raise r2r_exception(404, "Collection not found")

    def _delete_collection(self, id: str, **_: Any) -> tuple[int, Any]:
        self._existing(id)
        del self.collections[id]
        for document in self.documents.values():
            document.collections = [each for each in document.collections if each != id]
        return 200, {"success": True}

    def _documents_of(self, id: str, *, query: dict[str, str], **_: Any) -> tuple[int, Any]:
        self._existing(id)
        inside = [each.told(each.statuses[0]) for each in self.documents.values() if id in each.collections]
        offset = int(query["offset"])
        return 200, inside[offset : offset + int(query["limit"])]

    def _join(self, collection_id: str, document_id: str, **_: Any) -> tuple[int, Any]:
        self._existing(collection_id)
        document = self._document(document_id)
        if collection_id in document.collections:
            raise r2r_exception(409, "Document is already assigned to the collection")
        document.collections.append(collection_id)
        return 200, {"message": "Document assigned to collection successfully"}

    # --- documents ---------------------------------------------------------------------------------------------------

    def _document(self, id: str) -> StoredDocument:
        if id not in self.documents:
            raise r2r_exception(404, "Document not found.")
        return self.documents[id]

    def _create_document(self, *, headers: dict[str, str], body: bytes, **_: Any) -> tuple[int, Any]:
        form, file = _form(headers["Content-Type"], body)
        chunks = json.loads(form.get("chunks", "[]"))
        if not chunks and file is None:
            raise r2r_exception(422, "Either a `file`, `raw_text`, or `chunks` must be provided.")
        earlier = self.documents.get(form["id"])
        if earlier and earlier.statuses[0] != "failed":
            if file is not None:
                raise r2r_exception(409, f"Document {form['id']} already exists.")
            refused = f"Document {form['id']} was already ingested and is not in a failed state."
            raise unexpected(f"500: Error during chunk ingestion: {refused}", "HTTPException", "create_document")
        document = StoredDocument(form["id"], json.loads(form["metadata"]), json.loads(form["collection_ids"]))
        document.joins_after = self.joins_after
        texts = _parsed(*file) if file else list(reversed(chunks))
        for order, text in enumerate(texts):
            metadata = document.metadata | ({"chunk_order": order} if file else {})
            document.chunks.append({"id": str(uuid4()), "text": text, "metadata": metadata})
        if self.statuses is not None or self.is_queued:
            document.statuses = list(self.statuses or ["success"])
            (self.queue.append(document) if self.is_queued else self.documents.update({document.id: document}))
            queued = {"message": "Ingest files task queued successfully.", "task_id": str(uuid4())}
            return 202, queued | {"document_id": document.id}
        self.documents[document.id] = document
        if self.embeddings_are_down:
            reason = "Error getting embeddings: OpenAIException - nothing at 10.1.2.3:8000"
            document.statuses, document.metadata["failure"] = ["failed"], reason
            raise unexpected(f"500: Error during chunk ingestion: {reason}", "HTTPException", "create_document")
        if not self.joins_after:
            document.collections.extend(document.wanted)
        told = "Document created and ingested successfully."
        return 202, {"message": told, "task_id": None, "document_id": document.id}

    def _delete_document(self, id: str, **_: Any) -> tuple[int, Any]:
        self._document(id)
        del self.documents[id]
        return 200, {"success": True}

    def _chunks(self, id: str, *, query: dict[str, str], **_: Any) -> tuple[int, Any]:
        offset = int(query["offset"])
        page = self._document(id).chunks[offset : offset + int(query["limit"])]
        if not page:
            raise r2r_exception(404, "No chunks found for the given document ID.")
        return 200, [{"document_id": id, **chunk} for chunk in page]

    # --- search ------------------------------------------------------------------------------------------------------

    def _search(self, *, body: bytes, **_: Any) -> tuple[int, Any]:
        asked = json.loads(body)
        settings = asked["search_settings"]
        if not asked["query"]:
            raise r2r_exception(400, "Query cannot be empty")
        if not 1 <= settings["limit"] <= 1000:
            raise invalid("Input should be less than or equal to 1000")
        if self.embeddings_are_down:
            raise r2r_exception(400, "Error getting embeddings: OpenAIException - nothing at 10.1.2.3:8000")
        wanted = hashed(asked["query"])
        hits = [
            {"document_id": document.id, "collection_ids": document.collections, **chunk}
            | {"score": cosine(wanted, hashed(chunk["text"]))}
            for document in self.documents.values()
            if document.statuses[0] == "success" and _passes(document, settings["filters"])
            for chunk in document.chunks
        ]
        hits.sort(key=lambda hit: -hit["score"])
        if settings.get("use_hybrid_search"):
            for rank, hit in enumerate(hits, start=1):
                hit["score"] = 1 / (50 + rank)
        return 200, {"chunk_search_results": hits[: settings["limit"]], "graph_search_results": []}


def _passes(document: StoredDocument, filters: dict[str, dict[str, list[str]]]) -> bool:
    ((name, condition),) = filters.items()
    if name == "document_id":
        return document.id in condition["$in"]
    assert name == "collection_ids"
    return not set(condition["$overlap"]).isdisjoint(document.collections)


def _form(content_type: str, body: bytes) -> tuple[dict[str, str], tuple[str, bytes] | None]:
    """The fields, and the file with its name if there is one."""
    if content_type.startswith("application/x-www-form-urlencoded"):
        return dict(parse_qsl(body.decode())), None
    fields: dict[str, str] = {}
    file = None
    for part in message_from_bytes(b"Content-Type: " + content_type.encode() + b"\r\n\r\n" + body).walk():
        content = part.get_payload(decode=True)
        if not isinstance(content, bytes):
            continue  # the whole
        if filename := part.get_filename():
            file = (filename, content)
            continue
        if len(content) > 1024 * 1024:
            raise Refusal(400, {"detail": "Part exceeded maximum size of 1024KB."})
        fields[str(part.get_param("name", header="content-disposition"))] = content.decode()
    return fields, file


def _parsed(filename: str, content: bytes) -> list[str]:
    kind = filename.rpartition(".")[2].lower()
    if kind not in TYPES:
        raise r2r_exception(415, f"'{kind}' is not a valid DocumentType.")
    if kind == "pdf":
        raise r2r_exception(500, "Error parsing document: Stream has ended unexpectedly", "R2RDocumentProcessingError")
    text = content.decode()
    return [text[start : start + 1024] for start in range(0, len(text), 1024)]
