"""How the admin's own templates show values."""

from typing import Any

from django import template

from assistant_site.staff import shown

register = template.Library()

register.filter("status_badge", shown.status)
register.filter("moment", shown.moment)
register.filter("ago", shown.ago)
register.filter("money", shown.money)
register.simple_tag(shown.list_of, name="list_address")


@register.filter
def short(value: Any) -> str:
    return shown.short(float(value or 0))


@register.simple_tag
def page_link(model: str, pk: Any, text: Any = None) -> str:
    """A link to a row's page; without a text, its id."""
    return shown.id_link(model, pk) if text is None else shown.link(model, pk, text)


# --- A list's pages ---------------------------------------------------------------------------------------------------


@register.simple_tag
def older_than(cl: Any) -> str:
    """The query of the list's next page by id; empty on the last one."""
    rows = list(cl.result_list)
    if len(rows) < cl.list_per_page:
        return ""
    return str(cl.get_query_string({"pk__lt": str(rows[-1].pk)}, remove=["p", "pk__lt"]))


@register.simple_tag
def newest(cl: Any) -> str:
    """The query of the list's first page; empty if this is it."""
    return str(cl.get_query_string({}, remove=["p", "pk__lt"])) if "pk__lt" in cl.params else ""


@register.simple_tag
def count_of(cl: Any) -> str:
    """How many rows the list has: exact where it was counted."""
    count = cl.paginator.count
    return f"{count:,}" if cl.paginator.is_exact else f"about {shown.short(count)}"
