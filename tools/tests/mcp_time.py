"""A real MCP server that knows the time, as a process out of the environment that `make mcp` makes."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from assistant_site.tests.foreign import ForeignProgram


class TimeServer(ForeignProgram):
    """`mcp-server-time` behind `mcp-proxy`, which puts it on streamable HTTP."""

    name = "the MCP server"
    environment = ".venv-mcp"
    health = "/status"

    def __init__(self, folder: Path, *, stateless: bool) -> None:
        super().__init__(folder)
        self._mode = "--stateless" if stateless else "--no-stateless"

    @property
    def url(self) -> str:
        return f"http://localhost:{self.port}/mcp"

    def command(self) -> Sequence[str | Path]:
        python = self.bin / "python"
        place = ["--host", "127.0.0.1", "--port", str(self.port)]
        served: list[str | Path] = [python, "-m", "mcp_server_time", "--local-timezone", "Europe/Berlin"]
        return [python, self.bin / "mcp-proxy", *place, self._mode, "--", *served]

    def variables(self) -> Mapping[str, str]:
        return {"NO_PROXY": "localhost,127.0.0.1"}
