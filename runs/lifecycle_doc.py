"""The state diagram in docs/run-lifecycle.md, drawn from the table of moves.

`python -m runs.lifecycle_doc` draws it again; a test compares the page with the table.
"""

from pathlib import Path

from runs.machine import MOVES, TERMINAL, Status

PAGE = Path(__file__).resolve().parent.parent / "docs" / "run-lifecycle.md"
BEGIN = "<!-- drawn from runs.machine.MOVES by `python -m runs.lifecycle_doc`; do not edit -->\n"
END = "<!-- end of the drawing -->\n"


def diagram() -> str:
    """The moves as a Mermaid state diagram, in the order of the statuses."""
    lines = ["stateDiagram-v2", f"    [*] --> {Status.QUEUED.value}"]
    for old in Status:
        lines += [f"    {old.value} --> {new.value}" for new in Status if new in MOVES[old]]
    lines += [f"    {status.value} --> [*]" for status in Status if status in TERMINAL]
    return "```mermaid\n" + "\n".join(lines) + "\n```\n"


def drawn(page: str) -> str:
    """The page's text with the present diagram in it."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return before + BEGIN + diagram() + END + after


if __name__ == "__main__":
    PAGE.write_text(drawn(PAGE.read_text()))
