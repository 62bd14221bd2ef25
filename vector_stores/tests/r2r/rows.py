"""Stores, files and passages for tests of the engine, as the API and ingestion leave them."""

from collections.abc import Sequence
from dataclasses import dataclass

from files.models import File
from tenants.models import Tenant
from vector_stores import r2r
from vector_stores.models import Chunk, Engine, StoreFile, StoreFileStatus, VectorStore
from vector_stores.words import tsvector_of


@dataclass(frozen=True)
class Text:
    """A passage, as far as the engine is concerned."""

    text: str


def new_store(tenant: Tenant) -> VectorStore:
    store: VectorStore = VectorStore.objects.create(tenant=tenant, engine=Engine.R2R)
    return store


def new_file(store: VectorStore, texts: Sequence[str], filename: str = "notes.txt") -> StoreFile:
    """A file of a store with its passages in our tables; R2R has not heard of it."""
    file = File.objects.create(
        tenant=store.tenant, purpose="assistants", filename=filename, bytes=1, sha256="0" * 64, blob="b"
    )
    store_file: StoreFile = StoreFile.objects.create(
        tenant=store.tenant,
        vector_store=store,
        file=file,
        status=StoreFileStatus.COMPLETED,
        chunk_count=len(texts),
    )
    keep_passages(store_file, texts)
    return store_file


def keep_passages(store_file: StoreFile, texts: Sequence[str]) -> None:
    Chunk.objects.insert(
        [
            Chunk(
                tenant=store_file.tenant,
                vector_store_id=store_file.vector_store_id,
                store_file_id=store_file.pk,
                position=position,
                text=text,
                tokens=tsvector_of(text, store_file.vector_store_id),
                token_count=1,
                start=0,
                end=len(text),
            )
            for position, text in enumerate(texts)
        ]
    )


def bring(store: VectorStore, texts: Sequence[str], filename: str = "notes.txt") -> StoreFile:
    """The same, and R2R has it."""
    store_file = new_file(store, texts, filename)
    r2r.put(store_file, filename, [Text(text) for text in texts])
    return store_file
