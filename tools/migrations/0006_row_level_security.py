from django.db import migrations

from assistant_site.db.walls import around


class Migration(migrations.Migration):
    dependencies = [("tools", "0005_encrypted_fields")]

    operations = [
        around("tools_mcpserver", readable="tenant_id IS NULL"),
        around("tools_mcptoollist"),
        around("tools_action", readable="use_for_everyone"),
        around("tools_searchkey"),
        around("tools_codespace"),
        around("tools_codefile"),
    ]
