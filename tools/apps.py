from django.apps import AppConfig
from django.db.models.signals import post_delete


class ToolsConfig(AppConfig):
    name = "tools"

    def ready(self) -> None:
        from assistant_site.wire.tool_types import register
        from files import blobs
        from metering.quotas import STORED
        from tools.code_interpreter import closing
        from tools.code_interpreter.kept import stored_bytes
        from tools.models import CodeFile, CodeSpace
        from tools.registry import server_tools
        from tools.served import ServedTool
        from tools.web_search import checks as checks  # registers itself

        for type, tool in server_tools().items():
            if isinstance(tool, ServedTool):
                register(type, tool.shape, tool.judge)

        STORED.append(stored_bytes)
        blobs.owned_by(CodeFile)
        post_delete.connect(closing.space_deleted, sender=CodeSpace, dispatch_uid="session of CodeSpace")
