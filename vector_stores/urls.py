from django.urls import path

from vector_stores import api

_STORE = "vector_stores/<str:vector_store_id>"
_BATCH = f"{_STORE}/file_batches/<str:batch_id>"

urlpatterns = [
    path("vector_stores", api.VectorStoreListView.as_view()),
    path(_STORE, api.VectorStoreDetailView.as_view()),
    path(f"{_STORE}/search", api.SearchView.as_view()),
    path(f"{_STORE}/files", api.StoreFileListView.as_view()),
    path(f"{_STORE}/files/<str:file_id>", api.StoreFileDetailView.as_view()),
    path(f"{_STORE}/files/<str:file_id>/content", api.StoreFileContentView.as_view()),
    path(f"{_STORE}/file_batches", api.FileBatchListView.as_view()),
    path(_BATCH, api.FileBatchDetailView.as_view()),
    path(f"{_BATCH}/cancel", api.CancelFileBatchView.as_view()),
    path(f"{_BATCH}/files", api.FileBatchFilesView.as_view()),
]
