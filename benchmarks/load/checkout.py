"""A checkout of Holdfast, started as its user would start it: `manage.py up` in a folder that is thrown away."""

import atexit
import contextlib
import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psycopg

from assistant_site.embedded.process import spawn, wait_gone
from benchmarks.load.client import Client
from benchmarks.load.processes import Processes

PROJECT = Path(__file__).resolve().parents[2]
READY_SECONDS = 120
# A developer's own, which would make this another installation than the one that is measured.
NOT_PASSED_ON = (
    "DATABASE_URL",
    "REDIS_URL",
    "VALKEY_URL",
    "OPENAI_API_BASE",
    "OPENAI_API_KEY",
    "Q_CLUSTER_NAME",
    "HOST",
)
TOKEN = re.compile(r"API token\s+(sk-\S+)")


def free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Model:
    """The fast fake model in a process of its own."""

    def __init__(self, port: int = 0) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="holdfast-bench-"))
        self.port = port or free_port()
        self.base = f"http://127.0.0.1:{self.port}/v1"
        self.process = spawn(
            [sys.executable, "-m", "benchmarks.paced_model", str(self.port)],
            log=self._folder / "model.log",
            death_signal=signal.SIGTERM,
            folder=PROJECT,
        )
        atexit.register(self.stop)
        self.processes = Processes(self.process.pid)
        deadline = time.monotonic() + 20
        while not _answers(f"{self.base}/models"):
            if time.monotonic() > deadline:
                sys.exit("The fake model does not start.")
            time.sleep(0.05)

    def cpu(self) -> float:
        return sum(self.processes.cpu().values())

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            wait_gone(self.process.pid, 5, self.process)
        shutil.rmtree(self._folder, ignore_errors=True)


class Checkout:
    """One installation. `environment` goes to `up`, beside this process's own."""

    def __init__(
        self, path: Path, *, name: str, model: Model, port: int = 0, environment: Mapping[str, str] | None = None
    ) -> None:
        self.path, self.name, self.model = path.resolve(), name, model
        self.port = port or free_port()
        self.folder = Path(tempfile.mkdtemp(prefix="holdfast-bench-")).resolve()
        self.folder.chmod(0o711)  # as root, PostgreSQL runs as another user and must get to its data
        atexit.register(self.remove)
        self.base = f"http://127.0.0.1:{self.port}/v1"
        self.admin_token = secrets.token_urlsafe(24)
        self.token = ""
        self.environment = self._environment(environment or {})
        self.log = self.folder / "up.log"
        self.log.touch(mode=0o600)
        self._process: subprocess.Popen[bytes] | None = None

    def _environment(self, given: Mapping[str, str]) -> dict[str, str]:
        made = {name: value for name, value in os.environ.items() if name not in NOT_PASSED_ON}
        sandbox = self.path / "var" / "sandbox"
        if "CODE_INTERPRETER" not in made and "SANDBOX_DIR" not in made:
            # Its Python is not built for a benchmark; where it is there, it belongs to what `up` starts.
            made |= {"SANDBOX_DIR": str(sandbox)} if sandbox.exists() else {"CODE_INTERPRETER": "off"}
        return {
            "LOG_LEVEL": "warning",
            **made,
            "HOLDFAST_VAR": str(self.folder),
            "HOLDFAST_ENV_FILE": os.devnull,
            "PORT": str(self.port),
            "OPENAI_BASE_URL": self.model.base,
            "OPENAI_API_KEY": "sk-none",
            "EMBEDDING_MODEL": "off",
            "ADMIN_TOKEN": self.admin_token,
            "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
            **given,
        }

    @property
    def has_sandbox(self) -> bool:
        return self.environment.get("CODE_INTERPRETER") != "off"

    def start(self) -> None:
        """Returns when it is ready; what it says at its first start has the token."""
        python = self.path / ".venv" / "bin" / "python"
        begin = self.log.stat().st_size
        self._process = spawn(
            [str(python) if python.exists() else sys.executable, "manage.py", "up"],
            log=self.log,
            death_signal=signal.SIGTERM,
            environment=self.environment,
            folder=self.path,
        )
        deadline = time.monotonic() + READY_SECONDS
        while "is ready" not in (said := self.log.read_bytes()[begin:].decode(errors="replace")):
            if self._process.poll() is not None or time.monotonic() > deadline:
                sys.exit(f"{self.name} does not start. It said:\n" + TOKEN.sub("", said)[-3_000:])
            time.sleep(0.1)
        if found := TOKEN.search(said):
            self.token = found[1]
        self.processes = Processes(self._process.pid)

    def stop(self) -> None:
        if self._process and self._process.poll() is None:
            self._process.terminate()
            if not wait_gone(self._process.pid, 60, self._process):
                self._process.kill()
        self._process = None

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def client(self) -> Client:
        return Client(self.base, self.token)

    async def tenants(self, count: int) -> list[Client]:
        """So many clients, each of a tenant of its own."""
        operator = Client(self.base, self.admin_token)
        made = []
        for number in range(count):
            token = await operator.call("POST", "/tokens", {"name": f"bench {number}", "scopes": ["read", "write"]})
            made.append(Client(self.base, token["assistant_token"]))
        operator.close()
        return made

    @property
    def connection_options(self) -> dict[str, Any]:
        kept = json.loads((self.folder / "secrets.json").read_text())
        return {
            "host": str(self.folder / "run"),
            "user": "holdfast",
            "dbname": "holdfast",
            "password": kept["database_password"],
        }

    def database(self) -> "psycopg.Connection[tuple[Any, ...]]":
        return psycopg.connect(**self.connection_options, autocommit=True)

    def revision(self) -> str:
        command = ["git", "-C", str(self.path), "describe", "--always", "--dirty"]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip() or "?"


def _answers(address: str) -> bool:
    with contextlib.suppress(OSError), urllib.request.urlopen(address, timeout=2) as answer:
        return bool(answer.status == 200)
    return False
