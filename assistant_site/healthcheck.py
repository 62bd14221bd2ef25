"""`python -m assistant_site.healthcheck [web|worker|ingestion]`: is the process of this container, pod or machine well?

Exit code 0: yes, 1: no, with a sentence. Without a role, the command of process 1 tells it. It asks the process itself,
not what that depends on (`/readyz` does): who restarts on this answer must not do so because PostgreSQL or Valkey is
away. It loads no Django, so that it may be asked every few seconds.
"""

import http.client
import os
import socket
import sys
from pathlib import Path

from assistant_site import environment as env
from assistant_site.embedded.address import reachable

SECONDS = 4
WORKER, INGESTION = "holdfast:worker:", "holdfast:ingestion:"  # ALIVE_KEY of runs.workers and of vector_stores.tasks
ROLES = ("web", "worker", "ingestion")


def problem_of(role: str) -> str:
    """A sentence; empty: it is well."""
    if role == "web":
        return _web()
    return _worker(role)


def role_of(command: list[str], queue: str) -> str:
    """Which of ROLES a command line of Holdfast's is; empty: none of them. `queue`: Q_CLUSTER_NAME."""
    words = {"serve": "web", "qcluster": "ingestion" if queue == "ingestion" or "ingestion" in command else "worker"}
    return next((words[word] for word in command if word in words), "")


def _web() -> str:
    port = env.number("PORT", "APP_SERVER_PORT", default=8086)
    # The host must be one that ALLOWED_HOSTS lets in.
    names = [name.lstrip(".") for name in env.items("ALLOWED_HOSTS", default=[]) if name != "*"]
    connection = http.client.HTTPConnection(reachable(env.text("HOST", default="127.0.0.1")), port, timeout=SECONDS)
    try:
        connection.request("GET", "/healthz", headers={"Host": names[0]} if names else {})
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        return f"The web process does not answer at port {port}: {error}."
    finally:
        connection.close()
    return "" if status == 200 else f"The web process answers {status} at port {port}."


def _worker(role: str) -> str:
    """A worker shows itself in Valkey every few seconds, under the name of this host."""
    import redis

    address = env.url("REDIS_URL", "VALKEY_URL", schemes=("redis", "rediss", "valkey", "unix"))
    if not address:
        return "REDIS_URL is not set; the embedded Valkey's workers are looked after by `manage.py up`."
    mine = f"{WORKER if role == 'worker' else INGESTION}{socket.gethostname()}:*"
    try:
        with redis.Redis.from_url(
            address.replace("valkey://", "redis://"), socket_connect_timeout=SECONDS, socket_timeout=SECONDS
        ) as valkey:
            shown = next(valkey.scan_iter(match=mine, count=1000), None)
    except redis.RedisError:
        sys.stdout.write("Valkey does not answer, so nothing is known of the worker.\n")
        return ""
    return "" if shown is not None else f"No {role} of {socket.gethostname()} has shown itself for some seconds."


def main() -> None:
    role = sys.argv[1] if len(sys.argv) > 1 else ""
    if not role:
        command = Path("/proc/1/cmdline").read_bytes().decode(errors="replace").split("\0")
        role = role_of(command, os.environ.get("Q_CLUSTER_NAME", ""))
        if not role:
            return  # a command that ends by itself, such as `migrate`
    if role not in ROLES:
        sys.exit(f"usage: python -m assistant_site.healthcheck [{'|'.join(ROLES)}]")
    if problem := problem_of(role):
        sys.exit(problem)


if __name__ == "__main__":
    main()
