"""A real MCP server that knows the time, as a process out of the environment that `make mcp` makes."""

import os
import signal
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import requests

from assistant_site.embedded.process import spawn, tail, wait_gone
from assistant_site.tests.stack import free_port

ENVIRONMENT = Path(__file__).resolve().parents[2] / ".venv-mcp"
READY_SECONDS = 60


def is_installed() -> bool:
    return (ENVIRONMENT / "requirements.txt").is_file()  # written last


class TimeServer:
    """`mcp-server-time` behind `mcp-proxy`, which puts it on streamable HTTP."""

    def __init__(self, folder: Path, *, stateless: bool) -> None:
        self.port = free_port()
        self.log = folder / "mcp.log"
        self._folder = folder
        self._mode = "--stateless" if stateless else "--no-stateless"

    @property
    def url(self) -> str:
        return f"http://localhost:{self.port}/mcp"

    def __enter__(self) -> Self:
        python, proxy = ENVIRONMENT / "bin" / "python", ENVIRONMENT / "bin" / "mcp-proxy"
        place = ["--host", "127.0.0.1", "--port", str(self.port)]
        served: list[str | Path] = [python, "-m", "mcp_server_time", "--local-timezone", "Europe/Berlin"]
        self._process = spawn(
            [python, proxy, *place, self._mode, "--", *served],
            log=self.log,
            death_signal=signal.SIGTERM,
            environment={"PATH": os.environ["PATH"], "HOME": str(self._folder), "NO_PROXY": "localhost,127.0.0.1"},
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
            assert self._process.poll() is None, f"the MCP server ended while starting\n{tail(self.log, lines=40)}"
            assert time.monotonic() < deadline, f"the MCP server is not ready\n{tail(self.log, lines=40)}"
            try:
                if requests.get(f"http://127.0.0.1:{self.port}/status", timeout=2).ok:
                    return
            except requests.RequestException:
                time.sleep(0.1)
