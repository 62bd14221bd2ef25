from django.db import migrations

from assistant_site.db.walls import around


class Migration(migrations.Migration):
    dependencies = [("vector_stores", "0005_encrypted_fields")]

    operations = [
        around("vector_stores_vectorstore"),
        around("vector_stores_filebatch"),
        around("vector_stores_storefile"),
        around("vector_stores_parsedtext"),
        around("vector_stores_removal"),
        around("vector_stores_retrievalserver"),
        # Written by COPY, and searched by words through an index that no policy would let its owner use.
        around("vector_stores_chunk", forced=False),
        around("vector_stores_embedding", forced=False),
    ]
