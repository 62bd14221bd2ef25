"""`/budgets`, `/prices` and `/usage`."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from django.db.models import Model
from django.http import HttpResponse
from django.http.response import HttpResponseBase
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from assistant_site.wire import grammar
from assistant_site.wire.errors import InvalidRequest, NotFound, PermissionDenied
from assistant_site.wire.grammar import Fault
from assistant_site.wire.lists import PageQuery, one_of, page, single
from assistant_site.wire.pages import DeletedSerializer, list_of, page_parameters
from assistant_site.wire.rest import WireView
from metering import actions, budgets, usage
from metering.models import Balance, Budget, Price
from metering.serializers import (
    BudgetObjectSerializer,
    CreateBudgetRequestSerializer,
    CreatePriceRequestSerializer,
    ModifyBudgetRequestSerializer,
    PriceObjectSerializer,
    UsageListSerializer,
    day_of,
    plain,
)
from metering.usage import DIMENSIONS, Dimension, Total
from tenants.models import Tenant, TenantQuerySet

_TENANT = OpenApiParameter("tenant", str, description="For the operator: of this tenant only.")
_BUDGET_OF = OpenApiParameter("end_user", str, description="Whose balance, of a budget of each end user.")


def tenant_named(id: str) -> Tenant:
    tenant = Tenant.objects.filter(pk=id).first() if "\x00" not in id else None
    if tenant is None:
        raise NotFound.of("tenant", id)
    return tenant


def number_of(id: str, noun: str) -> int:
    """The row's number in an id such as `budget_12`; the documented 404 for anything else."""
    word, _, number = id.rpartition("_")
    if word != noun or not (number.isascii() and number.isdecimal()) or len(number) > 18:
        raise NotFound.of(noun, id)
    return int(number)


def wire_id(row: Model) -> str:
    return f"{row._meta.model_name}_{row.pk}"


def page_of(request: Request, noun: str) -> PageQuery:
    query = PageQuery.of(request.query_params)
    after, before = (str(number_of(id, noun)) if id else None for id in (query.after, query.before))
    return replace(query, after=after, before=before)


# --- Budgets ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PresentBalance:
    spent: Decimal
    reserved: Decimal
    left: Decimal
    began_on: date
    resets_at: datetime | None


def balance_of(budget: Budget, end_user: str) -> PresentBalance | None:
    """As it stands now; where nothing has begun it in this period, as the ledger says."""
    if budget.end_user == budgets.EACH and not end_user:
        return None
    now = timezone.now()
    place = budgets.place_of(budget, end_user, now)
    row = Balance.objects.across_tenants().filter(budgets.at_places([place])).first()
    spent = row.spent if row else budgets.used(budget, end_user, now)
    reserved = row.reserved if row else Decimal(0)
    left = max(Decimal(0), budget.amount - spent - reserved)
    return PresentBalance(spent, reserved, left, place[1], budgets.resets_at(budget.period, now))


def budget_object(budget: Budget, end_user: str = "") -> dict[str, Any]:
    shown: Any = budget
    shown.wire_id, shown.balance = wire_id(budget), balance_of(budget, end_user)
    shown.kept_by = "operator" if budget.is_operators else "tenant"
    return BudgetObjectSerializer.of(shown)


class BudgetView(WireView):
    resource = "budgets"
    audience = "both"

    def rows(self) -> TenantQuerySet[Budget]:
        """Those that whoever asks may see."""
        rows: TenantQuerySet[Budget] = Budget.objects.across_tenants()
        return rows if self.tenant is None else rows.filter(tenant=self.tenant)

    def budget(self, budget_id: str) -> Budget:
        found: Budget | None = self.rows().filter(pk=number_of(budget_id, "budget")).first()
        if found is None:
            raise NotFound.of("budget", budget_id)
        return found

    def own_budget(self, budget_id: str) -> Budget:
        """The budget, if whoever asks may change it: what the operator allows a tenant is not the tenant's to raise."""
        found = self.budget(budget_id)
        if self.tenant is not None and found.is_operators:
            raise PermissionDenied(
                "This budget is kept by the operator of this server. Only the operator may change it."
            )
        return found

    def tenant_of(self, named: str | None) -> Tenant:
        """The tenant that is meant: the operator must name one, others have only their own."""
        if self.tenant is None:
            if named is None:
                raise InvalidRequest("Missing required parameter: 'tenant'.", param="tenant")
            return tenant_named(named)
        if named not in (None, self.tenant.pk):
            raise NotFound.of("tenant", str(named))
        own: Tenant = self.tenant
        return own


class BudgetListView(BudgetView):
    operation_ids = {"GET": "listBudgets", "POST": "createBudget"}

    @extend_schema(parameters=page_parameters(_TENANT), responses=list_of(BudgetObjectSerializer))
    def get(self, request: Request) -> Response:
        rows = self.rows()
        if (named := single(request.query_params, "tenant")) is not None:
            rows = rows.filter(tenant=self.tenant_of(named))
        return Response(page(rows, page_of(request, "budget"), budget_object))

    @extend_schema(request=CreateBudgetRequestSerializer, responses=BudgetObjectSerializer)
    def post(self, request: Request) -> Response:
        fields = self.parse(CreateBudgetRequestSerializer)
        budget = actions.create_budget(
            tenant=self.tenant_of(fields["tenant"]), fields=fields, by_operator=self.tenant is None
        )
        return Response(budget_object(budget))


class BudgetDetailView(BudgetView):
    operation_ids = {"GET": "getBudget", "POST": "modifyBudget", "DELETE": "deleteBudget"}

    @extend_schema(parameters=[_BUDGET_OF], responses=BudgetObjectSerializer)
    def get(self, request: Request, budget_id: str) -> Response:
        end_user = single(request.query_params, "end_user") or ""
        return Response(budget_object(self.budget(budget_id), end_user))

    @extend_schema(request=ModifyBudgetRequestSerializer, responses=BudgetObjectSerializer)
    def post(self, request: Request, budget_id: str) -> Response:
        budget = self.own_budget(budget_id)
        fields = self.parse(ModifyBudgetRequestSerializer)
        return Response(budget_object(actions.modify_budget(budget, fields["amount"], by_operator=self.tenant is None)))

    @extend_schema(request=None, responses=DeletedSerializer)
    def delete(self, request: Request, budget_id: str) -> Response:
        actions.delete_budget(self.own_budget(budget_id))
        return Response({"id": budget_id, "object": "budget.deleted", "deleted": True})


# --- Prices ----------------------------------------------------------------------------------------------------------


def price_object(price: Price) -> dict[str, Any]:
    shown: Any = price
    shown.wire_id = wire_id(price)
    return PriceObjectSerializer.of(shown)


class PriceListView(WireView):
    audience = "operator"
    operation_ids = {"GET": "listPrices", "POST": "createPrice"}

    @extend_schema(parameters=page_parameters(_TENANT), responses=list_of(PriceObjectSerializer))
    def get(self, request: Request) -> Response:
        rows = Price.objects.all()
        if (named := single(request.query_params, "tenant")) is not None:
            rows = rows.filter(tenant=tenant_named(named))
        return Response(page(rows, page_of(request, "price"), price_object))

    @extend_schema(
        request=CreatePriceRequestSerializer,
        responses=PriceObjectSerializer,
        description="Sets the price of a model from a day on; one of the same day is changed.",
    )
    def post(self, request: Request) -> Response:
        fields = self.parse(CreatePriceRequestSerializer)
        fields["tenant"] = tenant_named(fields["tenant"]) if fields["tenant"] is not None else None
        fields["valid_from"] = actions.first_day(fields["valid_from"])
        return Response(price_object(actions.set_price(fields)[0]))


class PriceDetailView(WireView):
    audience = "operator"
    operation_ids = {"DELETE": "deletePrice"}

    @extend_schema(request=None, responses=DeletedSerializer)
    def delete(self, request: Request, price_id: str) -> Response:
        price = Price.objects.filter(pk=number_of(price_id, "price")).first()
        if price is None:
            raise NotFound.of("price", price_id)
        actions.delete_price(price)
        return Response({"id": price_id, "object": "price.deleted", "deleted": True})


# --- Usage -----------------------------------------------------------------------------------------------------------

_SUMS = (
    "requests",
    "runs",
    "prompt_tokens",
    "cached_tokens",
    "completion_tokens",
    "tool_calls",
    "code_seconds",
)


def usage_object(total: Total, group_by: Sequence[Dimension]) -> dict[str, Any]:
    shown: dict[str, Any] = {"object": "usage"}
    shown |= {name: getattr(total, name) for name in group_by}
    if total.day is not None:
        shown["day"] = total.day.isoformat()
    shown |= {name: getattr(total, name) for name in _SUMS}
    return {**shown, "cost": plain(total.cost), "currency": total.currency}


def as_csv(totals: Sequence[Total], group_by: Sequence[Dimension]) -> str:
    """A line for each group, under the names of the columns.

    A text that a spreadsheet would take for a formula has an apostrophe in front: end users' names come from outside.
    """
    written = io.StringIO()
    writer = csv.writer(written)
    names = [*group_by, *_SUMS, "cost", "currency"]
    writer.writerow(names)
    for total in totals:
        shown = usage_object(total, group_by)
        writer.writerow([_cell(shown[name]) for name in names])
    return written.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")):
        return f"'{value}"
    return value


class UsageView(WireView):
    resource = "usage"
    audience = "both"
    operation_ids = {"GET": "getUsage"}

    @extend_schema(
        description="What was used, day by day as in the ledger, to the token: also what was settled this moment.",
        parameters=[
            OpenApiParameter("start", OpenApiTypes.DATE, description="The first day (UTC); else this month's first."),
            OpenApiParameter("end", OpenApiTypes.DATE, description="The last day (UTC), included; else today."),
            OpenApiParameter("group_by", str, description=f"Comma separated: {', '.join(DIMENSIONS)}."),
            OpenApiParameter("format", str, enum=["json", "csv"], description="Or by the header Accept: text/csv."),
            _TENANT,
            OpenApiParameter("token", str, description="Of this API token only, by its id."),
            OpenApiParameter("end_user", str, description="Of this end user only."),
        ],
        responses={(200, "application/json"): UsageListSerializer, (200, "text/csv"): OpenApiTypes.STR},
    )
    def get(self, request: Request) -> HttpResponseBase:
        query = request.query_params
        start = self.day("start") or usage.today().replace(day=1)
        end = self.day("end") or usage.today()
        group_by = self.group_by()
        named = single(query, "tenant")
        if self.tenant is not None:
            if named not in (None, self.tenant.pk):
                raise NotFound.of("tenant", str(named))
            named = self.tenant.pk
        elif named is not None:
            named = tenant_named(named).pk
        totals = usage.totals(
            start=start,
            end=end,
            group_by=group_by,
            tenant_id=named,
            token_id=single(query, "token"),
            end_user=single(query, "end_user"),
        )
        wanted = one_of(query, "format", "json", "csv")
        if wanted == "csv" or (wanted is None and "text/csv" in request.headers.get("Accept", "")):
            answer = HttpResponse(as_csv(totals, group_by), content_type="text/csv; charset=utf-8")
            answer.headers["Content-Disposition"] = f'attachment; filename="usage-{start}-{end}.csv"'
            return answer
        data = [usage_object(total, group_by) for total in totals]
        return Response({"object": "list", "start": start.isoformat(), "end": end.isoformat(), "data": data})

    def day(self, name: str) -> date | None:
        given = single(self.request.query_params, name)
        try:
            return None if given is None else day_of(given)
        except Fault as fault:
            raise fault.under(name) from None

    def group_by(self) -> list[Dimension]:
        """In the order given, each once; nothing: one sum."""
        given = single(self.request.query_params, "group_by") or ""
        names = list(dict.fromkeys(filter(None, (name.strip() for name in given.split(",")))))
        for name in names:
            if name not in DIMENSIONS:
                raise grammar.not_supported(name, DIMENSIONS).under("group_by")
        return [dimension for name in names for dimension in DIMENSIONS if dimension == name]
