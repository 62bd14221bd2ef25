"""The programs of "Show the code for this" are run as they stand there, with the official SDK."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from assistant_site.playground.tests.browser.visits import Visit
from assistant_site.tests.callers import LiveCaller

ODD = "Quotes \" ' ''' \\ `x` $HOME ${y} %s\nand 漢字 😀 tag:odd"
FUNCTION = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


def program(page: Page, tab: str) -> str:
    page.get_by_role("tab", name=tab, exact=True).click()
    shown = page.get_by_role("region", name="Program")
    expect(shown).to_be_visible()
    return str(shown.locator("code").evaluate("(each) => each.textContent"))


def carried_out(command: list[str], caller: LiveCaller) -> str:
    done = subprocess.run(
        command,
        env={"PATH": os.environ["PATH"], "HOLDFAST_TOKEN": caller.token, "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("tab", ["Python", "Python, streaming", "curl", "Node"])
def test_a_program_does_what_the_conversation_did(tab: str, vera: LiveCaller, visit: Visit, tmp_path: Path) -> None:
    vera.assistant(name="Odd", model="demo-instant", instructions=ODD)
    page = visit.open()
    visit.ask(ODD)
    visit.ask("Second tag:second")
    page.get_by_role("main").get_by_role("button", name="Show the code for this").click()

    text = program(page, tab)

    assert vera.token not in text
    file = tmp_path / "program"
    file.write_text(text)
    if tab == "Node":
        node = shutil.which("node")
        if node is None:
            pytest.skip("node is not installed")
        subprocess.run([node, "--check", "--input-type=module", "-"], input=text, text=True, check=True, timeout=60)
        return
    printed = carried_out(["bash", str(file)] if tab == "curl" else [sys.executable, str(file)], vera)
    assert "odd" in printed
    assert "second" in printed
    newest = vera.get("threads?limit=1")["data"][0]["id"]
    assert newest != visit.thread()
    said = [each["content"][0]["text"]["value"] for each in vera.messages(newest) if each["role"] == "user"]
    assert said == [ODD, "Second tag:second"]


@pytest.mark.parametrize("tab", ["Python", "Python, streaming"])
def test_a_program_answers_functions_and_makes_its_assistant(
    tab: str, vera: LiveCaller, visit: Visit, tmp_path: Path
) -> None:
    fields: dict[str, Any] = {"name": "Weather", "model": "demo-instant", "tools": [FUNCTION], "temperature": 0.5}
    made = vera.assistant(**fields)
    page = visit.open()
    visit.send('call:get_weather {"city": "東京"}')
    form = page.get_by_role("form", name="A function waits for your answer")
    form.get_by_role("button", name="Submit").click()
    expect(visit.answers()).to_have_count(1)
    visit.wait_for_rest()
    page.get_by_role("main").get_by_role("button", name="Show the code for this").click()
    page.get_by_role("switch", name="Make the assistant in the program").check()

    text = program(page, tab)

    (tmp_path / "program.py").write_text(text)
    printed = carried_out([sys.executable, str(tmp_path / "program.py")], vera)
    assert "get_weather" in printed
    newest = vera.get("assistants?limit=1").body["data"][0]
    assert newest["id"] != made
    assert {name: newest[name] for name in ("name", "model", "temperature")} == {
        name: fields[name] for name in ("name", "model", "temperature")
    }
    assert newest["tools"][0]["function"]["name"] == "get_weather"
