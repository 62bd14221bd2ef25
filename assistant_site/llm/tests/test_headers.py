import time
from email.utils import formatdate

import pytest

from assistant_site.llm.headers import retry_after


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "3"}, 3.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after": "-1"}, 0.0),
        ({"retry-after-ms": "250", "retry-after": "3"}, 0.25),
        ({"retry-after-ms": "soon", "retry-after": "3"}, 3.0),
        ({"llm_provider-retry-after": "2"}, 2.0),  # LiteLLM
        ({"retry-after": "1", "llm_provider-retry-after": "2"}, 1.0),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "tomorrow"}, None),
        ({}, None),
    ],
)
def test_how_long_a_provider_asks_to_wait(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers) == seconds


def test_a_date_to_wait_for() -> None:
    told = retry_after({"retry-after": formatdate(time.time() + 20, usegmt=True)})

    assert told is not None
    assert 15 < told <= 20
    assert retry_after({"retry-after": formatdate(time.time() - 20, usegmt=True)}) == 0.0
