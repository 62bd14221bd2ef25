from django.urls import path

from tools.openapi_actions import api

urlpatterns = [
    path("actions", api.ActionListView.as_view()),
    path("actions/<str:action_id>", api.ActionDetailView.as_view()),
    path("actions/<str:action_id>/run", api.RunActionView.as_view()),
]
