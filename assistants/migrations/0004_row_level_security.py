from django.db import migrations

from assistant_site.db.walls import around


class Migration(migrations.Migration):
    dependencies = [("assistants", "0003_encrypted_fields")]

    operations = [
        around("assistants_assistant"),
    ]
