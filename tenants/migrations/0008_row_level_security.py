from django.db import migrations

from assistant_site.db.walls import around


class Migration(migrations.Migration):
    dependencies = [("tenants", "0007_encrypted_fields")]

    operations = [
        around("tenants_tenant", column="id"),
        around("tenants_apitoken"),
        around("tenants_enduser"),
        around("tenants_keptanswer"),
        around("tenants_provider", readable="tenant_id IS NULL"),
        around("tenants_modelalias", readable="tenant_id IS NULL"),
        around("tenants_modelprofile", readable="tenant_id IS NULL"),
    ]
