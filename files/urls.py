from django.urls import path

from files import api

urlpatterns = [
    path("files", api.FileListView.as_view()),
    path("files/<str:file_id>", api.FileDetailView.as_view()),
    path("files/<str:file_id>/content", api.FileContentView.as_view()),
    path("uploads", api.UploadListView.as_view()),
    path("uploads/<str:upload_id>/parts", api.UploadPartListView.as_view()),
    path("uploads/<str:upload_id>/complete", api.CompleteUploadView.as_view()),
    path("uploads/<str:upload_id>/cancel", api.CancelUploadView.as_view()),
]
