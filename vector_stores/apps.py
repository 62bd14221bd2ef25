from django.apps import AppConfig


class VectorStoresConfig(AppConfig):
    name = "vector_stores"
    verbose_name = "Vector stores"

    def ready(self) -> None:
        from files.actions import BEFORE_DELETION
        from vector_stores.actions import remove_from_all_stores

        BEFORE_DELETION.append(remove_from_all_stores)
