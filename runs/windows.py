"""How many tokens a model can see at once: as its profile says, else by the beginning of its name.

The windows are those OpenAI documents for its models; for all others CONTEXT_WINDOW_TOKENS counts, because local
servers cut a longer prompt silently. The name that counts is the provider's, whatever alias a run has for it.
"""

from dataclasses import replace

from django.conf import settings

from runs.models import Run
from tenants.routes import Profile, directory_of

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


def profile_for(run: Run) -> Profile:
    """What is known of the run's model, with tokens of prompt and answer together in any case. Reads the database."""
    directory = directory_of(run.tenant_id)
    profile = directory.profile(run.model)
    return replace(profile, context_window=profile.context_window or window_of(directory.upstream_name(run.model)))


def window_of(model: str) -> int:
    """The window of a model of which only the name is known."""
    known = [name for name in _WINDOWS if model == name or model.startswith((f"{name}-", f"{name}."))]
    return _WINDOWS[max(known, key=len)] if known else int(settings.CONTEXT_WINDOW_TOKENS)
