"""The demo model's routes, to be included at `/demo/v1/`."""

from django.urls import path

from assistant_site.demo import views

urlpatterns = [
    path("chat/completions", views.chat_completions),
    path("embeddings", views.embeddings),
    path("models", views.models),
    path("models/<path:name>", views.model),
]
