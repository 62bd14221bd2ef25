"""Moments as callers write them: seconds since 1970, a date, or a date with a time."""

from datetime import UTC, datetime, time

from django.utils.dateparse import parse_date, parse_datetime


def moment_of(given: str) -> datetime | None:
    """The moment; None if it is none. A date is its beginning, and what has no zone is UTC."""
    try:
        if given.isdecimal():
            return datetime.fromtimestamp(int(given), UTC)
        if day := parse_date(given):
            return datetime.combine(day, time(), UTC)
        found = parse_datetime(given)
    except (ValueError, OverflowError, OSError):
        return None
    if found is None:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
