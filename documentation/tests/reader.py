"""A reader who tries what a page says: runs its blocks from the top to the bottom, as one who types them in.

`python -m documentation.tests.reader` takes a page a line as JSON and answers with a line of JSON: what went wrong,
and how many blocks were run. Each page is a process of its own, forked from one that has loaded the SDK. A page's
Python blocks share their names.
"""

import ast
import contextlib
import io
import json
import linecache
import os
import re
import shutil
import subprocess
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from documentation.tests import shell

RUN = {"curl", "echo", "export", "cat", "head", "tail", "printf", "jq", "grep", "sed", "mkdir", "sort", "test", "true"}
LOCAL = re.compile(r"https?://(?:127\.0\.0\.1|localhost):8086")
SECONDS = 60
_CURL = 'curl() { command curl --silent --show-error --fail-with-body --max-time 30 "$@"; }\n'


def given(name: str, names: dict[str, Any]) -> Any:
    """What a block may use without making it (CONTRIBUTING.md)."""
    client = names["client"]
    if name == "assistant":
        return client.beta.assistants.create(model="demo-instant", instructions="Be brief.")
    if name == "thread":
        return client.beta.threads.create(messages=[{"role": "user", "content": "Hello, who are you?"}])
    for needed in ("assistant", "thread"):
        names.setdefault(needed, given(needed, names))
    return client.beta.threads.runs.create_and_poll(thread_id=names["thread"].id, assistant_id=names["assistant"].id)


def unknown_names(text: str, names: dict[str, Any]) -> set[str]:
    """Names that the text uses and does not make itself."""
    tree = ast.parse(text)
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    made = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    return used - made - set(names)


class Page:
    """One page's blocks, run in the present folder."""

    def __init__(self, job: dict[str, Any]) -> None:
        self.job = job
        self.url = job["url"]
        self.names: dict[str, Any] = {"__name__": "__main__"}
        self.files = {block["file"]: block for block in job["blocks"] if block["file"]}
        self.count = 0

    def here(self, text: str) -> str:
        """The text with the address of the server that runs."""
        text = LOCAL.sub(self.url, text)
        for placeholder, value in self.job["placeholders"].items():
            text = text.replace(placeholder, value)
        return text

    def problems(self) -> Iterator[str]:
        for block in self.job["blocks"]:
            running = self.python if block["language"] == "python" else self.commands
            try:
                with contextlib.redirect_stdout(io.StringIO()):
                    found = list(running(block))
            except Exception:
                found = [traceback.format_exc(limit=-2)]
            for problem in found:
                yield f"{block['where']}: {problem}"
            if found:
                return  # what comes after it would fail for the same reason

    # --- Python -------------------------------------------------------------------------------------------------------

    def python(self, block: dict[str, Any]) -> Iterator[str]:
        if block["setup"]:
            yield from self.executed(self.here(block["setup"]), block, self.names, 0)
        if block["file"]:
            Path(block["file"]).write_text(self.here(block["text"]))
            if any(self.starts(other, block["file"]) for other in self.job["blocks"]):
                return
        self.count += 1
        yield from self.executed(self.here(block["text"]), block, self.names, block["line"])

    def starts(self, block: dict[str, Any], file: str) -> bool:
        script = shell.script_of(block["language"], block["text"])
        return block["language"] != "python" and bool(re.search(rf"\bpython3?\b[^\n]* {re.escape(file)}\b", script))

    def executed(self, text: str, block: dict[str, Any], names: dict[str, Any], line: int) -> Iterator[str]:
        for name in ("client", *sorted(unknown_names(text, names) & {"assistant", "thread", "run"})):
            if name == "client" and name not in names:
                from openai import OpenAI

                names[name] = OpenAI(base_url=os.environ["OPENAI_BASE_URL"], api_key=os.environ["OPENAI_API_KEY"])
            elif name not in names:
                names[name] = given(name, names)
        source = "\n" * line + text
        linecache.cache[block["page"]] = (len(source), None, source.splitlines(keepends=True), block["page"])
        try:
            exec(compile(source, block["page"], "exec"), names)
        except SystemExit as ended:
            if ended.code:
                yield f"it ended with {ended.code}"
        except Exception as wrong:
            lines = [
                frame.lineno for frame in traceback.extract_tb(wrong.__traceback__) if frame.filename == block["page"]
            ]
            at = f" in line {lines[-1]} of the page" if lines and line else " in its hidden setup" if not line else ""
            yield f"{type(wrong).__name__}{at}: {wrong}"

    # --- Commands -----------------------------------------------------------------------------------------------------

    def commands(self, block: dict[str, Any]) -> Iterator[str]:
        if block["setup"]:
            yield from self.executed(self.here(block["setup"]), block, self.names, 0)
        shown = dict(shell.shown_output(block["text"])) if block["language"] == "console" else {}
        for line in logical_lines(shell.script_of(block["language"], block["text"])):
            words = [command.words for command in shell.commands(line) if command.words]
            program = next(
                (each for each in words if re.fullmatch(r"python3?", each[0]) and each[-1] in self.files), None
            )
            if program:
                self.count += 1
                yield from self.program(program[-1], shown.get(line.rstrip("\n"), ""))
            elif self.is_ours(line, words):
                self.count += 1
                missing = [each[0] for each in words if each[0] != "export" and shutil.which(each[0]) is None]
                yield from [f"needs {missing[0]}, which is not installed here"] if missing else self.shell(line)

    def program(self, file: str, shown: str) -> Iterator[str]:
        """Runs a program of the page; where the page shows what it prints, it must print that."""
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            found = list(
                self.executed(self.here(self.files[file]["text"]), self.files[file], {"__name__": "__main__"}, 0)
            )
        yield from found
        if shown and not found and not matches(shown, printed.getvalue()):
            yield f"{file} prints something else than what is shown:\n{printed.getvalue()}"

    def is_ours(self, line: str, words: list[list[str]]) -> bool:
        """Whether the command is for this server, or sets something, and everything in it may be run here."""
        programs = {each[0] for each in words}
        if not programs <= RUN:
            return False
        if programs == {"export"} or not programs:
            return True
        expanded = os.path.expandvars(self.here(line))
        return "curl" in programs and (self.url in expanded or self.url in self._expanded(line))

    def _expanded(self, line: str) -> str:
        exported = (
            dict(re.findall(r"^(\w+)=(.*)$", Path("exported").read_text(), re.M)) if Path("exported").exists() else {}
        )
        return re.sub(r"\$\{?(\w+)\}?", lambda name: str(exported.get(name[1], name[0])), self.here(line))

    def shell(self, line: str) -> Iterator[str]:
        before = "set -a; [ ! -e exported ] || . ./exported.sh\n"
        after = "\nenv > exported; export -p > exported.sh\n"
        script = f"set -euo pipefail\n{_CURL}{before}{self.here(line)}{after}"
        ended = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=SECONDS, check=False)
        if ended.returncode:
            yield f"{line.strip()}\nended with {ended.returncode}: {ended.stdout}{ended.stderr}"


def logical_lines(script: str) -> Iterator[str]:
    """The commands of a script as bash takes them: lines that go on belong together."""
    gathered = ""
    for line in script.splitlines(keepends=True):
        if not gathered and (not line.strip() or line.startswith("#")):
            continue
        gathered += line
        if line.endswith("\\\n"):
            continue
        plain = shell.PLACEHOLDER.sub("placeholder", gathered)
        checked = subprocess.run(["bash", "-n"], input=plain, capture_output=True, text=True, check=False)
        if checked.returncode == 0 and not checked.stderr:
            yield gathered
            gathered = ""
    if gathered:
        yield gathered


def matches(shown: str, printed: str) -> bool:
    """Whether it was printed so; `…` stands for anything, and white space is as it falls."""
    pattern = ".*".join(re.escape(" ".join(part.split())) for part in shown.split("…"))
    return re.fullmatch(pattern, " ".join(printed.split()), re.DOTALL) is not None


def read(job: dict[str, Any]) -> dict[str, Any]:
    """Runs a page in a process of its own."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        os.chdir(job["folder"])
        os.environ.update(job["environment"])
        sys.stdin = io.StringIO()
        page = Page(job)
        try:
            problems = list(page.problems())
        except BaseException:
            problems = [traceback.format_exc()]
        with os.fdopen(writing, "w") as out:
            out.write(json.dumps({"problems": problems, "count": page.count}))
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as answer:
        told: dict[str, Any] = json.loads(answer.read() or '{"problems": ["the reader died"], "count": 0}')
    os.waitpid(child, 0)
    return told


if __name__ == "__main__":
    import openai  # noqa: F401 (loaded once, for all pages)

    for asked in sys.stdin:
        answered = read(json.loads(asked))
        print(json.dumps(answered), flush=True)
