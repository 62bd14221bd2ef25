"""`manage.py create_token --tenant NAME`: issues an API token."""

from argparse import ArgumentParser
from typing import Any

from audit.commands import AuditedCommand
from tenants import actions


class Command(AuditedCommand):
    help = "Issues an API token for a tenant (made if missing) and prints it alone on the last line."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--tenant", required=True, help="the tenant's name")
        parser.add_argument("--name", default="command line", help="what the token is for")

    def handle(self, *args: Any, **options: Any) -> None:
        tenant = actions.ensure_tenant(options["tenant"])
        token, value = actions.issue_token(tenant=tenant, name=options["name"])
        self.stderr.write(f"Token '{token.name}' of tenant '{tenant.name}'. It is shown only now:")
        self.stdout.write(value)
