"""`/healthz`: this process is alive. `/readyz`: everything it needs answers, and if not, what does not. `/health`: what
it can do without, but somebody will miss: the code interpreter.
"""

from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection
from django.http import HttpRequest, JsonResponse

from assistant_site import code, valkey
from assistant_site.wire import rest
from runs.workers import ALIVE_KEY
from tenants.auth import OPEN_DOOR
from vector_stores.tasks import ALIVE_KEY as INGESTION_ALIVE_KEY


def healthz(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"status": "ok"})


def health(request: HttpRequest) -> JsonResponse:
    """Answers 200 whatever it tells."""
    state = code.state()
    told = {"state": state.word, "reason": state.sentence or None, "tier": state.tier or None, "notes": state.notes}
    return rest.logged(JsonResponse({"status": "ok", "code_interpreter": told}))


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


def _worker(key: str, name: str, command: str) -> str:
    """Whether a worker process of this kind has shown itself."""
    try:
        if next(valkey.blocking().scan_iter(match=f"{key}*", count=1000), None) is not None:
            return "ok"
    except (valkey.Failed, OSError):
        return "Unknown while Valkey does not answer."
    return f"No {name} has shown itself for some seconds. Start one with: {command}"


def readyz(request: HttpRequest) -> JsonResponse:
    parts = {
        "postgresql": _database(),
        "valkey": _valkey(),
        "worker": _worker(ALIVE_KEY, "worker", "manage.py qcluster"),
        "ingestion": _worker(INGESTION_ALIVE_KEY, "ingestion worker", "Q_CLUSTER_NAME=ingestion manage.py qcluster"),
    }
    ready = all(state == "ok" for state in parts.values())
    told = {"status": "ok" if ready else "not ready", **parts, "code_interpreter": str(code.state())}
    if not settings.AUTH_ENABLED:
        told["authentication"] = OPEN_DOOR
    return rest.logged(JsonResponse(told, status=200 if ready else 503))
