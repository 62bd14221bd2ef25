"""What a call's arguments must be before anybody works with them: one JSON object."""

import json
from typing import Any


def flaw_in(text: str) -> str | None:
    """What keeps this text from being a JSON object, in the parser's words; None if it is one."""
    try:
        arguments = json.loads(text, parse_constant=_refuse)
    except RecursionError:
        return "too deeply nested"
    except ValueError as error:
        return str(error)
    return None if isinstance(arguments, dict) else "not an object"


def as_object(text: str) -> dict[str, Any]:
    """Arguments without a flaw; none at all are an empty object."""
    arguments: dict[str, Any] = json.loads(text or "{}")
    return arguments


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not a JSON value")
