"""The law of moves: no sequence of them leaves the table."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runs import machine
from runs.machine import ACTIVE, HELD, MOVES, RESTING, TERMINAL, IllegalMove, Status


def test_the_table_is_whole() -> None:
    assert set(MOVES) == set(Status)
    assert {"completed", "incomplete", "failed", "cancelled", "expired"} == TERMINAL
    assert {"queued", "in_progress", "requires_action", "cancelling"} == ACTIVE
    assert HELD < ACTIVE
    assert not HELD & RESTING


def test_every_state_can_be_reached_and_left_for_an_end() -> None:
    def reachable(start: Status) -> set[Status]:
        seen, waiting = {start}, [start]
        while waiting:
            for following in MOVES[waiting.pop()] - seen:
                seen.add(following)
                waiting.append(following)
        return seen

    assert reachable(Status.QUEUED) == set(Status)
    for status in ACTIVE:
        assert reachable(status) & TERMINAL


@given(st.lists(st.sampled_from(list(Status)), max_size=30))
def test_only_moves_of_the_table_are_made(wishes: list[Status]) -> None:
    status = Status.QUEUED
    for wish in wishes:
        if wish in MOVES[status]:
            machine.check(status, wish)
            status = wish
        else:
            with pytest.raises(IllegalMove):
                machine.check(status, wish)
    assert status in Status
