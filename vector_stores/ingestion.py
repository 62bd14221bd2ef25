"""One file's way into a store: its bytes, its text, its passages, their vectors, and one transaction that shows them.

Until that transaction nothing of the file can be found; it is fenced by the claim, so nothing is indexed twice.
"""

import contextlib
import logging
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Literal, cast

from django.conf import settings
from django.db import InterfaceError, OperationalError, connection, transaction
from django.utils import timezone

from assistant_site.db import scope
from assistant_site.llm.tokens import estimate_text
from files import storage
from metering import quotas
from tenants.models import Tenant
from vector_stores import claims, counts, embedding, embedding_jobs, large_stores, transcription, vectors, vision
from vector_stores.chunking import Passage, chunks_of
from vector_stores.claims import Held, LostClaim
from vector_stores.embedding import Embedder, EmbeddingFailed
from vector_stores.extraction import CannotExtract, Document, Options, extract
from vector_stores.models import Chunk, Engine, ParsedText, Removal, StoreFile, StoreFileStatus, VectorStore
from vector_stores.vectors import VectorRow
from vector_stores.words import tsvector_of

logger = logging.getLogger(__name__)

MAX_TOKENS = 5_000_000
EMBEDDED_AT_ONCE = 256
BETWEEN_TEXTS = "\n\n"
BYTES_PER_DIMENSION = 2  # vectors are kept in half precision
# How long a file waits for a storage or an engine that is away, and how often it asks.
PATIENCE = timedelta(hours=24)
LONGEST_PAUSE_SECONDS = 300.0


class TryLater(Exception):
    """Something that the file needs is away for a while; `message` is for its owner, should it never come back."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


@dataclass
class Vectors:
    """The vectors of a file's passages, in their order; none if there is no model, or it failed (`problem`)."""

    model: str = ""
    generation: int = 0
    dimension: int = 0
    rows: list[Sequence[float]] = field(default_factory=list)
    problem: str = ""


def ingest(held: Held) -> None:
    """Ingests a claimed file, or notes why not. Raises only what the database raises."""
    with scope.of_tenant(held.row.tenant_id):
        _ingest(held)


def _ingest(held: Held) -> None:
    row = held.row
    try:
        _carry(held)
    except LostClaim:
        logger.info("%s in %s is somebody else's, cancelled or gone.", row.file_id, row.vector_store_id)
        _forget_in_r2r(row)
    except CannotExtract as refused:
        _end(held, refused.code, refused.message)
        if isinstance(refused, StoresFull):
            _forget_in_r2r(row)
    except storage.BlobMissing:
        logger.error("The bytes of %s are not in the storage.", row.file_id)
        _end(held, "server_error", "The content of the file is missing from the server's storage.")
    except storage.StorageFailed:
        _wait(held, TryLater("The server's storage of files could not be reached for a day."))
    except TryLater as problem:
        _wait(held, problem)
    except (OperationalError, InterfaceError):
        raise  # nothing can be written: the lease runs out, and a worker takes the file up again
    except Exception:
        logger.exception("%s could not be ingested (attempt %s).", row.file_id, row.attempt)
        if row.attempt >= claims.ATTEMPTS:
            _end(held, "server_error", "The file could not be processed because of an error of the server.")
        else:
            _quietly(held, partial(claims.put_off, held, 2.0 * row.attempt, counts=True))


def _end(held: Held, code: str, message: str) -> None:
    error = {"code": code, "message": message}
    _quietly(held, partial(held.write, status=StoreFileStatus.FAILED, last_error=error))


def _wait(held: Held, problem: TryLater) -> None:
    waited = timezone.now() - held.row.created_at
    if waited > PATIENCE:
        _end(held, "server_error", problem.message)
        return
    pause = min(5.0 + waited.total_seconds() / 4, LONGEST_PAUSE_SECONDS)
    _quietly(held, partial(claims.put_off, held, pause, counts=False))


def _quietly(held: Held, write: "partial[None]") -> None:
    try:
        write()
    except LostClaim:
        logger.info("%s was cancelled or taken over meanwhile.", held.row.pk)


def _carry(held: Held) -> None:
    row = held.row
    made = Vectors()
    with transaction.atomic():
        refuse_if_full(row)  # before its reading costs anything
    if row.vector_store.engine == Engine.R2R and settings.R2R_PARSE == "native":
        document, passages = _parsed_by_r2r(held)
    else:
        document = read(row)
        held.check()
        passages = passages_of(document, row)
        held.check()
        if row.vector_store.engine == Engine.R2R:
            _hand_to_r2r(held, passages)
        else:
            made = embedded(held, passages)
    held.check()
    make_room(row, made)
    write(held, document, passages, made)
    embedding_jobs.after_ingestion(row.vector_store_id, made.generation, made.model, made.problem)


def read(row: StoreFile) -> Document:
    """The text of the file."""
    options = Options(
        max_characters=4 * MAX_TOKENS,  # no text of so many tokens is longer
        ocr=settings.IMAGE_TEXT != "off",
        ocr_languages=settings.OCR_LANGUAGES,
        image_text=cast(Literal["ocr", "vision", "off"], settings.IMAGE_TEXT),
        describe_image=partial(vision.describe, row.tenant_id),
        transcribe=partial(transcription.transcribe, row.tenant_id),
    )
    with storage.local_copy(row.file) as path:
        return extract(path, row.file.filename, options)


def passages_of(document: Document, row: StoreFile) -> list[Passage]:
    if estimate_text(document.text) > MAX_TOKENS:
        raise CannotExtract("invalid_file", "The file could not be parsed because it is too large.")
    return chunks_of(document, max_tokens=row.max_chunk_size_tokens, overlap_tokens=row.chunk_overlap_tokens)


# --- R2R -------------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _asking_r2r(row: StoreFile) -> Iterator[None]:
    """R2R's failures as what they mean for the file."""
    from vector_stores import r2r  # only workers of installations with R2R load its client

    try:
        yield
    except r2r.R2RFailed as failure:
        logger.warning("R2R did not take %s: %s %s", row.file_id, failure, failure.detail)
        if failure.transient:
            raise TryLater("The retrieval engine (R2R) could not be reached for a day.") from None
        raise CannotExtract("server_error", "The retrieval engine (R2R) refused the file.") from None


def _hand_to_r2r(held: Held, passages: list[Passage]) -> None:
    from vector_stores import r2r

    with _asking_r2r(held.row):
        r2r.put(held.row, held.row.file.filename, passages, meanwhile=held.check)


def _forget_in_r2r(row: StoreFile) -> None:
    """R2R may have got a file whose removal it was asked for, and had answered, in the middle of that."""
    if row.vector_store.engine != Engine.R2R:
        return
    wanted = {StoreFileStatus.IN_PROGRESS, StoreFileStatus.COMPLETED}
    if not StoreFile.objects.across_tenants().filter(pk=row.pk, status__in=wanted).exists():
        place = {"vector_store_id": row.vector_store_id, "store_file_id": row.pk}
        Removal.objects.create(tenant_id=row.tenant_id, engine=Engine.R2R, **place)


def _parsed_by_r2r(held: Held) -> tuple[Document, list[Passage]]:
    """What R2R's own parsers make of the file (`R2R_PARSE=native`); its pages and lines are not known then."""
    from vector_stores import r2r

    row = held.row
    with storage.local_copy(row.file) as path, _asking_r2r(row):
        texts = r2r.put_native(row, path, row.file.filename, meanwhile=held.check)
    passages, start = [], 0
    for position, text in enumerate(texts):
        end = start + len(text)
        passages.append(Passage(position, text, start, end, estimate_text(text), None, None, ""))
        start = end + len(BETWEEN_TEXTS)
    return Document(text=BETWEEN_TEXTS.join(texts)), passages


# --- Vectors ---------------------------------------------------------------------------------------------------------


def embedded(held: Held, passages: list[Passage]) -> Vectors:
    """The passages' vectors by the store's model; the first ones of a store choose it."""
    store = VectorStore.objects.across_tenants().filter(pk=held.row.vector_store_id).first()
    if store is None:
        raise LostClaim(held.row.pk)
    made = Vectors(model=store.embedding_model, generation=store.generation)
    if not passages:
        return made
    try:
        wanted = embedding.wanted_model(store.tenant_id)
        if wanted is None:
            made.problem = "No embedding model is configured." if store.embedding_model else ""
            return made
        # Until a new model has embedded the whole store, the present one is asked.
        embedder = embedding.embedder_of(store.tenant_id, store.embedding_model) or wanted
        made.rows = _vectors_of(held, embedder, passages)
    except EmbeddingFailed as failure:
        logger.warning("%s is ingested without vectors: %s", held.row.file_id, failure)
        made.problem = str(failure)
        return made
    made.dimension = len(made.rows[0])
    if not store.embedding_model:
        store = _choose_model(store, wanted.model, made.dimension)
    if (store.embedding_model, store.embedding_dimension) != (embedder.model, made.dimension):
        return Vectors(
            problem=f"{embedder.model} gave vectors of {made.dimension} dimensions, and the store has others."
        )
    made.model = store.embedding_model
    return made


def _vectors_of(held: Held, embedder: Embedder, passages: list[Passage]) -> list[Sequence[float]]:
    rows: list[Sequence[float]] = []
    for start in range(0, len(passages), EMBEDDED_AT_ONCE):
        held.check()
        texts = [passage.text for passage in passages[start : start + EMBEDDED_AT_ONCE]]
        rows += [array("f", vector) for vector in embedder.embed(texts)]  # a tenth of a list's memory
    return rows


def _choose_model(store: VectorStore, model: str, dimension: int) -> VectorStore:
    """Notes the store's model, unless another file was first."""
    VectorStore.objects.across_tenants().filter(pk=store.pk, embedding_model="").update(
        embedding_model=model, embedding_dimension=dimension
    )
    found: VectorStore = VectorStore.objects.across_tenants().get(pk=store.pk)
    return found


# --- Writing ---------------------------------------------------------------------------------------------------------


def make_room(row: StoreFile, made: Vectors) -> None:
    """A large store's index is in the way of many more vectors: of this file, and as many of each that waits."""
    if made.rows and row.vector_store.indexed_chunks:
        waiting = StoreFile.objects.across_tenants().filter(
            vector_store_id=row.vector_store_id, status=StoreFileStatus.IN_PROGRESS
        )
        large_stores.before_bulk(row.vector_store, len(made.rows) * waiting.count())


class StoresFull(CannotExtract):
    """The tenant's vector stores have no room for the file."""

    def __init__(self, message: str) -> None:
        super().__init__("invalid_file", message)


def refuse_if_full(row: StoreFile, more: int = 0) -> None:
    """Part of a transaction: `StoresFull` if the tenant's stores may not take so many bytes more."""
    used = partial(counts.bytes_of_tenant, row.tenant_id)
    if sentence := quotas.stores_full(Tenant(pk=row.tenant_id), used, more):
        raise StoresFull(sentence)


def write(held: Held, document: Document, passages: list[Passage], made: Vectors) -> None:
    """Shows the file: all that can be found of it and its status, or nothing (`LostClaim`)."""
    row = held.row
    size = sum(len(passage.text.encode()) for passage in passages)
    size += len(made.rows) * made.dimension * BYTES_PER_DIMENSION
    with transaction.atomic():
        refuse_if_full(row, size)
        held.write(
            status=StoreFileStatus.COMPLETED, last_error=None, usage_bytes=size, chunk_count=len(passages), attempt=0
        )
        Chunk.objects.across_tenants().filter(vector_store_id=row.vector_store_id, store_file_id=row.pk).delete()
        ParsedText.objects.across_tenants().filter(store_file=row).delete()
        ParsedText.objects.create(tenant_id=row.tenant_id, store_file=row, text=document.text)
        insert_chunks(row, passages)
        if made.rows:
            insert_vectors(row, made)


_COLUMNS = (
    'tenant_id, vector_store_id, store_file_id, position, text, tokens, token_count, start, "end", page, line, heading'
)


def insert_chunks(row: StoreFile, passages: list[Passage]) -> None:
    with (
        scope.everything(),  # policies forbid COPY
        connection.cursor() as cursor,
        cursor.copy(f"COPY vector_stores_chunk ({_COLUMNS}) FROM STDIN") as copy,
    ):
        for passage in passages:
            copy.write_row(
                (
                    row.tenant_id,
                    row.vector_store_id,
                    row.pk,
                    passage.position,
                    passage.text,
                    tsvector_of(passage.text, row.vector_store_id),
                    passage.token_count,
                    passage.start,
                    passage.end,
                    passage.page,
                    passage.line,
                    passage.heading[:500],
                )
            )


def insert_vectors(row: StoreFile, made: Vectors) -> None:
    ids = (
        Chunk.objects.across_tenants()
        .filter(vector_store_id=row.vector_store_id, store_file_id=row.pk)
        .order_by("position")
        .values_list("pk", flat=True)
    )
    place = (made.generation, row.tenant_id, row.vector_store_id, row.pk)
    vectors.insert(VectorRow(pk, *place, vector) for pk, vector in zip(ids, made.rows, strict=True))
