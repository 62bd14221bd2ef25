"""A vector store with passages in it, written as ingestion writes them, without files' bytes or parsing."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

from django.utils import timezone

from assistant_site.llm.tokens import estimate_text
from files.models import File, Purpose
from tenants.models import Tenant
from vector_stores import vectors, words
from vector_stores.models import Chunk, StoreFile, StoreFileStatus, VectorStore

Embed = Callable[[str], Sequence[float]]


class Shelf:
    """Puts files into one new store of the tenant. `embed`: gives every passage a vector of the store's model."""

    def __init__(
        self,
        tenant: Tenant,
        embed: Embed | None = None,
        *,
        model: str = "test-model",
        dimension: int = 256,
        **fields: Any,
    ) -> None:
        self.tenant = tenant
        self.embed = embed
        if embed:
            fields |= {"embedding_model": model, "embedding_dimension": dimension}
        self.store: VectorStore = VectorStore.objects.create(tenant=tenant, **fields)

    def put(
        self,
        filename: str,
        *passages: str,
        attributes: dict[str, Any] | None = None,
        status: StoreFileStatus = StoreFileStatus.COMPLETED,
    ) -> StoreFile:
        file = File.objects.create(
            tenant=self.tenant, purpose=Purpose.ASSISTANTS, filename=filename, bytes=1, sha256="", blob=filename
        )
        store_file: StoreFile = StoreFile.objects.create(
            tenant=self.tenant,
            vector_store=self.store,
            file=file,
            status=status,
            chunk_count=len(passages),
            attributes=attributes or {},
            # Whatever worker is about leaves alone what another one reads.
            lease_until=timezone.now() + timedelta(hours=1) if status == StoreFileStatus.IN_PROGRESS else None,
        )
        chunks = Chunk.objects.insert(
            [
                Chunk(
                    tenant=self.tenant,
                    vector_store_id=self.store.pk,
                    store_file_id=store_file.pk,
                    position=position,
                    text=text,
                    tokens=words.tsvector_of(text, self.store.pk),
                    token_count=estimate_text(text),
                    start=0,
                    end=len(text),
                )
                for position, text in enumerate(passages)
            ]
        )
        if self.embed:
            vectors.insert(self._row(chunk, self.embed) for chunk in chunks)
        return store_file

    def _row(self, chunk: Chunk, embed: Embed) -> vectors.VectorRow:
        return vectors.VectorRow(
            chunk_id=chunk.pk,
            generation=self.store.generation,
            tenant_id=self.tenant.pk,
            vector_store_id=self.store.pk,
            store_file_id=chunk.store_file_id,
            vector=embed(chunk.text),
        )
