"""The real SearXNG as a process, out of the environment that `make searxng` makes; its only engine is a test's."""

import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path

from django.conf import settings

from assistant_site.tests.foreign import ForeignProgram

SETTINGS = Path(settings.BASE_DIR) / "deploy" / "searxng" / "settings.yml"
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


class RealSearXNG(ForeignProgram):
    """SearXNG with the settings of `deploy`, while the `with` block lasts; `engine` is the port of what it asks."""

    name = "SearXNG"
    environment = ".venv-searxng"
    health = "/healthz"

    def __init__(self, folder: Path, engine: int, *, without_json: bool = False) -> None:
        super().__init__(folder)
        text = SETTINGS.read_text()
        text = text.replace("use_default_settings: true", "use_default_settings:\n  engines:\n    keep_only: []")
        if without_json:
            text = text.replace("    - json\n", "")
        self._settings = folder / f"settings-{self.port}.yml"
        self._settings.write_text(text + ENGINE.format(port=engine))

    def command(self) -> Sequence[str | Path]:
        return [self.bin / "python", "-m", "searx.webapp"]

    def variables(self) -> Mapping[str, str]:
        return {
            "TMPDIR": str(self.folder),
            "SEARXNG_SETTINGS_PATH": str(self._settings),
            "SEARXNG_SECRET": secrets.token_hex(32),
            "SEARXNG_PORT": str(self.port),
            "SEARXNG_BIND_ADDRESS": "127.0.0.1",
        }
