"""What the blocks of the docs were judged by, in the summary of a session."""

from collections import Counter

import pytest

from documentation.tests.blocks import blocks_of, pages


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    try:
        blocks = [block for page in pages() for block in blocks_of(page)]
    except ValueError:  # which the tests have told
        return
    languages = Counter(block.language for block in blocks)
    reasons = Counter(block.not_run for block in blocks if block.not_run)
    told = ", ".join(f"{count} {language}" for language, count in languages.most_common())
    terminalreporter.write_line(f"Docs: {len(blocks)} code blocks ({told}); {reasons.total()} are not run:")
    for reason, count in sorted(reasons.items()):
        terminalreporter.write_line(f"  {count} {reason}")
