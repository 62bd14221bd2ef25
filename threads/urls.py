from django.urls import path

from threads import api

urlpatterns = [
    path("threads", api.ThreadListView.as_view()),
    path("threads/<str:thread_id>", api.ThreadDetailView.as_view()),
    path("threads/<str:thread_id>/messages", api.MessageListView.as_view()),
    path("threads/<str:thread_id>/messages/<str:message_id>", api.MessageDetailView.as_view()),
]
