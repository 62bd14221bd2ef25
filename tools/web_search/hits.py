"""What a search is asked for and gives, whichever provider carries it out."""

from dataclasses import asdict, dataclass
from typing import Any, Literal, Protocol

TimeRange = Literal["day", "week", "month", "year"]
TIME_RANGES: tuple[TimeRange, ...] = ("day", "week", "month", "year")


@dataclass(frozen=True)
class SearchOptions:
    """`allowed_domains`: hosts, their subdomains included; empty: all. `country`: two letters, lower case."""

    limit: int = 5
    time_range: TimeRange | None = None
    allowed_domains: tuple[str, ...] = ()
    country: str = ""

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class SearchHit:
    """A web page that was found. Everything but `source`, the provider's name, is a stranger's text.

    `published` is a date as the provider gives it, or empty. `is_in_range`: false if it was found only after the time
    range that was asked for had been given up.
    """

    title: str
    url: str
    snippet: str
    published: str = ""
    source: str = ""
    is_in_range: bool = True


class SearchProvider(Protocol):
    async def search(self, query: str, options: SearchOptions) -> list[SearchHit]:
        """The best pages first, as the provider has them: not cleaned yet. Raises `SearchFailed`."""
        ...


class SearchFailed(Exception):
    """A provider gave no results. `told` is for the model; `reason`, with its remedy, for the operator's log."""

    def __init__(self, told: str, reason: str) -> None:
        super().__init__(reason)
        self.told = told
        self.reason = reason
