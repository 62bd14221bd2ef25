"""The vectors of passages: a narrow table that is scanned, with its rows stored whole and without a fixed dimension.

A halfvec of 1,536 dimensions takes 3 KB. PostgreSQL would store it out of line, and each comparison would fetch it: two
to five times as slow. PLAIN keeps it in the row, which bounds it by the page: 4,000 dimensions.
"""

from typing import Any

from django.db import DatabaseError, migrations, transaction

TABLE = """
CREATE TABLE vector_stores_embedding (
    chunk_id bigint NOT NULL REFERENCES vector_stores_chunk ON DELETE CASCADE,
    generation integer NOT NULL,
    tenant_id varchar(64) COLLATE "C" NOT NULL,
    vector_store_id varchar(64) COLLATE "C" NOT NULL,
    store_file_id varchar(64) COLLATE "C" NOT NULL,
    vector halfvec NOT NULL,
    PRIMARY KEY (chunk_id, generation)
);
ALTER TABLE vector_stores_embedding ALTER vector SET STORAGE PLAIN;
CREATE INDEX embeddings_of_store ON vector_stores_embedding (vector_store_id, generation, store_file_id);
"""


class NoVectors(SystemExit):
    """Ends `migrate` with a sentence."""

    def __init__(self, why: str) -> None:
        super().__init__(
            "Holdfast needs the PostgreSQL extension pgvector, version 0.8 or newer, and "
            f"{why} Install it (Debian's package postgresql-NN-pgvector from apt.postgresql.org, or the image "
            "pgvector/pgvector), let a superuser say CREATE EXTENSION vector in Holdfast's database, and start again. "
            "Without DATABASE_URL, Holdfast brings its own PostgreSQL with pgvector."
        )


def make_extension(apps: Any, schema_editor: Any) -> None:
    with schema_editor.connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM pg_extension WHERE extname = 'vector'")
        if cursor.fetchone() is None:
            try:
                with transaction.atomic(using=schema_editor.connection.alias):
                    cursor.execute("CREATE EXTENSION vector")
            except DatabaseError as error:
                said = str(error).partition("\n")[0]
                raise NoVectors(f"it cannot be created in this database: {said}.") from None
        cursor.execute("SELECT extversion FROM pg_extension WHERE extname = 'vector'")
        version = cursor.fetchone()[0]
        if tuple(int(part) for part in version.split(".")[:2]) < (0, 8):
            raise NoVectors(f"this database has version {version}.")


class Migration(migrations.Migration):
    dependencies = [("vector_stores", "0001_initial")]

    operations = [
        migrations.RunPython(make_extension, migrations.RunPython.noop),
        migrations.RunSQL(TABLE, "DROP TABLE vector_stores_embedding"),
    ]
