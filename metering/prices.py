"""What model calls cost: the price list of a tenant's currency, looked up by the model's name."""

import time
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_HALF_EVEN, Context, Decimal

from django.db import connection

from assistant_site.llm.chat import Usage
from assistant_site.recent import Recent
from metering.models import MONEY_PLACES
from metering.patterns import best
from metering.usage import today

DEFAULT_CURRENCY = "USD"  # of a tenant that is gone
_MILLION = Decimal(1_000_000)
_SMALLEST = Decimal(1).scaleb(-MONEY_PLACES)
_EXACT = Context(prec=60, rounding=ROUND_HALF_EVEN)


@dataclass(frozen=True)
class Rates:
    """For a million tokens, in `currency`. All zero for a model without a price."""

    currency: str
    prompt: Decimal = Decimal(0)
    cached_prompt: Decimal = Decimal(0)
    completion: Decimal = Decimal(0)

    def cost(self, usage: Usage) -> Decimal:
        """Rounded once, to `MONEY_PLACES` places, half to even."""
        cached = min(usage.cached_tokens, usage.prompt_tokens)
        millionths = (
            (usage.prompt_tokens - cached) * self.prompt
            + cached * self.cached_prompt
            + usage.completion_tokens * self.completion
        )
        return (millionths / _MILLION).quantize(_SMALLEST, context=_EXACT)


_kept: Recent[tuple[str, str], Rates] = Recent(1.0)


def forget() -> None:
    """Makes this process read every price anew."""
    _kept.clear()


def rates_of(tenant_id: str, model: str) -> Rates:
    """The present rates of a model, by its name at the provider; kept in this process for a second."""
    now = time.monotonic()
    return _kept.get((tenant_id, model)) or _kept.put((tenant_id, model), _read(tenant_id, model), now)


@dataclass(frozen=True)
class _Listed:
    """A price as it is in the list, for `best`."""

    tenant_id: str | None
    model: str
    valid_from: date
    rates: Rates


_LISTED = """
    SELECT tenant.currency, price.tenant_id, price.model, price.valid_from,
           price.prompt, coalesce(price.cached_prompt, price.prompt), price.completion
    FROM tenants_tenant AS tenant
    LEFT JOIN metering_price AS price
        ON (price.tenant_id = tenant.id OR price.tenant_id IS NULL) AND price.currency = tenant.currency
        AND (price.model = %s OR strpos(price.model, '*') > 0) AND price.valid_from <= %s
    WHERE tenant.id = %s
"""


def _read(tenant_id: str, model: str) -> Rates:
    """In one query, which also tells the currency of a tenant without prices."""
    with connection.cursor() as cursor:
        cursor.execute(_LISTED, [model, today(), tenant_id])
        rows = cursor.fetchall()
    currency = rows[0][0] if rows else DEFAULT_CURRENCY
    listed = [_Listed(row[1], row[2], row[3], Rates(currency, *row[4:])) for row in rows if row[2] is not None]
    price = best(listed, model, newest=lambda each: each.valid_from)
    return price.rates if price else Rates(currency)
