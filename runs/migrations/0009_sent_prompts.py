import django.db.models.deletion
import django.db.models.manager
import django.utils.timezone
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("runs", "0008_fair_sharing"),
        ("tenants", "0006_saas"),
        ("threads", "0002_end_users"),
    ]

    operations = [
        migrations.CreateModel(
            name="SentPrompt",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("turn", models.IntegerField()),
                ("attempt", models.IntegerField()),
                ("sent_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("body", models.BinaryField(help_text="JSON, compressed with zlib.")),
            ],
            options={
                "abstract": False,
                "base_manager_name": "rows",
            },
            managers=[
                ("objects", django.db.models.manager.Manager()),
                ("rows", django.db.models.manager.Manager()),
            ],
        ),
        migrations.AddIndex(
            model_name="run",
            index=models.Index(
                condition=models.Q(("status__in", frozenset(["cancelled", "expired", "failed", "incomplete"]))),
                fields=["status", "id"],
                name="runs_ended_otherwise",
            ),
        ),
        migrations.AddField(
            model_name="sentprompt",
            name="run",
            field=models.ForeignKey(
                db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name="sent_prompts", to="runs.run"
            ),
        ),
        migrations.AddField(
            model_name="sentprompt",
            name="tenant",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="%(class)ss",
                to="tenants.tenant",
            ),
        ),
        migrations.AddIndex(
            model_name="sentprompt",
            index=models.Index(fields=["run", "id"], name="prompts_of_run"),
        ),
        migrations.AddIndex(
            model_name="sentprompt",
            index=models.Index(fields=["sent_at"], name="prompts_by_age"),
        ),
    ]
