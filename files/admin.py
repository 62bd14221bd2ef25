"""Files and uploads in the admin: to look at and to delete; their content is not shown."""

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from files import actions
from files.models import File, Upload
from tenants.models import TenantModel


class LookOnly(admin.ModelAdmin[TenantModel]):
    list_select_related = ["tenant"]
    show_full_result_count = False

    def get_queryset(self, request: HttpRequest) -> QuerySet[TenantModel]:
        return self.model.objects.across_tenants().order_by("-pk")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: TenantModel | None = None) -> bool:
        return False


@admin.register(File)
class FileAdmin(LookOnly):
    list_display = ["id", "filename", "purpose", "bytes", "tenant", "created_at", "expires_at"]
    list_filter = ["purpose"]
    search_fields = ["id", "filename", "tenant__name", "sha256"]

    def delete_model(self, request: HttpRequest, obj: TenantModel) -> None:
        actions.erase(str(obj.pk))

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[TenantModel]) -> None:
        for id in queryset.values_list("pk", flat=True):
            actions.erase(str(id))


@admin.register(Upload)
class UploadAdmin(LookOnly):
    """Deleting one leaves its parts to the chore (`files.actions.forget_expired`), which removes their bytes."""

    list_display = ["id", "filename", "purpose", "bytes", "status", "tenant", "created_at", "expires_at"]
    list_filter = ["status", "purpose"]
    search_fields = ["id", "filename", "tenant__name"]
