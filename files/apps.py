from django.apps import AppConfig


class FilesConfig(AppConfig):
    name = "files"

    def ready(self) -> None:
        from files import blobs
        from files.actions import stored_bytes
        from files.models import File, UploadPart
        from metering.quotas import STORED

        STORED.append(stored_bytes)
        for owner in (File, UploadPart):
            blobs.owned_by(owner)
