"""How values look on the pages: links, texts, JSON, sizes, moments."""

import json
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from django.urls import NoReverseMatch, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

LINK = "text-primary-600 dark:text-primary-500 hover:underline"
NOTHING = "–"


def page_of(model: str, pk: Any) -> str:
    """The address of a row's page, of a model such as `runs.run`; empty if it has none."""
    app, name = model.split(".")
    try:
        return reverse(f"admin:{app}_{name}_change", args=[pk])
    except NoReverseMatch:
        return ""


def list_of(model: str, **filters: Any) -> str:
    """The address of a model's list, with these filters."""
    app, name = model.split(".")
    address = reverse(f"admin:{app}_{name}_changelist")
    return f"{address}?{urlencode(filters)}" if filters else address


def link(model: str, pk: Any, text: Any = None) -> str:
    """A link to a row's page; only its text if there is no such page."""
    if not pk:
        return NOTHING
    address = page_of(model, pk)
    if not address:
        return str(text or pk)
    return format_html('<a class="{}" href="{}">{}</a>', LINK, address, pk if text is None else text)


def id_link(model: str, pk: Any) -> str:
    """A link whose text is an id: in letters of one width, on one line."""
    if not pk:
        return NOTHING
    address = page_of(model, pk)
    return format_html('<a class="{} hf-mono whitespace-nowrap" href="{}">{}</a>', LINK, address, pk)


def list_link(model: str, text: Any, **filters: Any) -> str:
    return format_html('<a class="{}" href="{}">{}</a>', LINK, list_of(model, **filters), text)


def money(value: Any) -> str:
    """An amount of money without the zeros at its end, but with cents."""
    whole, _, cents = f"{value:,f}".partition(".")
    return f"{whole}.{cents.rstrip('0'):0<2}"


def code(value: Any) -> str:
    """A short text in letters of one width."""
    return format_html('<span class="hf-mono">{}</span>', value) if value not in (None, "") else NOTHING


def text(value: Any) -> str:
    """A long text, with its lines."""
    if value in (None, ""):
        return NOTHING
    return format_html('<div class="hf-text">{}</div>', value)


def as_json(value: Any) -> str:
    """A value as JSON, indented; a dash for nothing."""
    if value in (None, "", [], {}):
        return NOTHING
    told = json.dumps(value, indent=2, ensure_ascii=False, default=str)
    return format_html('<pre class="hf-json">{}</pre>', told)


def size(count: int | None) -> str:
    """So many bytes, as people say it."""
    if count is None:
        return NOTHING
    amount = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024:
            return f"{amount:,.0f} {unit}" if unit == "B" else f"{amount:,.1f} {unit}"
        amount /= 1024
    return f"{amount:,.1f} TiB"


def short(count: float) -> str:
    """A number in at most four signs and a letter: 950, 12.3 k, 4.56 M."""
    for unit, each in (("", 1), (" k", 10**3), (" M", 10**6), (" G", 10**9), (" T", 10**12)):
        if abs(count) < each * 1000:
            value = count / each
            if not unit:
                return f"{value:,.0f}"
            return f"{value:.{2 if value < 10 else 1 if value < 100 else 0}f}{unit}"
    return f"{count:.2e}"


def span(seconds: float | None) -> str:
    """A time span: 340 ms, 2.4 s, 3 min, 5 h."""
    if seconds is None:
        return NOTHING
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    for each, unit in ((86_400.0, "d"), (3_600.0, "h"), (60.0, "min")):
        if seconds >= 2 * each:
            return f"{seconds / each:.0f} {unit}"
    return f"{seconds:.1f} s"


def ago(moment: datetime | None) -> str:
    """How long ago, with the moment itself on hovering."""
    if moment is None:
        return NOTHING
    seconds = (timezone.now() - moment).total_seconds()
    told = f"in {span(-seconds)}" if seconds < 0 else "just now" if seconds < 1 else f"{span(seconds)} ago"
    return _time(moment, told)


def moment(value: datetime | None) -> str:
    """To the second; the day is left out today."""
    if value is None:
        return NOTHING
    is_new = timezone.now() - value < timedelta(hours=12)
    told = f"{value:%H:%M:%S}" if is_new else f"{value:%Y-%m-%d %H:%M}"
    return _time(value, told)


def _time(value: datetime, told: str) -> str:
    stamp = f"{value:%Y-%m-%d %H:%M:%S} UTC"
    return format_html('<time class="whitespace-nowrap" title="{}">{}</time>', stamp, told)


# --- Signs of a state -------------------------------------------------------------------------------------------------

_TONES = {"success": "hf-good", "danger": "hf-bad", "warning": "hf-wary", "info": "hf-busy"}

# Of the words that runs, steps, messages, files and ledger entries have for their states.
_TONE_OF = {
    **dict.fromkeys(("completed", "settled"), "success"),
    **dict.fromkeys(("failed", "expired"), "danger"),
    **dict.fromkeys(("incomplete", "cancelled", "cancelling"), "warning"),
    **dict.fromkeys(("in_progress", "requires_action", "pending", "reserved"), "info"),
}


def badge(word: str, tone: str = "") -> SafeString:
    """A word in a coloured box; `tone` is success, danger, warning, info or nothing."""
    return format_html('<span class="hf-badge {}">{}</span>', _TONES.get(tone, ""), word.replace("_", " "))


def status(word: str) -> SafeString:
    """A badge in the colour that this state has everywhere."""
    return badge(word, _TONE_OF.get(word, ""))
