"""Which providers have just failed: what this process remembers, and what of it is written on their rows.

Who has failed is asked after the others for a while: 10 s, doubled with each further failure up to a minute, or as long
as the provider itself asked for. The first answer ends that. Each process learns for itself, which costs it one failed
attempt; nothing is shared, so nothing is waited for.

The rows are for the operator's eyes. `failed` and `succeeded` only note; `write` writes, when `is_due`, and is called
where nobody waits for it.
"""

import threading
import time
from dataclasses import dataclass
from datetime import datetime

from django.utils import timezone

from assistant_site.db import scope
from assistant_site.llm.errors import TurnFailed, without_secrets
from tenants.models import Provider

FIRST_SECONDS = 10.0
MOST_SECONDS = 60.0
FAILURES_EVERY_SECONDS = 5.0  # between two writes of one provider's failures
SUCCESSES_EVERY_SECONDS = 60.0  # unless it has failed in between
MAX_FAILURE_CHARACTERS = 500
_MOST_COOLING = 10_000  # callers can name any model


@dataclass
class _Cooling:
    until: float
    failures: int = 1


@dataclass
class _Written:
    """When a provider's row was last written, by `time.monotonic`."""

    failure: float = float("-inf")
    success: float = float("-inf")
    has_failed: bool = False  # since the success that was written last


_lock = threading.Lock()
_cooling: dict[tuple[str, str], _Cooling] = {}  # by provider and model; model "" for the provider as a whole
_failures: dict[str, tuple[datetime, str]] = {}  # still to be written
_successes: dict[str, datetime] = {}
_written: dict[str, _Written] = {}


def forget() -> None:
    """As a new process begins."""
    with _lock:
        for known in (_cooling, _failures, _successes, _written):
            known.clear()


def is_cooling(provider_id: str, model: str) -> bool:
    """Whether it failed so lately, for this model or altogether, that others are asked first."""
    if not _cooling:
        return False
    now = time.monotonic()
    return any(found.until > now for key in ("", model) if (found := _cooling.get((provider_id, key))) is not None)


def failed(provider_id: str, sentence: str, *, model: str = "", wait: float | None = None) -> None:
    """Notes a failure. `model`: of this model alone, else of all. `wait`: the seconds that the provider asked for.

    Several at once, of turns that were under way together, count as one.
    """
    if not provider_id:
        return
    now = time.monotonic()
    with _lock:
        _failures[provider_id] = (timezone.now(), sentence[:MAX_FAILURE_CHARACTERS])
        _of(provider_id).has_failed = True
        if len(_cooling) >= _MOST_COOLING:
            _cooling.clear()
        known = _cooling.setdefault((provider_id, model), _Cooling(until=now, failures=0))
        if known.until <= now:
            known.failures += 1
            seconds = FIRST_SECONDS * 2.0 ** (min(known.failures, 10) - 1)
            known.until = now + min(max(seconds, wait or 0.0), MOST_SECONDS)


def succeeded(provider_id: str, model: str) -> None:
    """Notes an answer that came."""
    if not provider_id:
        return
    if _cooling:
        with _lock:
            _cooling.pop((provider_id, ""), None)
            _cooling.pop((provider_id, model), None)
    written = _of(provider_id)
    seconds = FAILURES_EVERY_SECONDS if written.has_failed else SUCCESSES_EVERY_SECONDS
    if time.monotonic() - written.success >= seconds:
        with _lock:
            _successes[provider_id] = timezone.now()


def note(provider_id: str, model: str, failure: TurnFailed, api_key: str) -> None:
    """Notes a model turn's failure, in words for the operator that hold no credential."""
    status = f" (HTTP {failure.status})" if failure.status else ""
    detail = without_secrets(failure.detail, api_key)
    sentence = f"{failure.message}{status} Asked for {model}. {detail}".strip()
    failed(provider_id, sentence, model=model if failure.lacks_model else "", wait=failure.retry_after)


def is_due() -> bool:
    """Whether something noted may be written now."""
    if not _failures and not _successes:
        return False
    now = time.monotonic()
    return bool(_successes) or any(now - _of(id).failure >= FAILURES_EVERY_SECONDS for id in list(_failures))


def write() -> None:
    """Writes what is noted and due: one statement a provider. Not for a moment at which somebody waits."""
    now = time.monotonic()
    with _lock:
        told = [id for id in _failures if now - _of(id).failure >= FAILURES_EVERY_SECONDS]
        failures = {id: _failures.pop(id) for id in told}
        successes = dict(_successes)
        _successes.clear()
        for id in failures:
            _of(id).failure = now
        for id in successes:
            newest = failures.get(id) or _failures.get(id)
            _of(id).success, _of(id).has_failed = now, newest is not None and newest[0] > successes[id]
    for id in failures.keys() | successes.keys():
        changes: dict[str, object] = {}
        if id in failures:
            changes["failed_at"], changes["failure"] = failures[id]
        if id in successes:
            changes["succeeded_at"] = successes[id]
        with scope.everything():  # a shared one is of no tenant
            Provider.objects.filter(pk=id).update(**changes)


def _of(provider_id: str) -> _Written:
    return _written.setdefault(provider_id, _Written())
