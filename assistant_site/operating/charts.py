"""Bars of a chart, as the templates draw them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

from assistant_site.staff import shown
from metering.usage import Total


@dataclass(frozen=True)
class Bar:
    """One day: heights in per cent of the highest."""

    label: str
    title: str
    lower: float
    upper: float
    is_marked: bool = False


@dataclass(frozen=True)
class Chart:
    bars: list[Bar]
    highest: str
    total: str

    @property
    def is_empty(self) -> bool:
        return not any(bar.lower or bar.upper for bar in self.bars)


def days(first: date, last: date) -> list[date]:
    return [first + timedelta(days=number) for number in range((last - first).days + 1)]


def tokens_by_day(totals: Sequence[Total], first: date, last: date) -> Chart:
    """Prompt tokens with completion tokens on top."""
    prompt: dict[date, int] = {}
    completion: dict[date, int] = {}
    for total in totals:
        assert total.day is not None
        prompt[total.day] = prompt.get(total.day, 0) + total.prompt_tokens
        completion[total.day] = completion.get(total.day, 0) + total.completion_tokens
    highest = max((prompt.get(day, 0) + completion.get(day, 0) for day in days(first, last)), default=0) or 1
    bars = [
        Bar(
            label=f"{day:%-d %b}",
            title=f"{day:%a %-d %B}: {prompt.get(day, 0):,} in, {completion.get(day, 0):,} out",
            lower=100 * prompt.get(day, 0) / highest,
            upper=100 * completion.get(day, 0) / highest,
            is_marked=day.weekday() == 0,
        )
        for day in days(first, last)
    ]
    return Chart(bars, shown.short(highest), shown.short(sum(prompt.values()) + sum(completion.values())))


def cost_by_day(totals: Sequence[Total], first: date, last: date) -> list[tuple[str, Chart]]:
    """For each currency its own chart."""
    currencies = sorted({total.currency for total in totals if total.cost})
    return [(currency, _cost(totals, currency, first, last)) for currency in currencies]


def _cost(totals: Sequence[Total], currency: str, first: date, last: date) -> Chart:
    cost: dict[date, Decimal] = {}
    for total in totals:
        assert total.day is not None
        if total.currency == currency:
            cost[total.day] = cost.get(total.day, Decimal(0)) + total.cost
    highest = max(cost.values(), default=Decimal(0)) or Decimal(1)
    bars = [
        Bar(
            label=f"{day:%-d %b}",
            title=f"{day:%a %-d %B}: {cost.get(day, Decimal(0)):,.2f} {currency}",
            lower=float(100 * cost.get(day, Decimal(0)) / highest),
            upper=0,
            is_marked=day.weekday() == 0,
        )
        for day in days(first, last)
    ]
    return Chart(bars, f"{highest:,.2f}", f"{sum(cost.values()):,.2f} {currency}")
