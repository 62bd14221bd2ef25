from django.db import migrations

from assistant_site.db.walls import around


class Migration(migrations.Migration):
    dependencies = [("metering", "0002_ledger")]

    operations = [
        around("metering_price", readable="tenant_id IS NULL"),
        around("metering_budget"),
        around("metering_balance"),
        around("metering_ledgerentry"),
        around("metering_usageday"),
    ]
