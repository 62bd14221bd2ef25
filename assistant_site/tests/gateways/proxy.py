"""A real LiteLLM proxy as a process, out of the environment that `make gateways` makes."""

import json
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path

from assistant_site.tests.foreign import ForeignProgram


class LiteLLM(ForeignProgram):
    """Serves these models (name to the base URL of who answers for it) while its `with` block lasts.

    Its own retries, cooldowns and callers home are off: a test sees what one attempt does.
    """

    name = "LiteLLM"
    environment = ".venv-gateways"
    health = "/health/liveliness"

    def __init__(self, folder: Path, models: Mapping[str, str]) -> None:
        super().__init__(folder)
        self.key = f"sk-{secrets.token_hex(24)}"
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

    def command(self) -> Sequence[str | Path]:
        place = ["--host", "127.0.0.1", "--port", str(self.port)]
        return [self.bin / "python", self.bin / "litellm", "--config", self._config, *place]

    def variables(self) -> Mapping[str, str]:
        # Else it fetches prices from the internet.
        return {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "NO_PROXY": "127.0.0.1"}
