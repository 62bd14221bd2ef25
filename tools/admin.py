"""What threads' code has left, in the admin: to look at; a file's content is not shown."""

from django.contrib import admin

from files.admin import LookOnly
from tools.mcp.admin import McpServerAdmin
from tools.models import CodeFile, CodeSpace
from tools.openapi_actions.admin import ActionAdmin
from tools.web_search.admin import SearchKeyAdmin

__all__ = ["ActionAdmin", "CodeFileAdmin", "CodeSpaceAdmin", "McpServerAdmin", "SearchKeyAdmin"]


@admin.register(CodeSpace)
class CodeSpaceAdmin(LookOnly):
    list_display = ["thread_id", "tenant", "used_at", "generation"]
    search_fields = ["thread__id", "tenant__name"]


@admin.register(CodeFile)
class CodeFileAdmin(LookOnly):
    list_display = ["name", "bytes", "thread_id", "tenant", "file_id", "updated_at"]
    search_fields = ["name", "thread__id", "tenant__name"]
