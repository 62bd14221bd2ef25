from django.db import migrations

# Of all apps' tables, as they were made before `assistant_site.db.postgresql.schema` made none.
DROP = """
DO $$
DECLARE
    twin regclass;
BEGIN
    FOR twin IN
        SELECT indexrelid FROM pg_index
        JOIN pg_class ON pg_class.oid = indexrelid
        JOIN pg_attribute ON attrelid = indrelid AND attnum = indkey[0]
        JOIN pg_collation ON pg_collation.oid = attcollation
        WHERE relname LIKE '%\\_like' AND relnamespace = current_schema()::regnamespace
        AND indnatts = 1 AND collname = 'C'
    LOOP
        EXECUTE format('DROP INDEX %s', twin);
    END LOOP;
END $$
"""


class Migration(migrations.Migration):
    dependencies = [("tenants", "0009_made_for")]

    operations = [migrations.RunSQL(DROP, migrations.RunSQL.noop)]
