"""The real R2R 3.6.6 as a process, out of the environment that `make r2r` makes, with an embedding server of ours.

It runs in its "light" mode, on a database of its own in the test session's PostgreSQL.
"""

import os
import secrets
import signal
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import psycopg
import requests
from django.conf import settings

from assistant_site.embedded.process import spawn, tail, wait_gone
from assistant_site.tests.stack import free_port
from vector_stores.tests.r2r.embeddings import DIMENSIONS, EmbeddingServer

ENVIRONMENT = Path(__file__).resolve().parents[3] / ".venv-r2r"
READY_SECONDS = 120  # 8 on a quiet machine
USERNAME = "holdfast@example.com"
CONFIGURATION = """
[app]
fast_llm = "openai/none"
quality_llm = "openai/none"
vlm = "openai/none"
audio_lm = "openai/none"
reasoning_llm = "openai/none"
planning_llm = "openai/none"
[auth]
require_authentication = true
default_admin_email = "{username}"
default_admin_password = "{password}"
[database]
provider = "postgres"
disable_create_extension = true
[embedding]
provider = "litellm"
base_model = "openai/text-embedding-3-small"
base_dimension = {dimensions}
[completion_embedding]
provider = "litellm"
base_model = "openai/text-embedding-3-small"
base_dimension = {dimensions}
[ingestion]
automatic_extraction = false
[orchestration]
provider = "simple"
"""


def is_installed() -> bool:
    return (ENVIRONMENT / "requirements.txt").is_file()  # written last


class RealR2R:
    """R2R and its embedding server, while the `with` block lasts."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.username = USERNAME
        self.password = secrets.token_urlsafe(16)
        self._secret_key = secrets.token_hex(32)
        self.embeddings = EmbeddingServer()
        self.log = folder / "r2r.log"
        self._folder = folder
        self._database = f"r2r_{secrets.token_hex(4)}"
        self._configuration = folder / "r2r.toml"
        self._configuration.write_text(
            CONFIGURATION.format(username=self.username, password=self.password, dimensions=DIMENSIONS)
        )

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._make_database()
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        self.stop()
        self.embeddings.stop()

    def start(self) -> None:
        """Starts the server, on the same data when it was stopped before; returns when it answers."""
        host = settings.DATABASES["default"]
        self._process = spawn(
            [ENVIRONMENT / "bin" / "python", ENVIRONMENT / "bin" / "r2r-serve"],
            log=self.log,
            death_signal=signal.SIGTERM,
            environment={
                "PATH": os.environ["PATH"],
                "HOME": str(self._folder),
                "NO_PROXY": "127.0.0.1",
                "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # else it fetches prices from the internet
                "OPENAI_API_KEY": "none",
                "OPENAI_API_BASE": self.embeddings.base_url,
                "OPENAI_BASE_URL": self.embeddings.base_url,
                "R2R_HOST": "127.0.0.1",
                "R2R_PORT": str(self.port),
                "R2R_CONFIG_PATH": str(self._configuration),
                "R2R_PROJECT_NAME": "r2r_tests",
                "R2R_SECRET_KEY": self._secret_key,
                "R2R_POSTGRES_USER": str(host["USER"]),
                "R2R_POSTGRES_PASSWORD": quote(str(host["PASSWORD"]), safe=""),
                "R2R_POSTGRES_HOST": quote(str(host["HOST"]), safe=""),  # it becomes part of an address
                "R2R_POSTGRES_PORT": str(host["PORT"] or 5432),
                "R2R_POSTGRES_DBNAME": self._database,
            },
            folder=self._folder,
        )
        try:
            self._wait_ready()
        except BaseException:
            self.stop()
            raise

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """Ends it, with SIGKILL if it is still there after five seconds."""
        if self._process.poll() is None:
            self._process.send_signal(how)
        if not wait_gone(self._process.pid, 5, self._process):
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def _make_database(self) -> None:
        """R2R's extensions but `vector` are not in the wheel; it needs nothing but this function of them."""
        with self._connection("postgres") as connection:
            connection.execute(f"CREATE DATABASE {self._database}")
        with self._connection(self._database) as connection:
            connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
            connection.execute(
                "CREATE FUNCTION uuid_generate_v4() RETURNS uuid LANGUAGE sql AS 'SELECT gen_random_uuid()'"
            )

    def _connection(self, database: str) -> psycopg.Connection[Any]:
        found = settings.DATABASES["default"]
        return psycopg.connect(
            host=str(found["HOST"]),
            port=str(found["PORT"] or 5432),
            user=str(found["USER"]),
            password=str(found["PASSWORD"]),
            dbname=database,
            autocommit=True,
        )

    def _wait_ready(self) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while True:
            assert self._process.poll() is None, f"R2R ended while starting\n{tail(self.log, lines=40)}"
            assert time.monotonic() < deadline, f"R2R is not ready\n{tail(self.log, lines=40)}"
            try:
                if requests.get(f"{self.base_url}/v3/health", timeout=2).ok:
                    return
            except requests.RequestException:
                time.sleep(0.2)
