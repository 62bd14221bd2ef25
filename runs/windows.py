"""How many tokens a model can see at once, by the beginning of its name.

The windows are those OpenAI documents for its models; for all others CONTEXT_WINDOW_TOKENS counts, because local
servers cut a longer prompt silently.
"""

from django.conf import settings

_WINDOWS = {
    "gpt-3.5-turbo": 16_385,
    "gpt-4": 8_192,
    "gpt-4-32k": 32_768,
    "gpt-4-turbo": 128_000,
    "gpt-4-1106": 128_000,
    "gpt-4-0125": 128_000,
    "gpt-4o": 128_000,
    "gpt-4.1": 1_047_576,
    "gpt-4.5": 128_000,
    "gpt-5": 400_000,
    "o1": 200_000,
    "o3": 200_000,
    "o4": 200_000,
}


def window_of(model: str) -> int:
    """Tokens of prompt and answer together."""
    known = [name for name in _WINDOWS if model == name or model.startswith((f"{name}-", f"{name}."))]
    return _WINDOWS[max(known, key=len)] if known else int(settings.CONTEXT_WINDOW_TOKENS)
