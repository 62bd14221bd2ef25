"""Other programs as clients, as the guides tell it: LangChain, LlamaIndex, the AI SDK, LibreChat's requests.

Packages of Python are those of `.venv-clients`, packages of Node are beside this file: `make clients` installs both.
"""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from assistant_site.tests.callers import LiveCaller

pytestmark = [pytest.mark.clients, pytest.mark.timeout(240)]
HERE = Path(__file__).parent
ROOT = HERE.parents[2]
PYTHON = ROOT / ".venv-clients" / "bin" / "python"
BLOCK = re.compile(r"^```(?P<language>\w+)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE)


def blocks(page: str, *languages: str) -> list[tuple[str, str]]:
    """Language and text of a guide's blocks in these languages."""
    text = (ROOT / "docs" / "guides" / page).read_text()
    return [(found["language"], found["text"]) for found in BLOCK.finditer(text) if found["language"] in languages]


def output_of(*command: str | Path, caller: LiveCaller, folder: Path, **variables: str) -> str:
    told = {"OPENAI_BASE_URL": caller.base_url, "OPENAI_API_KEY": caller.token, "HOLDFAST_MODEL": "demo-instant"}
    ended = subprocess.run(
        [str(part) for part in command],
        env=os.environ | told | variables,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


@pytest.fixture
def python() -> Path:
    if not PYTHON.exists():
        pytest.skip("`make clients` installs the packages")
    return PYTHON


@pytest.fixture(scope="module")
def node() -> Path:
    """The folder with the programs and their packages."""
    if shutil.which("node") is None or not (HERE / "node_modules").is_dir():
        pytest.skip("`make clients` installs the packages, where there is Node")
    return HERE


@pytest.mark.parametrize("page", ["langchain.md", "llamaindex.md"])
def test_the_programs_of_a_guide_print_what_it_says(page: str, lena: LiveCaller, python: Path, tmp_path: Path) -> None:
    programs = blocks(page, "python", "text")
    assert [language for language, _ in programs] == ["python", "text"] * (len(programs) // 2)
    assert all(text.startswith("# continues\n") for _, text in programs[2::2])
    program = tmp_path / "guide.py"
    program.write_text("\n".join(text for _, text in programs[::2]))
    printed = output_of(python, "-W", "ignore", program, caller=lena, folder=tmp_path)
    assert printed.splitlines() == "".join(text for _, text in programs[1::2]).splitlines()


def test_the_example_with_langchain(lena: LiveCaller, python: Path, tmp_path: Path) -> None:
    example = ROOT / "examples" / "langchain_agent.py"
    lines = output_of(python, "-W", "ignore", example, caller=lena, folder=tmp_path).splitlines()
    assert lines[2] == "- get_weather: {'city': 'Lisbon', 'celsius': 21}"
    assert lines[3].startswith("This is Holdfast's built-in demo model")
    assert "1 earlier message of yours" in lines[3]


def test_the_ai_sdk_s_route_and_hook(lena: LiveCaller, node: Path) -> None:
    [(_, route)] = blocks("vercel-ai-sdk.md", "js")
    [(_, making)] = blocks("vercel-ai-sdk.md", "python")
    names: dict[str, Any] = {}
    exec(making.split("print(")[0], names)
    made = lena.post("/v1/assistants", {"model": "demo-instant", "tools": [names["weather"]]})
    program = node / "route.mjs"  # where Node finds the packages
    program.write_text(route)
    try:
        printed = output_of("node", "hook.mjs", program, caller=lena, folder=node, ASSISTANT_ID=made["id"])
    finally:
        program.unlink()
    first, second = map(json.loads, printed.splitlines())
    assert (first["status"], second["status"]) == ("awaiting_message", "awaiting_message")
    assert first["messages"][1] == [
        "assistant",
        'The demo model called tools and got these outputs:\n\n- get_weather: {"city":"Lisbon","celsius":21}',
    ]
    assert second["thread"] == first["thread"]
    assert second["messages"][:2] == first["messages"]
    assert second["messages"][3][1].startswith("This is Holdfast's built-in demo model")
    assert "error" not in first
    assert "error" not in second


def test_what_librechat_asks(lena: LiveCaller, node: Path) -> None:
    told = json.loads(output_of("node", "librechat.mjs", caller=lena, folder=node))
    events = told.pop("events")
    assert events[0] == "thread.run.created"
    assert events[-1] == "thread.run.completed"
    assert "thread.run.requires_action" in events
    assert told == {
        "listed": True,
        "text": "The demo model called tools and got these outputs:\n\n- get_weather: 21",
        "status": "completed",
        "usage": True,
        "messages": ["question", "answer"],
        "steps": ["message_creation", "tool_calls"],
        "stopped": True,
        "title": True,
        "models": ["demo", "demo-instant"],
        "deleted": [True, True],
    }
