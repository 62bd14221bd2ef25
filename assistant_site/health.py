"""`/healthz`: this process is alive. `/readyz`: everything it needs answers, and if not, what does not."""

from django.db import DatabaseError, InterfaceError, connection
from django.http import HttpRequest, JsonResponse

from assistant_site import valkey
from assistant_site.wire import rest
from runs.workers import ALIVE_KEY


def healthz(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"status": "ok"})


def _database() -> str:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except (DatabaseError, InterfaceError):
        return "PostgreSQL does not answer. Check that it runs and that DATABASE_URL is right."
    return "ok"


def _valkey() -> str:
    try:
        valkey.blocking().ping()
    except (valkey.Failed, OSError):
        return "Valkey does not answer. Check that it runs and that REDIS_URL is right."
    return "ok"


def _worker() -> str:
    try:
        if next(valkey.blocking().scan_iter(match=f"{ALIVE_KEY}*", count=1000), None) is not None:
            return "ok"
    except (valkey.Failed, OSError):
        return "Unknown while Valkey does not answer."
    return "No worker has shown itself for some seconds. Start one with: manage.py qcluster"


def readyz(request: HttpRequest) -> JsonResponse:
    parts = {"postgresql": _database(), "valkey": _valkey(), "worker": _worker()}
    ready = all(state == "ok" for state in parts.values())
    return rest.logged(JsonResponse({"status": "ok" if ready else "not ready", **parts}, status=200 if ready else 503))
