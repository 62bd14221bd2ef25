from django.db import migrations

from assistant_site.db.walls import around


class Migration(migrations.Migration):
    dependencies = [("runs", "0009_sent_prompts")]

    operations = [
        around("runs_run"),
        around("runs_runstep"),
        around("runs_sentprompt"),
    ]
