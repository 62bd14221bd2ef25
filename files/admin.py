"""Files and uploads in the admin: to look at and to delete; their content is not shown."""

from django.contrib import admin
from django.contrib.admin import display
from django.db.models import Model, QuerySet
from django.http import HttpRequest

from assistant_site.staff import filters, shown
from assistant_site.staff.pages import LookOnly, names
from audit.admin_log import Audited
from files import actions
from files.models import File, Upload
from tenants.models import TenantModel


@admin.register(File)
class FileAdmin(Audited, LookOnly):
    list_display = ["id_", "filename", "purpose", "size", "of_tenant", "made", "expires"]
    list_filter = [filters.OfTenant, filters.Since]
    list_select_related = ["tenant"]
    search_fields = ["filename"]
    search_help_text = "Id or its beginning, or a tenant's name; the file's name within one tenant."
    is_large = True
    content = ["filename"]
    fields = readonly_fields = names(File, "blob")

    def audit_name(self, row: Model) -> str:
        return str(row.pk)

    def delete_model(self, request: HttpRequest, obj: TenantModel) -> None:
        self.erase([str(obj.pk)])

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[TenantModel]) -> None:
        self.erase(list(queryset.values_list("pk", flat=True)))

    def erase(self, ids: list[str]) -> None:
        """With their bytes, and with what hangs on them in other apps."""
        for id in ids:
            actions.erase(id, is_recorded=True)

    @display(description="id")
    def id_(self, file: File) -> str:
        return shown.code(file.pk)

    @display(description="size")
    def size(self, file: File) -> str:
        return shown.size(file.bytes)

    @display(description="expires")
    def expires(self, file: File) -> str:
        return shown.ago(file.expires_at)


@admin.register(Upload)
class UploadAdmin(Audited, LookOnly):
    """Deleting one leaves its parts to the chore (`files.actions.forget_expired`), which removes their bytes."""

    list_display = ["id_", "filename", "purpose", "size", "state", "of_tenant", "made"]
    list_filter = [filters.OfTenant, filters.by("status"), filters.Since]
    list_select_related = ["tenant"]
    search_fields = ["filename"]
    content = ["filename"]
    fields = readonly_fields = names(Upload)

    def audit_name(self, row: Model) -> str:
        return str(row.pk)

    @display(description="id")
    def id_(self, upload: Upload) -> str:
        return shown.code(upload.pk)

    @display(description="size")
    def size(self, upload: Upload) -> str:
        return shown.size(upload.bytes)

    @display(description="state")
    def state(self, upload: Upload) -> str:
        return shown.status(upload.status)
