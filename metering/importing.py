"""Price lists from files: our columns as CSV or JSON, and LiteLLM's `model_prices_and_context_window.json`."""

import csv
import io
import json
from collections.abc import Iterator
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Any

from metering import actions
from metering.models import MONEY_PLACES
from tenants.models import Tenant

COLUMNS = ("model", "prompt", "completion", "cached_prompt", "currency", "valid_from", "tenant")
_REQUIRED = ("model", "prompt", "completion")
_MILLION = Decimal(1_000_000)
# What LiteLLM's list has of other things than chat models and embeddings is priced by other units.
_LITELLM_MODES = ("chat", "completion", "responses", "embedding", "")


class BadPriceList(Exception):
    """The file cannot be read as a price list; the sentence says where."""


def read(text: str, *, is_json: bool, currency: str, valid_from: date) -> list[dict[str, Any]]:
    """The prices in the file, as `actions.set_price` takes them; all of them, or `BadPriceList`."""
    if not is_json:
        return _checked(_from_csv(text), currency, valid_from)
    try:
        listed = json.loads(text, parse_float=Decimal)
    except ValueError as error:
        raise BadPriceList(f"The file is no JSON: {error}.") from None
    if isinstance(listed, dict):
        listed = list(_from_litellm(listed))
    if not isinstance(listed, list):
        raise BadPriceList("The file holds neither a list of prices nor LiteLLM's object of models.")
    return _checked(enumerate(listed, start=1), currency, valid_from)


def _from_csv(text: str) -> Iterator[tuple[int, Any]]:
    reader = csv.DictReader(io.StringIO(text.removeprefix("\ufeff")))
    names = reader.fieldnames or []
    for missing in [name for name in _REQUIRED if name not in names]:
        raise BadPriceList(f"The first line names no column {missing}. The columns are {', '.join(COLUMNS)}.")
    return enumerate(reader, start=2)


def _from_litellm(listed: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Its prices are for one token."""
    for name, of in listed.items():
        if name == "sample_spec" or not isinstance(of, dict) or of.get("mode", "") not in _LITELLM_MODES:
            continue
        if of.get("input_cost_per_token") is None:
            continue
        cached = of.get("cache_read_input_token_cost")
        yield {
            "model": name,
            "prompt": _number(of["input_cost_per_token"]) * _MILLION,
            "completion": _number(of.get("output_cost_per_token") or 0) * _MILLION,
            "cached_prompt": None if cached is None else _number(cached) * _MILLION,
        }


def _number(value: Any) -> Decimal:
    try:
        return Decimal(str(value))
    except InvalidOperation:
        raise BadPriceList(f"{value!r} is no number.") from None


def _checked(rows: Any, currency: str, valid_from: date) -> list[dict[str, Any]]:
    tenants: dict[str, Tenant] = {}
    checked = []
    for place, row in rows:
        try:
            checked.append(_price(row, currency, valid_from, tenants))
        except BadPriceList as bad:
            raise BadPriceList(f"Entry {place}: {bad}") from None
    return checked


def _price(row: Any, currency: str, valid_from: date, tenants: dict[str, Tenant]) -> dict[str, Any]:
    if not isinstance(row, dict):
        raise BadPriceList("it is no object.")
    for unknown in [name for name in row if name not in COLUMNS]:
        raise BadPriceList(f"there is no column {unknown}. The columns are {', '.join(COLUMNS)}.")
    given = {name: value for name, value in row.items() if value not in (None, "")}
    for missing in [name for name in _REQUIRED if name not in given]:
        raise BadPriceList(f"it has no {missing}.")
    model = str(given["model"]).strip()
    if len(model) > 256:
        raise BadPriceList("the name of the model has more than 256 characters.")
    rates = {name: _amount(given, name) for name in ("prompt", "completion", "cached_prompt")}
    currency = str(given.get("currency", currency))
    if not (len(currency) == 3 and currency.isascii() and currency.isupper() and currency.isalpha()):
        raise BadPriceList(f"{currency} is no currency such as USD.")
    try:
        day = date.fromisoformat(str(given["valid_from"])) if "valid_from" in given else valid_from
    except ValueError:
        raise BadPriceList(f"{given['valid_from']} is no day such as 2026-01-31.") from None
    tenant = _tenant(str(given["tenant"]), tenants) if "tenant" in given else None
    return {**rates, "model": model, "currency": currency, "valid_from": day, "tenant": tenant}


def _amount(given: dict[str, Any], name: str) -> Decimal | None:
    if name not in given:
        return None
    amount = _number(given[name])
    if not amount.is_finite() or amount < 0 or amount >= Decimal(10) ** 15:
        raise BadPriceList(f"{given[name]} is no price.")
    return round(amount, MONEY_PLACES)


def _tenant(named: str, known: dict[str, Tenant]) -> Tenant:
    """By its id or its name."""
    if named not in known:
        found = Tenant.objects.filter(pk=named).first() or Tenant.objects.filter(name=named).first()
        if found is None:
            raise BadPriceList(f"there is no tenant {named}.")
        known[named] = found
    return known[named]


def store(prices: list[dict[str, Any]]) -> int:
    """Sets them; returns how many are new or were changed. Call it inside a transaction."""
    return sum(actions.set_price(price)[1] for price in prices)
