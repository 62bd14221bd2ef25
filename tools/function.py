"""Functions of the caller: the model asks, the run waits in `requires_action`, the caller answers."""

from typing import Any


def offer(tool: dict[str, Any]) -> dict[str, Any]:
    """The function in the words of chat completions."""
    function = dict(tool["function"])
    if not function.get("strict"):
        function.pop("strict", None)  # several gateways refuse the key even when it is false
    return {"type": "function", "function": function}
