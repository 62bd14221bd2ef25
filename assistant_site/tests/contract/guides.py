"""Goes through the guides as a reader does: python -m assistant_site.tests.contract.guides [--also-not-run] PAGE …

Of each page the blocks of Python are executed in their order; one that begins with `# continues` has the names of
those before it. The server is the one of the environment, and its demo model need not take its time. What a block
prints must be the block of text that follows it, where one does; `…` stands for anything. Ends with 1 and says where,
if not. `--also-not-run`: what pages mark as not run elsewhere, too.
"""

import contextlib
import io
import os
import re
import sys
import traceback
from pathlib import Path
from typing import Any

BLOCK = re.compile(
    r"^(?P<not_run><!-- not run: [^\n]*-->\n)?```(?P<language>\w+)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE
)


def matches(shown: str, printed: str) -> bool:
    """Whether it was printed so, but for blanks at line ends and what `…` stands for."""
    lines = "\n".join(line.rstrip() for line in printed.strip().splitlines())
    pattern = ".*".join(re.escape(part) for part in shown.strip().split("…"))
    return re.fullmatch(pattern, lines, re.DOTALL) is not None


def faults(page: Path, *, also_not_run: bool) -> list[str]:
    blocks = list(BLOCK.finditer(page.read_text()))
    names: dict[str, Any] = {}
    for block, following in zip(blocks, [*blocks[1:], None], strict=True):
        if block["language"] != "python" or (block["not_run"] and not also_not_run):
            continue
        if not block["text"].startswith("# continues\n"):
            names = {"__name__": "__main__"}
        text = block["text"].replace("http://127.0.0.1:8086", os.environ["OPENAI_BASE_URL"].removesuffix("/v1"))
        text = text.replace('model="demo"', 'model="demo-instant"')
        line = block.string[: block.start("text")].count("\n")
        printed = io.StringIO()
        try:
            with contextlib.redirect_stdout(printed):
                exec(compile("\n" * line + text, page, "exec"), names)
        except Exception:
            return [traceback.format_exc(limit=-1)]
        if following and following["language"] == "text" and not matches(following["text"], printed.getvalue()):
            return [f"{page}:{line}: this was printed, and something else is shown:\n{printed.getvalue()}"]
    return []


if __name__ == "__main__":
    also = "--also-not-run" in sys.argv
    pages = [Path(argument) for argument in sys.argv[1:] if not argument.startswith("--")]
    found = [fault for page in pages for fault in faults(page, also_not_run=also)]
    print(*found, sep="\n")
    sys.exit(bool(found))
