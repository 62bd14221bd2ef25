"""A real LiteLLM proxy as a process, out of the environment that `make gateways` makes."""

import json
import os
import secrets
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import requests

from assistant_site.embedded.process import spawn, tail, wait_gone
from assistant_site.tests.stack import free_port

ENVIRONMENT = Path(__file__).resolve().parents[3] / ".venv-gateways"
READY_SECONDS = 90  # it imports for ten seconds on a quiet machine


def is_installed() -> bool:
    return (ENVIRONMENT / "requirements.txt").is_file()  # written last


class LiteLLM:
    """Serves these models (name to the base URL of who answers for it) while its `with` block lasts.

    Its own retries, cooldowns and callers home are off: a test sees what one attempt does.
    """

    def __init__(self, folder: Path, models: Mapping[str, str]) -> None:
        self.port = free_port()
        self.key = f"sk-{secrets.token_hex(24)}"
        self.log = folder / "litellm.log"
        self._folder = folder
        self._config = folder / "config.yaml"
        config = {
            "model_list": [
                {
                    "model_name": name,
                    "litellm_params": {"model": f"openai/{name}", "api_base": base_url, "api_key": "of-the-upstream"},
                }
                for name, base_url in models.items()
            ],
            "general_settings": {"master_key": self.key},
            "litellm_settings": {"telemetry": False, "num_retries": 0},
            "router_settings": {"num_retries": 0, "disable_cooldowns": True},
        }
        self._config.write_text(json.dumps(config))  # JSON is YAML

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def __enter__(self) -> Self:
        program = [ENVIRONMENT / "bin" / "python", ENVIRONMENT / "bin" / "litellm"]
        self._process = spawn(
            [*program, "--config", self._config, "--host", "127.0.0.1", "--port", str(self.port)],
            log=self.log,
            death_signal=signal.SIGTERM,
            environment={
                "PATH": os.environ["PATH"],
                "HOME": str(self._folder),
                "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # else it fetches prices from the internet
                "NO_PROXY": "127.0.0.1",
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
        """SIGTERM, and SIGKILL to what is left of its session after five seconds."""
        if self._process.poll() is None:
            self._process.terminate()
        if not wait_gone(self._process.pid, 5, self._process):
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def _wait_ready(self) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while True:
            assert self._process.poll() is None, f"LiteLLM ended while starting\n{tail(self.log, lines=40)}"
            assert time.monotonic() < deadline, f"LiteLLM is not ready\n{tail(self.log, lines=40)}"
            try:
                if requests.get(f"http://127.0.0.1:{self.port}/health/liveliness", timeout=2).ok:
                    return
            except requests.RequestException:
                time.sleep(0.1)
