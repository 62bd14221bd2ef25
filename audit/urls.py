from django.urls import path

from audit import api

urlpatterns = [path("audit_log", api.AuditLogView.as_view())]
