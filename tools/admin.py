"""What threads' code has left, in the admin: to look at; a file's content is not shown."""

from django.contrib import admin
from django.contrib.admin import display

from assistant_site.staff import filters, shown
from assistant_site.staff.pages import Kept, names
from tools.mcp.admin import McpServerAdmin
from tools.models import CodeFile, CodeSpace
from tools.openapi_actions.admin import ActionAdmin
from tools.web_search.admin import SearchKeyAdmin

__all__ = ["ActionAdmin", "CodeFileAdmin", "CodeSpaceAdmin", "McpServerAdmin", "SearchKeyAdmin"]


@admin.register(CodeSpace)
class CodeSpaceAdmin(Kept):
    list_display = ["of_thread", "of_tenant", "used", "generation"]
    list_display_links = ["generation"]
    list_filter = [filters.OfTenant]
    list_select_related = ["tenant"]
    search_help_text = "Id of a thread or tenant, or a tenant's name."
    ids = {"thread_": "thread_id"}
    is_large = True
    content = ["inputs", "seen", "absent"]
    fields = ["of_thread", "tenant", "inputs", "seen", "absent", "generation", "used_at"]
    readonly_fields = fields

    @display(description="thread")
    def of_thread(self, space: CodeSpace) -> str:
        return shown.id_link("threads.thread", space.thread_id)

    @display(description="last used")
    def used(self, space: CodeSpace) -> str:
        return shown.ago(space.used_at)


@admin.register(CodeFile)
class CodeFileAdmin(Kept):
    list_display = ["pk", "name", "size", "of_thread", "of_tenant", "of_file", "updated"]
    list_filter = [filters.OfTenant]
    list_select_related = ["tenant"]
    search_help_text = "Id of a thread, file or tenant, or a tenant's name."
    ids = {"thread_": "thread_id", "file-": "file_id"}
    is_large = True
    content = ["name"]
    fields = ["of_thread", *names(CodeFile, "thread", "blob")]
    readonly_fields = fields

    @display(description="size")
    def size(self, file: CodeFile) -> str:
        return shown.size(file.bytes)

    @display(description="thread")
    def of_thread(self, file: CodeFile) -> str:
        return shown.id_link("threads.thread", file.thread_id)

    @display(description="file")
    def of_file(self, file: CodeFile) -> str:
        return shown.id_link("files.file", file.file_id)

    @display(description="updated")
    def updated(self, file: CodeFile) -> str:
        return shown.ago(file.updated_at)
