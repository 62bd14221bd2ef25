import time

import pytest

from assistant_site.recent import Recent


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def test_a_value_is_good_for_its_time(clock: list[float]) -> None:
    recent = Recent[str, bool](0.5)
    assert recent.get("a") is None
    assert recent.put("a", False) is False
    clock[0] += 0.5
    assert recent.get("a") is False
    clock[0] += 0.01
    assert recent.get("a") is None


def test_its_time_counts_from_when_it_was_read(clock: list[float]) -> None:
    recent = Recent[str, int](0.5)
    recent.put("a", 1, read_at=99.6)
    assert recent.get("a") == 1
    clock[0] += 0.2
    assert recent.get("a") is None


def test_it_is_forgotten_when_asked_and_when_there_are_too_many() -> None:
    recent = Recent[int, int](60, most=2)
    recent.put(1, 1)
    recent.put(2, 2)
    recent.forget(1)
    recent.forget(3)
    assert (recent.get(1), recent.get(2)) == (None, 2)
    recent.put(1, 1)
    recent.put(3, 3)
    assert (recent.get(1), recent.get(2), recent.get(3)) == (None, None, 3)
    recent.clear()
    assert recent.get(3) is None
