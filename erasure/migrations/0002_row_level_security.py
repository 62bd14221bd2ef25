from django.db import migrations

from assistant_site.db.walls import around


class Migration(migrations.Migration):
    dependencies = [("erasure", "0001_saas")]

    operations = [
        around("erasure_erasure"),
    ]
