from django.db import migrations

from assistant_site.db.walls import around


class Migration(migrations.Migration):
    dependencies = [("files", "0002_unclaimed_blobs")]

    operations = [
        around("files_file"),
        around("files_upload"),
        around("files_uploadpart"),
    ]
