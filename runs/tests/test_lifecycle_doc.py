"""docs/run-lifecycle.md says what the table of moves says."""

import re

from runs import lifecycle_doc
from runs.machine import MOVES, Status


def test_the_diagram_is_up_to_date() -> None:
    page = lifecycle_doc.PAGE.read_text()
    assert lifecycle_doc.drawn(page) == page, "draw it again: python -m runs.lifecycle_doc"


def test_the_diagram_has_each_move_once() -> None:
    arrows = re.findall(r"(\w+) --> (\w+)", lifecycle_doc.diagram())
    assert sorted(arrows) == sorted((old.value, new.value) for old in MOVES for new in MOVES[old])


def test_every_move_is_explained() -> None:
    """The page's table has a row for each arrow of the diagram, and no other."""
    section = lifecycle_doc.PAGE.read_text().partition("## Each move\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \| ([^|]+) \|", section, re.MULTILINE)
    explained = {(Status(old), Status(new)) for old, news in rows for new in re.findall(r"`(\w+)`", news)}
    assert explained == {(old, new) for old in MOVES for new in MOVES[old]}
