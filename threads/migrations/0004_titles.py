from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("threads", "0003_row_level_security")]

    operations = [
        migrations.AddField(
            model_name="thread",
            name="title",
            field=models.CharField(blank=True, db_default="", default="", max_length=200),
        ),
        migrations.AddField(
            model_name="thread",
            name="archived_at",
            field=models.DateTimeField(blank=True, editable=False, null=True),
        ),
        migrations.AddIndex(
            model_name="thread",
            index=models.Index(
                condition=models.Q(("archived_at", None), _negated=True),
                fields=["tenant", "id"],
                name="threads_archived",
            ),
        ),
    ]
