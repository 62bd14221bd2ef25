from django.urls import path

from assistants import api

urlpatterns = [
    path("assistants", api.AssistantListView.as_view()),
    path("assistants/<str:assistant_id>", api.AssistantDetailView.as_view()),
]
