"""The real SearXNG as a process, out of the environment that `make searxng` makes; its only engine is a test's."""

import os
import secrets
import signal
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import requests
from django.conf import settings

from assistant_site.embedded.process import spawn, tail, wait_gone
from assistant_site.tests.stack import free_port

ENVIRONMENT = Path(__file__).resolve().parents[3] / ".venv-searxng"
SETTINGS = Path(settings.BASE_DIR) / "deploy" / "searxng" / "settings.yml"
READY_SECONDS = 60  # 4 on a quiet machine
ENGINE = """
plugins: {{}}
engines:
  - name: local
    engine: json_engine
    shortcut: local
    categories: general
    search_url: http://127.0.0.1:{port}/?q={{query}}
    results_query: results
    url_query: url
    title_query: title
    content_query: text
    enable_http: true
"""


def is_installed() -> bool:
    return (ENVIRONMENT / "requirements.txt").is_file()  # written last


class RealSearXNG:
    """SearXNG with the settings of `deploy`, while the `with` block lasts; `engine` is the port of what it asks."""

    def __init__(self, folder: Path, engine: int, *, without_json: bool = False) -> None:
        self.port = free_port()
        self._folder = folder
        self.log = folder / f"searxng-{self.port}.log"
        text = SETTINGS.read_text()
        text = text.replace("use_default_settings: true", "use_default_settings:\n  engines:\n    keep_only: []")
        if without_json:
            text = text.replace("    - json\n", "")
        self._settings = folder / f"settings-{self.port}.yml"
        self._settings.write_text(text + ENGINE.format(port=engine))

    def __enter__(self) -> Self:
        self._process = spawn(
            [ENVIRONMENT / "bin" / "python", "-m", "searx.webapp"],
            log=self.log,
            death_signal=signal.SIGTERM,
            environment={
                "PATH": os.environ["PATH"],
                "HOME": str(self._folder),
                "TMPDIR": str(self._folder),
                "SEARXNG_SETTINGS_PATH": str(self._settings),
                "SEARXNG_SECRET": secrets.token_hex(32),
                "SEARXNG_PORT": str(self.port),
                "SEARXNG_BIND_ADDRESS": "127.0.0.1",
            },
            folder=self._folder,
        )
        try:
            self._wait_ready()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def stop(self) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        if not wait_gone(self._process.pid, 5, self._process):
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def _wait_ready(self) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while True:
            assert self._process.poll() is None, f"SearXNG ended while starting\n{tail(self.log, lines=40)}"
            assert time.monotonic() < deadline, f"SearXNG is not ready\n{tail(self.log, lines=40)}"
            try:
                if requests.get(f"http://127.0.0.1:{self.port}/healthz", timeout=2).ok:
                    return
            except requests.RequestException:
                time.sleep(0.2)
