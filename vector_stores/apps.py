from django.apps import AppConfig


class VectorStoresConfig(AppConfig):
    name = "vector_stores"
