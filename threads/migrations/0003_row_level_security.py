from django.db import migrations

from assistant_site.db.walls import around


class Migration(migrations.Migration):
    dependencies = [("threads", "0002_end_users")]

    operations = [
        around("threads_thread"),
        around("threads_message"),
    ]
