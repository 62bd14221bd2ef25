from django.apps import AppConfig
from django.db.models.signals import post_delete


class FilesConfig(AppConfig):
    name = "files"

    def ready(self) -> None:
        from files import blobs
        from files.actions import stored_bytes
        from files.models import File, UploadPart
        from metering.quotas import STORED

        STORED.append(stored_bytes)
        for owner in (File, UploadPart):
            post_delete.connect(blobs.owner_deleted, sender=owner, dispatch_uid=f"blob of {owner.__name__}")
