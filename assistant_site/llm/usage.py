"""Token numbers as providers tell them."""

from collections.abc import Mapping
from typing import Any

from assistant_site.llm.chat import Usage


def usage_of(told: object) -> Usage | None:
    """The numbers of a `usage` object; None if it tells nothing (missing, null, all zero: One API's Claude channel).

    Besides OpenAI's names: `input_tokens`/`output_tokens`, DeepSeek's `prompt_cache_hit_tokens`.
    """
    if not isinstance(told, Mapping):
        return None
    prompt = _first(told, "prompt_tokens", "input_tokens")
    completion = _first(told, "completion_tokens", "output_tokens") or max(_first(told, "total_tokens") - prompt, 0)
    if not prompt and not completion:
        return None
    return Usage(
        prompt_tokens=prompt,
        completion_tokens=completion,
        cached_tokens=_first(_detail(told, "prompt_tokens_details"), "cached_tokens")
        or _first(told, "prompt_cache_hit_tokens"),
        reasoning_tokens=_first(_detail(told, "completion_tokens_details"), "reasoning_tokens"),
    )


def _detail(told: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    detail = told.get(name)
    return detail if isinstance(detail, Mapping) else {}


def _first(told: Mapping[str, Any], *names: str) -> int:
    for name in names:
        value = told.get(name)
        if isinstance(value, int | float) and 0 < value < 2**53:
            return int(value)
    return 0
