"""What a start makes sure of in the database: tables, a first tenant with a token, a first admin user."""

import logging
import secrets

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.db import OperationalError, connection, transaction
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder

from assistant_site.db import walls
from assistant_site.embedded.nursery import Made
from assistant_site.embedded.process import CannotStart
from tenants import actions as tenants
from tenants.models import Tenant

logger = logging.getLogger(__name__)


def check_services() -> None:
    """Raises CannotStart with a sentence for each of PostgreSQL and Valkey that does not answer within 5 seconds."""
    problems = [problem for problem in (database_problem(), _valkey_problem()) if problem]
    if problems:
        raise CannotStart(" ".join(problems))


def migrate() -> bool:
    """Bring the tables up to date; True if there was something to do."""
    loader = MigrationLoader(None)
    if set(loader.graph.nodes) <= set(MigrationRecorder(connection).applied_migrations()):
        return False
    call_command("migrate", verbosity=0, interactive=False)
    return True


def set_up() -> Made:
    """Make the first tenant with its token and the first admin user, where there is none, and what `walls` needs."""
    walls.make_sure()
    if problem := walls.problem():
        logger.warning(problem)
    token = password = ""
    with transaction.atomic():  # a tenant without its token would stay without one
        if not Tenant.objects.exists():
            tenant = tenants.ensure_tenant("default")
            _, token = tenants.issue_token(tenant=tenant, name="first token")
    users = get_user_model()._default_manager
    if not users.filter(is_superuser=True).exists():
        password = secrets.token_urlsafe(15)
        users.create_superuser(username="admin", email="", password=password)
    return Made(token, password)


def database_problem() -> str:
    """Why PostgreSQL cannot be used, as a sentence; empty if it answers."""
    try:
        connection.ensure_connection()
    except OperationalError as error:
        if settings.EMBEDDED_DATABASE:
            if "password authentication failed" in str(error):
                return (
                    f"The embedded PostgreSQL does not take the password in {settings.VAR_DIR / 'secrets.json'}: this "
                    "file and the folder postgres beside it do not belong together. Restore both from one backup."
                )
            return f"The embedded PostgreSQL does not answer: {without_passwords(error)}"
        return f"PostgreSQL at DATABASE_URL does not answer: {without_passwords(error)}"
    return ""


def _valkey_problem() -> str:
    if settings.EMBEDDED_VALKEY:
        return ""  # it was asked when it started
    import redis

    try:
        with redis.Redis.from_url(settings.VALKEY_URL, socket_connect_timeout=5, socket_timeout=5) as client:
            client.ping()
    except redis.RedisError as error:
        return f"Valkey (Redis) at REDIS_URL does not answer: {without_passwords(error)}"
    return ""


def without_passwords(error: Exception) -> str:
    """The first line of what a driver says, without our password in it, as the end of a sentence."""
    lines = str(error).strip().splitlines()
    text = lines[0] if lines else type(error).__name__
    for secret in (settings.DATABASES["default"].get("PASSWORD"), settings.REDIS_URL, settings.DATABASE_URL):
        if secret:
            text = text.replace(str(secret), "***")
    return text.rstrip(".") + "."
