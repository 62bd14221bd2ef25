from django.urls import path

from tenants import api

urlpatterns = [
    path("tokens", api.TokenListView.as_view()),
    path("tokens/modify_token/<str:token>", api.ModifyTokenView.as_view()),
    path("tokens/refresh_token/<str:token>", api.RefreshTokenView.as_view()),
    path("tokens/<str:token>", api.TokenDetailView.as_view()),
    path("tenants", api.TenantListView.as_view()),
    path("tenants/<str:tenant_id>", api.TenantDetailView.as_view()),
    path("tenants/<str:tenant_id>/suspend", api.SuspendTenantView.as_view()),
    path("tenants/<str:tenant_id>/resume", api.ResumeTenantView.as_view()),
]
