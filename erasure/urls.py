from django.urls import path

from erasure import api

urlpatterns = [
    path("end_users/<path:name>/export", api.ExportEndUserView.as_view()),
]
