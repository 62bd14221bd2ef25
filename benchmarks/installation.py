"""An installation of its own for a benchmark, in a temporary folder that is removed: PostgreSQL, Valkey, all tables.

It is prepared before Django reads its settings, so this module is imported first.
"""

import atexit
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
RESULTS = PROJECT / "benchmarks" / "results"


def prepare(**environment: str) -> None:
    """Starts the servers and makes the tables; everything ends and goes with this process. `environment`: settings."""
    folder = Path(tempfile.mkdtemp(prefix="holdfast-bench-")).resolve()
    folder.chmod(0o711)  # as root, PostgreSQL runs as another user and must get to its data
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    os.environ |= {
        "HOLDFAST_VAR": str(folder),
        "HOLDFAST_ENV_FILE": os.devnull,
        "DJANGO_SETTINGS_MODULE": "assistant_site.settings",
        "LOG_LEVEL": "warning",
        **environment,
    }
    import django

    django.setup()
    from django.conf import settings
    from django.core.management import call_command

    from assistant_site.embedded.services import Services

    services = Services.of(
        var=settings.VAR_DIR,
        sockets=settings.EMBEDDED_SOCKET_DIR,
        password=settings.EMBEDDED_DATABASE_PASSWORD,
        database=True,
        valkey=True,
        options={"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "max_wal_size": "1GB"},
    )
    services.start()
    atexit.register(services.stop)
    call_command("migrate", verbosity=0)


def machine() -> str:
    """What the figures were measured on, in a line."""
    model = ""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    load = os.getloadavg()[0]
    return f"{os.cpu_count()} cores ({model}), load {load:.1f} at the end, Python {sys.version.split()[0]}"


def revision() -> str:
    command = ["git", "-C", str(PROJECT), "describe", "--always", "--dirty"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def percentile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]
