"""Files, and uploads that become files part by part.

A row says what a file is; its bytes are in the storage (`files.storage`) under `blob`, a name that has nothing of the
caller's in it.
"""

from datetime import datetime

from django.db import models
from django.db.models import Q
from django.utils import timezone

from assistant_site.wire.ids import WireIdField
from tenants.models import TenantModel


class Purpose(models.TextChoices):
    ASSISTANTS = "assistants"
    ASSISTANTS_OUTPUT = "assistants_output"
    BATCH = "batch"
    BATCH_OUTPUT = "batch_output"
    EVALS = "evals"
    FINE_TUNE = "fine-tune"
    FINE_TUNE_RESULTS = "fine-tune-results"
    USER_DATA = "user_data"
    VISION = "vision"


class File(TenantModel):
    wire_noun = "file"

    id = WireIdField(prefix="file-")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    expires_at = models.DateTimeField(null=True, blank=True)
    purpose = models.CharField(max_length=32, choices=Purpose.choices)
    filename = models.CharField(max_length=512)
    bytes = models.BigIntegerField()
    sha256 = models.CharField(max_length=64)
    blob = models.CharField(max_length=200, editable=False)

    class Meta(TenantModel.Meta):
        indexes = [
            models.Index(fields=["tenant", "id"], name="files_of_tenant"),
            models.Index(fields=["expires_at"], name="files_that_expire", condition=~models.Q(expires_at=None)),
        ]

    def __str__(self) -> str:
        return f"{self.filename} ({self.id})"

    @staticmethod
    def unexpired() -> Q:
        """The condition that every reader puts: what has expired is gone, also before its row is."""
        return Q(expires_at=None) | Q(expires_at__gt=timezone.now())


class UploadStatus(models.TextChoices):
    PENDING = "pending"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


class Upload(TenantModel):
    """A large file on its way; `file` once it is complete."""

    wire_noun = "upload"

    id = WireIdField(prefix="upload_")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    expires_at = models.DateTimeField()
    status = models.CharField(max_length=16, choices=UploadStatus.choices, default=UploadStatus.PENDING)
    filename = models.CharField(max_length=512)
    purpose = models.CharField(max_length=32, choices=Purpose.choices)
    bytes = models.BigIntegerField()
    mime_type = models.CharField(max_length=256)
    file_expires_after_seconds = models.IntegerField(null=True)
    file = models.ForeignKey(File, null=True, on_delete=models.SET_NULL, related_name="+")

    class Meta(TenantModel.Meta):
        indexes = [
            models.Index(fields=["tenant", "id"], name="uploads_of_tenant"),
            models.Index(fields=["expires_at"], name="uploads_under_way", condition=models.Q(status="pending")),
        ]

    def __str__(self) -> str:
        return f"{self.filename} ({self.id}, {self.status})"

    def status_at(self, moment: datetime) -> str:
        """The status as callers know it: expired as soon as the time is up, not when a chore has written it."""
        is_late = self.status == UploadStatus.PENDING and self.expires_at <= moment
        return UploadStatus.EXPIRED if is_late else self.status


class UploadPart(TenantModel):
    wire_noun = "part"

    id = WireIdField(prefix="part_")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    upload = models.ForeignKey(Upload, on_delete=models.CASCADE, related_name="parts")
    bytes = models.BigIntegerField()
    blob = models.CharField(max_length=200, editable=False)

    class Meta(TenantModel.Meta):
        pass

    def __str__(self) -> str:
        return str(self.id)


class UnclaimedBlob(models.Model):
    """A blob that no other row speaks for: on its way in, or to be removed.

    Noted before the first byte is written and dropped with the commit that gives the blob an owner; noted again by the
    commit that takes its owner away. So neither a process that dies nor a storage that fails leaves bytes behind.
    """

    blob = models.CharField(max_length=200, unique=True)
    remove_at = models.DateTimeField(help_text="From when on the blob may be removed.")
    attempts = models.IntegerField(default=0, help_text="Removals that have failed.")

    class Meta:
        indexes = [models.Index(fields=["remove_at"], name="blobs_to_remove")]

    def __str__(self) -> str:
        return self.blob
