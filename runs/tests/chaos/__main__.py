"""`python -m runs.tests.chaos`: rounds of runs and faults on an installation of its own, until enough were killed."""

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

LOADED_AT = time.monotonic()
# Quick, so that a round is; the demo model is away, so that nothing but the scripts answers.
ENVIRONMENT = {
    "DJANGO_SETTINGS_MODULE": "assistant_site.settings",
    "HOLDFAST_ENV_FILE": os.devnull,
    "PYTHONUNBUFFERED": "1",
    "RUN_LEASE_SECONDS": "3",
    "WORKER_DRAIN_SECONDS": "1",
    "LLM_SILENCE_SECONDS": "9",  # longer than a worker is frozen, which would take its own sleep for silence
    "LLM_RETRIES": "1",
    "WORKER_DATABASE_THREADS": "4",
    "WEB_THREADS": "8",
}
KEPT = ("PATH", "HOME", "TMPDIR", "LANG", "LC_ALL", "HOLDFAST_SPEC", "VIRTUAL_ENV")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=None, help="what is tried follows from it; default: a new one")
    parser.add_argument("--kills", type=int, default=100, help="end after so many kills")
    parser.add_argument("--minutes", type=float, default=60.0, help="end after so long, whatever was reached")
    parser.add_argument("--round", type=int, default=None, help="only this round of the seed, once")
    parser.add_argument("--runs", type=int, default=36, help="runs in a round")
    parser.add_argument("--webs", type=int, default=2)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--keep", action="store_true", help="leave the folder with logs and data")
    return parser.parse_args()


def settle(folder: Path) -> None:
    """Our own environment and nothing of the developer's; then Django."""
    kept = {name: os.environ[name] for name in KEPT if name in os.environ}
    os.environ.clear()
    os.environ.update(kept | ENVIRONMENT | {"HOLDFAST_VAR": str(folder / "var")})
    import django

    django.setup()
    from django.conf import settings

    # For the children the servers are somebody else's: they are not to start them.
    database, valkey = settings.DATABASES["default"], settings.VALKEY_URL
    from urllib.parse import quote

    host, password = quote(str(database["HOST"]), safe=""), quote(str(database["PASSWORD"]), safe="")
    os.environ["DATABASE_URL"] = f"postgres://{database['USER']}:{password}@{host}/{database['NAME']}"
    os.environ["REDIS_URL"] = valkey


def main() -> int:
    options = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    seed = random.SystemRandom().randrange(10**6) if options.seed is None else options.seed
    folder = Path(tempfile.mkdtemp(prefix="holdfast-chaos-")).resolve()
    folder.chmod(0o711)  # as root, PostgreSQL runs as another user and must get to its data
    settle(folder)
    from runs.tests.chaos.suite import Suite

    try:
        return Suite(folder, seed, options).run(LOADED_AT)
    finally:
        if options.keep:
            print(f"Logs and data are in {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
