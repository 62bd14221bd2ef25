"""Which indexes migrations make."""

from typing import Any

from django.db.backends.postgresql import schema


class SchemaEditor(schema.DatabaseSchemaEditor):
    """Django's, without a twin of each index on a column that is compared byte by byte.

    Django gives every unique or indexed text column a second index for `LIKE 'a%'`, because a plain one serves that in
    the collation "C" only. Ours are in that collation (`wire.ids`). The twin costs a write for each row, and the
    planner often took it for the primary key, so that both had to be in memory.
    """

    def _create_like_index_sql(self, model: Any, field: Any) -> Any:
        column = field.target_field if field.is_relation else field
        if getattr(column, "db_collation", None) == "C":
            return None
        return super()._create_like_index_sql(model, field)  # type: ignore[misc]
