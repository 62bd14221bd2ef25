"""Writing of budgets and prices: each change is in the audit log, in the same transaction."""

from datetime import date
from decimal import Decimal
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone

from assistant_site.wire.errors import InvalidRequest, NotFound
from audit import log
from metering import budgets
from metering.models import Budget, Price
from tenants.models import ApiToken, Tenant


def create_budget(*, tenant: Tenant, fields: dict[str, Any], by_operator: bool) -> Budget:
    """A new budget with its present balance, which knows what was spent before it. One of each kind only."""
    token = None
    if fields["token"] is not None:
        token = ApiToken.objects.filter(tenant=tenant, pk=fields["token"]).first()
        if token is None:
            raise NotFound.of("token", fields["token"])
    given = {name: fields[name] for name in ("end_user", "unit", "period", "amount")}
    try:
        with transaction.atomic():
            budget: Budget = Budget.objects.create(tenant=tenant, token=token, is_operators=by_operator, **given)
            _record("created", budget, after=log.snapshot(budget))
    except IntegrityError:
        raise InvalidRequest("There is such a budget already. Modify its amount, or delete it first.") from None
    budgets.forget()
    if budget.end_user != budgets.EACH:
        budgets.open_balances(tenant.pk, [(budget, "")], timezone.now())
    return budget


def modify_budget(budget: Budget, amount: Decimal, *, by_operator: bool) -> Budget:
    """Another amount, from the next call on. What a budget counts is never changed: its balance would be wrong.

    Of whom the amount is, the operator or the tenant, keeps the budget from then on.
    """
    with transaction.atomic():
        held: Budget = Budget.objects.across_tenants().select_for_update(no_key=True).get(pk=budget.pk)
        before = log.snapshot(held)
        held.amount, held.is_operators = amount, by_operator
        held.save(update_fields=["amount", "is_operators"])
        _record("modified", held, before=before, after=log.snapshot(held))
    return held


def delete_budget(budget: Budget) -> None:
    """With its balances. Calls under way are settled without it."""
    with transaction.atomic():
        budgets.hold_alone(budget.tenant_id)
        _record("deleted", budget, before=log.snapshot(budget))
        budget.delete()
    budgets.forget()


def _record(what: str, budget: Budget, **states: Any) -> None:
    log.record(
        f"budget.{what}",
        tenant_id=budget.tenant_id,
        object_type="budget",
        object_id=str(budget.pk),
        object_name=str(budget),
        **states,
    )


def set_price(fields: dict[str, Any]) -> tuple[Price, bool]:
    """Makes the price, or changes the one of this tenant, model, currency and day; and whether anything was changed."""
    key = {name: fields[name] for name in ("tenant", "model", "currency", "valid_from")}
    rates = {name: fields[name] for name in ("prompt", "cached_prompt", "completion")}
    with transaction.atomic():
        price = Price.objects.select_for_update(of=("self",)).filter(**key).first()
        before = log.snapshot(price) if price else None
        if price is None:
            price = Price.objects.create(**key, **rates)
        elif any(getattr(price, name) != value for name, value in rates.items()):
            for name, value in rates.items():
                setattr(price, name, value)
            price.save()
        else:
            return price, False
        log.record(
            "price.modified" if before else "price.created",
            tenant_id=price.tenant_id or "",
            object_type="price",
            object_id=str(price.pk),
            object_name=str(price),
            before=before,
            after=log.snapshot(price),
        )
    return price, True


def delete_price(price: Price) -> None:
    with transaction.atomic():
        log.record(
            "price.deleted",
            tenant_id=price.tenant_id or "",
            object_type="price",
            object_id=str(price.pk),
            object_name=str(price),
            before=log.snapshot(price),
        )
        price.delete()


def first_day(given: date | None) -> date:
    """From which day a price is valid that names none."""
    return given or timezone.localdate()
