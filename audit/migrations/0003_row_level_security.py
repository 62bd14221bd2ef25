from django.db import migrations

from assistant_site.db.walls import around


class Migration(migrations.Migration):
    dependencies = [("audit", "0002_append_only")]

    operations = [
        around("audit_auditentry", addable="tenant_id = ''"),
    ]
