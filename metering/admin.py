"""Prices, budgets, usage and the ledger in the admin."""

from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.admin import display
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html

from assistant_site.staff import filters, shown
from assistant_site.staff.pages import Kept, Page, names
from audit.admin_log import Audited
from metering.budgets import began_on
from metering.models import Balance, Budget, LedgerEntry, Period, Price, Unit, UsageDay

NEARLY = 0.8  # of a budget


def amount(value: Any, unit: str, currency: str = "") -> str:
    return f"{shown.short(float(value))} tokens" if unit == Unit.TOKENS else f"{float(value):,.2f} {currency}".strip()


def size_of(budget: Budget) -> str:
    """How much it is in which time: 18.4 M tokens a month."""
    told = amount(budget.amount, budget.unit, budget.tenant.currency)
    return f"{told} {'for good' if budget.period == Period.TOTAL else f'a {budget.period}'}"


def whose(budget: Budget) -> str:
    """Whom it is for, within its tenant."""
    if budget.end_user:
        return "each end user" if budget.end_user == "*" else f"end user {budget.end_user}"
    return f"token {budget.token.name}" if budget.token else "all tokens"


def meter(share: float, text: str) -> str:
    """A bar that is full at 1."""
    tone = "hf-bad" if share >= 1 else "hf-wary" if share >= NEARLY else "hf-good"
    return format_html(
        '<div class="hf-meter {}" title="{}"><i style="width:{}%"></i></div><span class="hf-small">{}</span>',
        tone,
        f"{share:.1%}",
        f"{min(share, 1) * 100:.1f}",
        text,
    )


@admin.register(Price)
class PriceAdmin(Audited, Page):
    list_display = ["model", "of_tenant", "currency", "prompt_", "cached_", "completion_", "valid_from"]
    list_filter = [filters.OfTenant]
    list_select_related = ["tenant"]
    search_fields = ["model"]
    autocomplete_fields = ["tenant"]
    ordering = ["model", "-valid_from"]
    fields = [("model", "tenant"), ("currency", "valid_from"), ("prompt", "cached_prompt", "completion")]

    @display(description="prompt / M")
    def prompt_(self, price: Price) -> str:
        return shown.money(price.prompt)

    @display(description="cached / M")
    def cached_(self, price: Price) -> str:
        return shown.NOTHING if price.cached_prompt is None else shown.money(price.cached_prompt)

    @display(description="completion / M")
    def completion_(self, price: Price) -> str:
        return shown.money(price.completion)


class BudgetForm(forms.ModelForm[Budget]):
    class Meta:
        model = Budget
        fields = ["tenant", "token", "end_user", "unit", "period", "amount", "is_operators"]

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        # `clean` judges it: Django would read through a manager that wants a tenant.
        self.instance.validate_constraints = lambda exclude=None: None  # type: ignore[method-assign]

    def clean(self) -> dict[str, Any]:
        checked = super().clean() or {}
        token = checked.get("token")
        if token is not None and token.tenant_id != getattr(checked.get("tenant"), "pk", None):
            self.add_error("token", "This token is another tenant's.")
        same = {name: checked.get(name) for name in ("tenant", "token", "end_user", "unit", "period")}
        if Budget.objects.across_tenants().filter(**same).exclude(pk=self.instance.pk).exists():
            self.add_error(None, "There is a budget of this kind already.")
        return checked


@admin.register(Budget)
class BudgetAdmin(Audited, Page):
    form = BudgetForm
    list_display = ["of_tenant", "of_whom", "amount_", "period", "spent"]
    list_display_links = ["amount_"]
    list_filter = [filters.OfTenant, filters.by("unit"), filters.by("period")]
    list_select_related = ["tenant", "token"]
    search_help_text = "A tenant's name or id."
    autocomplete_fields = ["tenant", "token"]
    fields = ["tenant", ("token", "end_user"), ("amount", "unit"), "period", "is_operators", "spent"]
    readonly_fields = ["spent"]

    def get_search_fields(self, request: HttpRequest) -> list[str]:
        return ["end_user"]

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        """The page's balances in one query."""
        page = super().get_changelist_instance(request)
        page.result_list = with_balances(list(page.result_list))
        return page

    @display(description="for")
    def of_whom(self, budget: Budget) -> str:
        return whose(budget)

    @display(description="amount")
    def amount_(self, budget: Budget) -> str:
        return amount(budget.amount, budget.unit, budget.tenant.currency)

    @display(description="spent in this period")
    def spent(self, budget: Budget) -> str:
        if budget._state.adding:
            return shown.NOTHING
        [known] = [budget] if hasattr(budget, "highest") else with_balances([budget])
        return spent_of(known)


def with_balances(budgets: list[Budget]) -> list[Budget]:
    """The budgets with their highest balance of the present period as `highest`, if any; one query."""
    now = timezone.now()
    periods = {began_on(period, now) for period in Period.values}
    rows = Balance.objects.across_tenants().filter(budget__in=budgets, began_on__in=periods)
    highest: dict[int, Balance] = {}
    due = {budget.pk: began_on(budget.period, now) for budget in budgets}
    for row in rows:
        best = highest.get(row.budget_id)
        if row.began_on == due[row.budget_id] and (best is None or row.spent > best.spent):
            highest[row.budget_id] = row
    for budget in budgets:
        budget.highest = highest.get(budget.pk)  # type: ignore[attr-defined]
    return budgets


def spent_of(budget: Any) -> str:
    """A bar of what one of `with_balances` has spent."""
    row = budget.highest
    spent, reserved = (float(row.spent), float(row.reserved)) if row else (0.0, 0.0)
    share = spent / float(budget.amount) if budget.amount else 1.0
    told = f"{share:.0%}: {amount(spent, budget.unit, budget.tenant.currency)} of {size_of(budget)}"
    if reserved:
        told += f", {amount(reserved, budget.unit, budget.tenant.currency)} reserved"
    if row and row.end_user:
        told += f" (highest: {row.end_user})"
    return meter(share, told)


@admin.register(UsageDay)
class UsageDayAdmin(Kept):
    list_display = [
        *("day", "of_tenant", "model", "kind", "token", "of_user", "requests", "runs", "tokens", "cost_"),
    ]
    list_filter = [filters.OfTenant, filters.by("kind")]
    list_select_related = ["tenant"]
    search_help_text = "Id of a tenant, token or assistant; or a tenant's name."
    ids = {"token_": "token_id", "asst_": "assistant_id"}
    is_large = True
    ordering = ["-day", "-pk"]
    fields = readonly_fields = names(UsageDay)

    @display(description="token")
    def token(self, row: UsageDay) -> str:
        return shown.id_link("tenants.apitoken", row.token_id)

    @display(description="end user")
    def of_user(self, row: UsageDay) -> str:
        return row.end_user or shown.NOTHING

    @display(description="tokens in / out")
    def tokens(self, row: UsageDay) -> str:
        return f"{row.prompt_tokens:,} / {row.completion_tokens:,}"

    @display(description="cost")
    def cost_(self, row: UsageDay) -> str:
        return f"{row.cost:,.4f} {row.currency}"


@admin.register(LedgerEntry)
class LedgerEntryAdmin(Kept):
    list_display = ["key_", "of_tenant", "kind", "state_", "model", "tokens", "cost_", "took", "created"]
    list_filter = [filters.OfTenant]
    list_select_related = ["tenant"]
    search_help_text = "Id of a run or tenant, or a tenant's name."
    ids = {"run_": "run_id"}
    is_large = True
    fields = readonly_fields = names(LedgerEntry)

    def get_queryset(self, request: HttpRequest) -> QuerySet[LedgerEntry]:
        """One tenant's in the order of the index that it has."""
        rows: QuerySet[LedgerEntry] = super().get_queryset(request)
        return rows.order_by("-settled_at", "-pk") if "tenant__id__exact" in request.GET else rows

    @display(description="of")
    def key_(self, entry: LedgerEntry) -> str:
        return shown.id_link("runs.run", entry.run_id) if entry.run_id else shown.code(entry.key)

    @display(description="state")
    def state_(self, entry: LedgerEntry) -> str:
        return shown.status(entry.state)

    @display(description="tokens in / out")
    def tokens(self, entry: LedgerEntry) -> str:
        return f"{entry.prompt_tokens:,} / {entry.completion_tokens:,}"

    @display(description="cost")
    def cost_(self, entry: LedgerEntry) -> str:
        return f"{shown.money(entry.cost)} {entry.currency}"

    @display(description="took")
    def took(self, entry: LedgerEntry) -> str:
        ended = entry.settled_at
        return shown.span((ended - entry.created_at).total_seconds()) if ended else shown.NOTHING

    @display(description="began")
    def created(self, entry: LedgerEntry) -> str:
        return shown.moment(entry.created_at)
