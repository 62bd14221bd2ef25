"""Every program in `examples/`, started as a reader starts it, does what it says and complains of nothing."""

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from assistant_site.llm.tests.quirk_server import QuirkServer, answering
from assistant_site.tests.callers import LiveCaller, new_tenant
from assistant_site.tests.contract.test_code_interpreter import wait_until_available
from assistant_site.tests.stack import Stack, free_port
from tools.tests.service import Got, Reply, Service, replying
from tools.web_search.models import SearchKey
from tools.web_search.tests.recorded import SEARXNG

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"
TESTED = {  # by the tests below; `mcp_shop` is the server of `mcp_approval`
    *("run", "stream", "functions", "image", "file_search", "web_search", "action", "action_authentication"),
    *("memory", "extra_body", "code_interpreter", "mcp_approval", "mcp_shop", "mixed_tools"),
}


def output_of(name: str, caller: LiveCaller, *, typed: str = "", folder: Path | None = None, **variables: str) -> str:
    """What the program prints."""
    told = {"OPENAI_BASE_URL": caller.base_url, "OPENAI_API_KEY": caller.token, "HOLDFAST_MODEL": "demo-instant"}
    ended = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", str(EXAMPLES / f"{name}.py")],
        env=os.environ | told | variables,
        cwd=folder,
        input=typed,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert (ended.returncode, ended.stderr) == (0, ""), ended.stdout + ended.stderr
    return ended.stdout


def test_each_example_is_tested_and_in_the_index() -> None:
    found = {path.stem for path in EXAMPLES.glob("*.py")}
    index = (EXAMPLES / "README.md").read_text()
    assert found == TESTED
    assert [name for name in found if f"[{name}.py]({name}.py)" not in index] == []


@pytest.mark.contract
def test_run(lena: LiveCaller) -> None:
    lines = output_of("run", lena).splitlines()
    assert lines[:2] == ["status: completed", "user: Hello, who are you?"]
    assert lines[2].startswith("assistant: This is Holdfast's built-in demo model")


@pytest.mark.contract
def test_stream(lena: LiveCaller) -> None:
    lines = output_of("stream", lena).splitlines()
    assert lines[0] == "[thread.run.created]"
    assert any(line.startswith("This is Holdfast's built-in demo model") for line in lines)
    assert lines[-1] == "[thread.run.completed]"


@pytest.mark.contract
def test_functions(lena: LiveCaller) -> None:
    lines = output_of("functions", lena).splitlines()
    assert lines[:3] == ['get_weather({"city": "Lisbon"})', 'get_weather({"city": "Oslo"})', "status: completed"]
    assert lines[-2:] == [
        '- get_weather: {"city": "Lisbon", "celsius": 21}',
        '- get_weather: {"city": "Oslo", "celsius": 4}',
    ]


@pytest.mark.contract
def test_image(lena: LiveCaller) -> None:
    told = output_of("image", lena)
    assert told.startswith("status: completed\n")
    assert "“What is in this picture?” You also sent 1 picture" in told


@pytest.mark.contract
def test_file_search(lena: LiveCaller) -> None:
    lines = output_of("file_search", lena).splitlines()
    assert lines[:2] == ["file: completed", "status: completed"]
    assert any("for 12 euros an hour." in line for line in lines)
    assert lines[-1] == "【1:0†handbook.md】 is handbook.md"


@pytest.mark.contract
def test_web_search(lena: LiveCaller) -> None:
    with QuirkServer(answering(SEARXNG)) as searxng:
        SearchKey.objects.create(tenant=lena.tenant, provider="searxng", base_url=f"http://localhost:{searxng.port}")
        lines = output_of("web_search", lena).splitlines()
        assert "q=Django+web+framework" in searxng.requests[0].path
    assert lines[0] == "status: completed"
    assert any(line.endswith(" is https://www.djangoproject.com/") for line in lines)


@pytest.mark.contract
def test_web_search_that_is_not_set_up(lena: LiveCaller) -> None:
    told = output_of("web_search", lena)
    assert told.startswith("status: completed\n")
    assert "Web search is not configured on this server" in told


def weather(got: Got) -> Reply:
    return replying({"current": {"temperature_2m": 21.5}})


@pytest.mark.contract
def test_action(lena: LiveCaller) -> None:
    with Service(weather) as service:
        lines = output_of("action", lena, WEATHER_URL=service.url).splitlines()
    assert lines[:2] == ["actions: getForecast", "status: completed"]
    assert lines[-1] == '- getForecast: {"current": {"temperature_2m": 21.5}}'
    assert [got.target for got in service.got] == [
        "/v1/forecast?latitude=38.7&longitude=-9.1&current=temperature_2m",
    ]


@pytest.mark.contract
def test_action_authentication(lena: LiveCaller) -> None:
    def bearer(got: Got) -> Reply:
        return replying({"token": got.headers["authorization"].removeprefix("Bearer ")})

    with Service(bearer) as service:
        lines = output_of("action_authentication", lena, BEARER_URL=service.url).splitlines()
    assert lines[0] == "status: completed"
    assert lines[-1] == '- getBearer: {"token": "********"}'
    assert [got.headers["authorization"] for got in service.got] == ["Bearer a-token-of-the-user"]


@pytest.mark.contract
def test_mixed_tools(lena: LiveCaller) -> None:
    with Service(weather) as service:
        lines = output_of("mixed_tools", lena, WEATHER_URL=service.url).splitlines()
    assert lines[:4] == [
        "asked of this program: get_plans",
        "status: completed",
        'getForecast: {"current": {"temperature_2m": 21.5}}',
        'get_plans: ["a swim", "a walk"]',
    ]
    assert len(service.got) == 1


@pytest.mark.contract
def test_memory(lena: LiveCaller) -> None:
    lines = output_of("memory", lena).splitlines()
    kinds = [line.split(": completed, the model was shown ") for line in lines if ": completed" in line]
    assert [kind for kind, _ in kinds] == ["naive", "window", "zero"]
    naive, window, zero = (int(rest.removesuffix(" tokens")) for _, rest in kinds)
    assert naive > window > zero > 0


@pytest.mark.contract
def test_extra_body(lena: LiveCaller) -> None:
    lines = [line.rstrip() for line in output_of("extra_body", lena).splitlines()]
    short = lines.index("status: incomplete max_completion_tokens")
    assert lines[0] == "status: completed"
    assert len("".join(lines[short + 1 :])) < 60 < len("".join(lines[1:short]))


@contextlib.contextmanager
def shop() -> Iterator[str]:
    """The MCP server of the examples; its address."""
    port = free_port()
    server = subprocess.Popen(
        [sys.executable, str(EXAMPLES / "mcp_shop.py")],
        env=os.environ | {"PORT": str(port)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 60
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            assert server.poll() is None, "the shop has ended"
            assert time.monotonic() < deadline, "the shop does not open"
            time.sleep(0.05)
        yield f"http://localhost:{port}/mcp"
    finally:
        server.terminate()
        server.wait(20)


@pytest.mark.contract
@pytest.mark.parametrize(("typed", "told"), [("yes", "Bought: item 7"), ("no", "not approved")])
def test_mcp_approval(lena: LiveCaller, typed: str, told: str) -> None:
    with shop() as url:
        printed = output_of("mcp_approval", lena, typed=f"{typed}\n", MCP_SERVER_URL=url)
    lines = printed.splitlines()
    assert lines[0] == 'buy {"item": 7}? (yes/no) status: completed'
    assert "- shop_search: Lamp 7: red, 20 euros" in lines
    assert lines[-1].startswith("- shop_buy: ")
    assert told in lines[-1]


@pytest.mark.sandbox
def test_code_interpreter(tmp_path: Path, django_db_setup: None, django_db_blocker: Any) -> None:
    with (
        django_db_blocker.unblock(),
        Stack.workers_of_others_rest(),
        Stack(folder=tmp_path, sandbox=True) as running,
    ):
        wait_until_available(running)
        lines = output_of(
            "code_interpreter", LiveCaller(*new_tenant("Cora"), running.url), folder=tmp_path
        ).splitlines()
    assert [line.rstrip() for line in lines[:3]] == ["status: completed", "printed: a picture", "printed: 75"]
    assert lines[-1] == "saved: sums.xlsx"
    with Image.open(tmp_path / "chart.png") as chart:
        assert chart.format == "PNG"
    assert (tmp_path / "sums.xlsx").read_bytes().startswith(b"PK")
