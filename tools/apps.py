from django.apps import AppConfig
from django.db.models.signals import post_delete


class ToolsConfig(AppConfig):
    name = "tools"

    def ready(self) -> None:
        from files import blobs
        from tools.code_interpreter import closing
        from tools.models import CodeFile, CodeSpace

        post_delete.connect(blobs.owner_deleted, sender=CodeFile, dispatch_uid="blob of CodeFile")
        post_delete.connect(closing.space_deleted, sender=CodeSpace, dispatch_uid="session of CodeSpace")
