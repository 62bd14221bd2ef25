"""Vector stores, the files in them, batches of such files, and the passages that searches find.

A file's passages (`Chunk`) and their vectors (the table `vector_stores_embedding`, written and read in SQL only, see
`vectors`) are written together with its status, in one transaction, by whoever holds its claim: so nothing is indexed
twice, and what is `completed` can be found.
"""

from django.contrib.postgres.indexes import GinIndex
from django.contrib.postgres.search import SearchVectorField
from django.core.validators import RegexValidator
from django.db import models
from django.utils import timezone

from assistant_site.wire.ids import WireIdField
from files.models import File
from tenants import encryption
from tenants.models import Tenant, TenantModel


class Engine(models.TextChoices):
    """Who keeps and searches a store's passages; chosen when it is created."""

    LOCAL = "local", "PostgreSQL"
    R2R = "r2r", "R2R"


class VectorStore(TenantModel):
    """`embedding_model` and its dimension are those of the vectors that are searched; empty: words only.

    Changing the model fills the vectors of the next `generation` in the background, while the present one is searched.
    """

    wire_noun = "vector store"

    id = WireIdField(prefix="vs_")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    name = models.CharField(max_length=256, null=True, blank=True)  # noqa: DJ001 null and "" differ on the wire
    description = models.TextField(null=True, blank=True)  # noqa: DJ001
    metadata = models.JSONField(default=dict, blank=True)
    expires_after_days = models.IntegerField(null=True, blank=True)
    last_active_at = models.DateTimeField(default=timezone.now)
    engine = models.CharField(max_length=16, choices=Engine.choices, default=Engine.LOCAL)

    embedding_model = models.CharField(max_length=200, default="", blank=True)
    embedding_dimension = models.IntegerField(default=0)
    generation = models.IntegerField(default=0)
    # Whose vectors fill the next generation, while they do.
    embedding_next_model = models.CharField(max_length=200, default="", blank=True)
    # When its vectors are to be made or made anew (`embedding_jobs`); null: nothing to do.
    embedding_due_at = models.DateTimeField(null=True, blank=True)
    embedding_lease_until = models.DateTimeField(null=True, blank=True)
    embedding_problem = models.CharField(max_length=500, default="", blank=True)
    # The partial HNSW index of a large store (`large_stores`); 0: none.
    indexed_chunks = models.IntegerField(default=0)

    class Meta(TenantModel.Meta):
        indexes = [
            models.Index(fields=["tenant", "id"], name="stores_of_tenant"),
            models.Index(
                fields=["embedding_due_at"], name="stores_to_embed", condition=~models.Q(embedding_due_at=None)
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name or 'unnamed'} ({self.id})"


class StoreFileStatus(models.TextChoices):
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class FileBatch(TenantModel):
    wire_noun = "file batch"

    id = WireIdField(prefix="vsfb_")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    vector_store = models.ForeignKey(VectorStore, on_delete=models.CASCADE, related_name="batches")
    cancelled_at = models.DateTimeField(null=True, blank=True)

    class Meta(TenantModel.Meta):
        pass

    def __str__(self) -> str:
        return str(self.id)


class StoreFile(TenantModel):
    """A file in a store. On the wire its id is the file's; this row's own id is its place in the order of creation."""

    wire_noun = "file"

    id = WireIdField(prefix="vsf_")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    vector_store = models.ForeignKey(VectorStore, on_delete=models.CASCADE, related_name="store_files", db_index=False)
    file = models.ForeignKey(File, on_delete=models.CASCADE, related_name="store_files")
    batches = models.ManyToManyField(FileBatch, related_name="store_files")
    status = models.CharField(max_length=16, choices=StoreFileStatus.choices, default=StoreFileStatus.IN_PROGRESS)
    last_error = models.JSONField(null=True)
    usage_bytes = models.BigIntegerField(default=0)
    chunk_count = models.IntegerField(default=0)
    max_chunk_size_tokens = models.IntegerField(default=800)
    chunk_overlap_tokens = models.IntegerField(default=400)
    attributes = models.JSONField(default=dict)

    # Its ingestion: who works on it, until when in database time, for the how-manieth time.
    queued_at = models.DateTimeField(default=timezone.now)
    claim = models.UUIDField(null=True)
    lease_until = models.DateTimeField(null=True)
    attempt = models.IntegerField(default=0)

    class Meta(TenantModel.Meta):
        indexes = [
            models.Index(fields=["vector_store", "id"], name="files_of_store"),
            models.Index(fields=["vector_store", "status"], include=["usage_bytes"], name="file_counts_of_store"),
            models.Index(
                fields=["tenant", "queued_at"], name="files_to_ingest", condition=models.Q(status="in_progress")
            ),
        ]
        constraints = [models.UniqueConstraint(fields=["vector_store", "file"], name="a_file_is_once_in_a_store")]

    def __str__(self) -> str:
        return f"{self.file_id} in {self.vector_store_id} ({self.status})"


class ParsedText(TenantModel):
    """The text that was read out of a file of a store."""

    store_file = models.OneToOneField(StoreFile, on_delete=models.CASCADE, primary_key=True, related_name="parsed")
    text = models.TextField()

    class Meta(TenantModel.Meta):
        pass

    def __str__(self) -> str:
        return f"text of {self.store_file_id}"


class Chunk(TenantModel):
    """A passage of a file, as searches return it. `start` and `end` are its place in the parsed text, in characters.

    No foreign keys to store and file: passages go in bulk, see `removals`. `tokens` are made by `words`.
    """

    id = models.BigAutoField(primary_key=True)
    vector_store_id = models.CharField(max_length=64, db_collation="C")
    store_file_id = models.CharField(max_length=64, db_collation="C")
    position = models.IntegerField()
    text = models.TextField()
    tokens = SearchVectorField()
    token_count = models.IntegerField()
    start = models.IntegerField()
    end = models.IntegerField()
    page = models.IntegerField(null=True)
    line = models.IntegerField(null=True)
    heading = models.CharField(max_length=500, default="", blank=True)

    class Meta(TenantModel.Meta):
        indexes = [
            models.Index(fields=["vector_store_id", "store_file_id"], name="chunks_of_store"),
            # A long list of what is still to be sorted in would be read by every search.
            GinIndex(fields=["tokens"], name="words_of_chunks", gin_pending_list_limit=64),
        ]
        constraints = [models.UniqueConstraint(fields=["store_file_id", "position"], name="one_chunk_per_position")]

    def __str__(self) -> str:
        return f"{self.store_file_id}[{self.position}]"


class Removal(TenantModel):
    """Passages that are still to be removed: what the API deleted at once, and what R2R has not confirmed yet.

    `store_file_id` is empty where a whole store is gone.
    """

    created_at = models.DateTimeField(default=timezone.now)
    due_at = models.DateTimeField(default=timezone.now, db_index=True)
    engine = models.CharField(max_length=16, choices=Engine.choices)
    vector_store_id = models.CharField(max_length=64)
    store_file_id = models.CharField(max_length=64, default="", blank=True)
    problem = models.CharField(max_length=500, default="", blank=True)

    class Meta(TenantModel.Meta):
        pass

    def __str__(self) -> str:
        return f"{self.vector_store_id} {self.store_file_id}".strip()


class RetrievalServer(models.Model):
    """A tenant's own R2R server; without one, the environment's (`vector_stores.r2r`)."""

    tenant = models.OneToOneField(Tenant, on_delete=models.CASCADE, primary_key=True, related_name="retrieval_server")
    base_url = models.CharField(
        max_length=500,
        help_text="Without /v3.",
        validators=[RegexValidator(r"^https?://[^\s/?#]+[^\s?#]*$", "An address like http://r2r.example.com:7272.")],
    )
    username = models.CharField(max_length=200, blank=True, help_text="Empty: R2R asks for no login.")
    encrypted_password = encryption.EncryptedField(blank=True, editable=False)

    class Meta:
        verbose_name = "R2R server"

    def __str__(self) -> str:
        return f"{self.base_url} of {self.tenant_id}"

    @property
    def password(self) -> str:
        """The password in clear; `encryption.Undecryptable` if no encryption key fits."""
        return encryption.decrypt(self.encrypted_password) if self.encrypted_password else ""

    def set_password(self, password: str) -> None:
        self.encrypted_password = encryption.encrypt(password) if password else ""
