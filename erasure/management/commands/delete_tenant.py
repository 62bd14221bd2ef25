"""`manage.py delete_tenant NAME --yes`: a tenant with everything it owns, without any worker."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from audit.commands import AuditedCommand
from erasure import stores, tenant
from tenants import deletion
from tenants.models import Tenant
from tools.code_interpreter import closing


class Command(AuditedCommand):
    help = "Deletes a tenant with everything it owns, for good. Ended before its end, it goes on when called again."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", help="the tenant's name or id")
        parser.add_argument("--yes", action="store_true", help="delete it; without this, only tell what it owns")
        parser.add_argument("--leave-r2r", action="store_true", help="even if R2R does not confirm its part")

    def handle(self, *args: Any, **options: Any) -> None:
        name = options["name"]
        found = Tenant.objects.filter(name=name).first() or Tenant.objects.filter(pk=name).first()
        if found is None:
            raise CommandError(f"There is no tenant {name}.")
        owned = ", ".join(f"{number:,} {what.replace('_', ' ')}" for what, number in tenant.owned_by(found).items())
        if not options["yes"]:
            raise CommandError(f"{found.name} ({found.pk}) owns {owned}. To delete all of it, say --yes.")
        self.stdout.write(f"{found.name} ({found.pk}): {owned}.")
        began = deletion.begin(found)
        try:
            is_gone = tenant.carry_out(began, leave_r2r=options["leave_r2r"])
        except stores.Unreachable as problem:
            raise CommandError(
                f"Everything but what R2R has is deleted: {problem} Repeat the command, or say --leave-r2r."
            ) from None
        closing.wait()
        self.stdout.write("It is gone." if is_gone else "A worker is deleting it just now.")
