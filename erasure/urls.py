from django.urls import path

from erasure import api

urlpatterns = [
    path("tenants/<str:tenant_id>", api.DeleteTenantView.as_view()),
    path("end_users/<path:name>/export", api.ExportEndUserView.as_view()),
    path("end_users/<path:name>", api.EraseEndUserView.as_view()),
]
