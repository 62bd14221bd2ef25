"""What the headers of a provider's answer say."""

import email.utils
import math
import time
from collections.abc import Mapping


def request_id_of(headers: Mapping[str, str]) -> str:
    """The name under which the provider logged the request; empty if it told none."""
    return headers.get("x-oneapi-request-id") or headers.get("x-request-id") or headers.get("request-id") or ""


def retry_after(headers: Mapping[str, str]) -> float | None:
    """The seconds a provider asks to wait: `retry-after-ms`, or `Retry-After` as seconds or as a date.

    LiteLLM hands its provider's wish on under a name of its own.
    """
    told = _seconds(headers.get("retry-after-ms", ""))
    if told is not None:
        return told / 1_000
    for name in ("retry-after", "llm_provider-retry-after"):
        text = headers.get(name, "")
        if (told := _seconds(text)) is not None:
            return told
        try:
            return max(email.utils.parsedate_to_datetime(text).timestamp() - time.time(), 0.0)
        except (ValueError, TypeError, IndexError, OverflowError):
            pass
    return None


def _seconds(text: str) -> float | None:
    try:
        told = float(text)
    except ValueError:
        return None
    return max(told, 0.0) if math.isfinite(told) else None
