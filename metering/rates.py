"""Requests and tokens per minute: of a tenant, of one of its tokens, of an end user of it.

Each limit is a bucket in Valkey that holds a minute's worth and fills evenly, as OpenAI's do. A request takes one from
each bucket of requests that applies, or none if one is empty; model calls take their tokens when they have come to an
end, so a bucket of tokens may be overdrawn, and what costs tokens is refused until it has filled again. All that
applies is one round trip; where no limit is set there is none. Without Valkey nothing is refused.
"""

import logging
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

from rest_framework.request import Request

from assistant_site import valkey
from assistant_site.recent import Recent
from assistant_site.wire.errors import RateLimited
from assistant_site.wire.late import ASKED_AGAIN
from assistant_site.wire.rest import WireView
from tenants.models import ApiToken, EndUser, Tenant

logger = logging.getLogger(__name__)

Unit = Literal["requests", "tokens"]
MINUTE = 60.0
_WORDS = {"requests": "requests per min (RPM)", "tokens": "tokens per min (TPM)"}


@dataclass(frozen=True)
class Limit:
    """So many a minute. `of` is whose limit it is, in words of the answer."""

    unit: Unit
    most: int
    key: str
    of: str


@dataclass(frozen=True)
class Level:
    """What is left in a limit's bucket, which may be less than nothing."""

    limit: Limit
    left: float

    @property
    def remaining(self) -> int:
        return max(0, math.floor(self.left))

    def seconds_to(self, wanted: float) -> float:
        """Until so much is left."""
        return max(0.0, wanted - self.left) * MINUTE / self.limit.most


# KEYS: the buckets. ARGV: for each its limit, what must be left in it, and what is taken if that is left in all.
# A bucket is not kept longer than it takes to be full.
_SCRIPT = """
local clock = redis.call('TIME')
local now = clock[1] + clock[2] / 1000000
local levels, fits = {}, 1
for i, key in ipairs(KEYS) do
    local most, needed = tonumber(ARGV[3 * i - 2]), tonumber(ARGV[3 * i - 1])
    local bucket = redis.call('HMGET', key, 'left', 'at')
    local left = most
    if bucket[1] then
        left = math.min(most, tonumber(bucket[1]) + math.max(0, now - tonumber(bucket[2])) * most / 60)
    end
    levels[i] = left
    if left < needed then fits = 0 end
end
for i, key in ipairs(KEYS) do
    local most, cost = tonumber(ARGV[3 * i - 2]), tonumber(ARGV[3 * i])
    if fits == 1 and cost > 0 then
        levels[i] = levels[i] - cost
        redis.call('HSET', key, 'left', string.format('%.6f', levels[i]), 'at', string.format('%.6f', now))
        redis.call('PEXPIRE', key, math.ceil((most - levels[i]) * 60000 / most) + 1000)
    end
    levels[i] = string.format('%.6f', levels[i])
end
return {fits, unpack(levels)}
"""
_ANY = -1e15  # needed of a bucket that is only looked at, or may be overdrawn


@lru_cache(maxsize=1)
def _script() -> Any:
    return valkey.blocking().register_script(_SCRIPT)


@dataclass(frozen=True)
class Asked:
    """What is to be left in a limit's bucket, and what is taken from it then."""

    limit: Limit
    needed: float = _ANY
    cost: int = 0


def _ask(asked: Sequence[Asked]) -> tuple[bool, list[Level]]:
    """Whether all was there, and so was taken; the levels now. Raises what Valkey's client raises."""
    arguments = [value for each in asked for value in (each.limit.most, each.needed, each.cost)]
    fits, *left = _script()(keys=[each.limit.key for each in asked], args=arguments)
    return bool(fits), [Level(each.limit, float(text)) for each, text in zip(asked, left, strict=True)]


def _limits(tenant_id: str, of: str, key: str, requests: int | None, tokens: int | None) -> list[Limit]:
    amounts: list[tuple[Unit, int | None]] = [("requests", requests), ("tokens", tokens)]
    return [
        Limit(unit, most, f"holdfast:rate:{{{tenant_id}}}:{unit}:{key}", of)
        for unit, most in amounts
        if most is not None
    ]


def of_tenant(tenant: Tenant) -> list[Limit]:
    words = f"organization {tenant.pk}"
    return _limits(tenant.pk, words, "", tenant.requests_per_minute, tenant.tokens_per_minute)


def of_token(token: ApiToken) -> list[Limit]:
    words = f"API key {token.hint} in organization {token.tenant_id}"
    return _limits(token.tenant_id, words, token.pk, token.requests_per_minute, token.tokens_per_minute)


def of_end_user(user: EndUser) -> list[Limit]:
    words = f"user {user.name} in organization {user.tenant_id}"
    return _limits(user.tenant_id, words, f"user:{user.name}", user.requests_per_minute, user.tokens_per_minute)


# --- Requests --------------------------------------------------------------------------------------------------------


def admit(limits: Iterable[Limit], *, costs_tokens: bool, is_again: bool = False) -> dict[str, str]:
    """Counts a request against these limits; returns the headers that tell of them. `RateLimited` if one is reached.

    `costs_tokens`: it leads to a model call, and is refused while there are no tokens left. `is_again`: it was counted
    before, and waits.
    """
    asked = [_for_request(limit, costs_tokens, is_again) for limit in limits]
    if not asked:
        return {}
    try:
        fits, levels = _ask(asked)
    except (valkey.Failed, OSError) as error:
        logger.warning("The limits per minute cannot be counted, nothing is refused: %s", error)
        return {}
    headers = headers_of(levels)
    if not fits:
        missing = [level for each, level in zip(asked, levels, strict=True) if level.left < each.needed]
        raise refusal(max(missing, key=lambda level: level.seconds_to(1)), headers)
    return headers


def admit_request(view: WireView, request: Request) -> dict[str, str]:
    """Counts an API request against the limits of its token and tenant. See `admit`."""
    token: Any = request.auth
    if token.tenant is None:  # the operator's
        return {}
    scope = getattr(request._request, "scope", {})
    return admit(
        [*of_tenant(token.tenant), *of_token(token)],
        costs_tokens=request.method in view.costs_tokens,
        is_again=ASKED_AGAIN in scope,
    )


def admit_end_user(user: EndUser, costs_tokens: bool) -> None:
    """Counts what is made for an end user against its limits; `RateLimited` if one is reached."""
    admit(of_end_user(user), costs_tokens=costs_tokens)


def _for_request(limit: Limit, costs_tokens: bool, is_again: bool) -> Asked:
    if limit.unit == "requests":
        return Asked(limit) if is_again else Asked(limit, needed=1, cost=1)
    return Asked(limit, needed=1) if costs_tokens and not is_again else Asked(limit)


def refusal(level: Level, headers: dict[str, str]) -> RateLimited:
    """In OpenAI's words."""
    limit = level.limit
    seconds = level.seconds_to(1)
    used = limit.most - level.remaining
    return RateLimited(
        f"Rate limit reached for {limit.of} on {_WORDS[limit.unit]}: Limit {limit.most}, Used {used}, Requested 1. "
        f"Please try again in {duration(seconds)}.",
        limit.unit,
        seconds=seconds,
        headers=headers,
    )


def headers_of(levels: Iterable[Level]) -> dict[str, str]:
    """`x-ratelimit-*`, each of the limit of which the least is left."""
    least: dict[Unit, Level] = {}
    for level in levels:
        unit = level.limit.unit
        if unit not in least or level.left < least[unit].left:
            least[unit] = level
    headers = {}
    for unit, level in least.items():
        headers[f"x-ratelimit-limit-{unit}"] = str(level.limit.most)
        headers[f"x-ratelimit-remaining-{unit}"] = str(level.remaining)
        headers[f"x-ratelimit-reset-{unit}"] = duration(level.seconds_to(level.limit.most))
    return headers


def duration(seconds: float) -> str:
    """As OpenAI writes it: `20ms`, `1s`, `16.227s`, `6m0s`; rounded up, so that who waits so long waits long enough."""
    milliseconds = math.ceil(round(1_000 * seconds, 3))
    if milliseconds < 1_000:
        return f"{milliseconds}ms"
    minutes, rest = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    text = f"{rest / 1_000:.3f}".rstrip("0").rstrip(".") + "s"
    if hours:
        return f"{hours}h{minutes}m{text}"
    return f"{minutes}m{text}" if minutes else text


def levels_of(limits: Iterable[Limit]) -> list[Level]:
    """What is left now; nothing is taken. Raises what Valkey's client raises."""
    asked = [Asked(limit) for limit in limits]
    return _ask(asked)[1] if asked else []


# --- Tokens ----------------------------------------------------------------------------------------------------------

_known: Recent[tuple[str, str, str], list[Limit]] = Recent(5.0)  # of tokens, that a worker goes by


def count_tokens(tenant_id: str, token_id: str, end_user: str, tokens: int) -> None:
    """Takes what a model call has cost from the minutes of whom it was for (`token_id`, `end_user`: or "").

    Raises only what the database raises. Limits are read every few seconds; where none is set, that is all.
    """
    limits = _token_limits(tenant_id, token_id, end_user)
    if not limits or tokens <= 0:
        return
    try:
        _ask([Asked(limit, cost=tokens) for limit in limits])
    except (valkey.Failed, OSError) as error:
        logger.warning("%s tokens of %s were not counted against its minute: %s", tokens, tenant_id, error)


def _token_limits(tenant_id: str, token_id: str, end_user: str) -> list[Limit]:
    who = (tenant_id, token_id, end_user)
    known = _known.get(who)
    if known is not None:
        return known
    found = [limit for tenant in Tenant.objects.filter(pk=tenant_id) for limit in of_tenant(tenant)]
    if token_id:
        found += [limit for token in ApiToken.objects.filter(pk=token_id) for limit in of_token(token)]
    if end_user:
        users = EndUser.objects.across_tenants().filter(tenant_id=tenant_id, name=end_user)
        found += [limit for user in users for limit in of_end_user(user)]
    return _known.put(who, [limit for limit in found if limit.unit == "tokens"])
