"""Every program in `examples/` and the guides, run as a reader runs it, does what it says and complains of nothing."""

import contextlib
import os
import re
import shutil
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
from assistant_site.tests.stack import ADMIN_TOKEN, Stack, free_port
from tools.tests.service import Got, Reply, Service, replying
from tools.web_search.models import SearchKey
from tools.web_search.tests.recorded import SEARXNG

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"
GUIDES = EXAMPLES.parent / "docs" / "guides"
TESTED = {  # by the tests below; `mcp_shop` is the server of `mcp_approval`
    *("run.py", "stream.py", "async_stream.py", "functions.py", "cancel.py", "rejoin.py", "image.py", "memory.py"),
    *("extra_body.py", "file_search.py", "vector_store_search.py", "code_interpreter.py", "web_search.py", "action.py"),
    *("action_authentication.py", "mixed_tools.py", "mcp_approval.py", "mcp_shop.py", "curl.sh", "node_stream.mjs"),
    *("mcp_client.py", "tenant.py", "move.py"),
}
ELSEWHERE = {"langchain_agent.py"}  # in test_clients.py, with LangChain
DEMO = "This is Holdfast's built-in demo model"


def output_of(
    name: str,
    caller: LiveCaller,
    *arguments: str,
    typed: str = "",
    folder: Path | None = None,
    command: tuple[str, ...] = (sys.executable, "-W", "ignore::DeprecationWarning"),
    **variables: str,
) -> str:
    """What the program prints; without an ending its name is that of a Python program."""
    told = {"OPENAI_BASE_URL": caller.base_url, "OPENAI_API_KEY": caller.token, "HOLDFAST_MODEL": "demo-instant"}
    program = EXAMPLES / (name if "." in name else f"{name}.py")
    ended = subprocess.run(
        [*command, str(program), *arguments],
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
    found = {path.name for path in EXAMPLES.iterdir() if path.suffix in {".py", ".mjs", ".sh"}}
    index = (EXAMPLES / "README.md").read_text()
    assert found == TESTED | ELSEWHERE
    assert [name for name in found if f"[{name}]({name})" not in index] == []


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
def test_async_stream(lena: LiveCaller) -> None:
    first, *rest = output_of("async_stream", lena, HOLDFAST_MODEL="demo").splitlines()
    names = first.split()
    assert set(names) == {"tides", "fog"}
    assert names.index("fog") < len(names) - 1 - names[::-1].index("tides")  # beside each other, in either order
    assert names.index("tides") < len(names) - 1 - names[::-1].index("fog")
    assert [line for line in rest if line.startswith(DEMO) and "“What makes the tides?”" in line]
    assert [line for line in rest if line.startswith(DEMO) and "“What makes the fog?”" in line]


@pytest.mark.contract
def test_cancel(lena: LiveCaller) -> None:
    lines = output_of("cancel", lena, HOLDFAST_MODEL="demo").splitlines()
    assert lines[:4] == [
        "[thread.run.cancelling]",
        "[thread.run.cancelled]",
        "run: cancelled",
        "message: incomplete",
    ]
    assert "".join(lines[4:]).startswith("This is")


@pytest.mark.contract
def test_rejoin(lena: LiveCaller) -> None:
    lines = output_of("rejoin", lena, HOLDFAST_MODEL="demo").splitlines()
    assert lines[:2] == ["readings: 3", "complete: True"]
    assert lines[2].startswith(DEMO)


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
def test_vector_store_search(lena: LiveCaller) -> None:
    lines = output_of("vector_store_search", lena).splitlines()
    assert lines[0].endswith(" boats.md: Boats are rented out from May to September, for 12 euros an hour.")
    assert lines[-1] == "on land: food.md, rooms.md"


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


@pytest.mark.contract
def test_curl(lena: LiveCaller) -> None:
    for program in ("curl", "jq"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed here")
    lines = output_of("curl.sh", lena, command=("sh",)).splitlines()
    assert lines[0] == "status: completed"
    assert lines[1].startswith(DEMO)
    streamed = lines[lines.index("--- streamed:") + 1 :]
    assert (streamed[0], streamed[-2:]) == (
        "event: thread.run.created",
        ["event: thread.run.completed", "event: done"],
    )


@pytest.mark.contract
def test_node_stream(lena: LiveCaller, node: Path, tmp_path: Path) -> None:
    (tmp_path / "node_modules").symlink_to(node / "node_modules")  # where Node looks from the program's folder
    shutil.copy(EXAMPLES / "node_stream.mjs", tmp_path)
    lines = output_of(str(tmp_path / "node_stream.mjs"), lena, command=("node",)).splitlines()
    assert lines[0] == 'get_weather({"city": "Lisbon"})'
    assert lines[-2:] == ['- get_weather: {"city":"Lisbon","celsius":21}', "status: completed"]


@pytest.mark.contract
def test_mcp_client(lena: LiveCaller) -> None:
    lines = output_of("mcp_client", lena).splitlines()
    assert lines[0] == "ask: Knows everything about the harbour of Port Marlo."
    assert lines[1].startswith(f"completed {DEMO}")
    assert lines[-1] == "True"


@pytest.mark.contract
def test_tenant(lena: LiveCaller) -> None:
    lines = output_of("tenant", lena, ADMIN_TOKEN=ADMIN_TOKEN).splitlines()
    assert lines[0].startswith("made: Acme ")
    assert lines[1] == "its run: completed"
    assert lines[2].startswith("for others: Error code: 404 - No assistant found with id 'asst_")
    assert re.fullmatch(r"used: 1 run, \d\d+ tokens", lines[3])


@pytest.mark.contract
def test_move(lena: LiveCaller, live: Stack) -> None:
    there = LiveCaller(*new_tenant("Tara"), live.url)
    told = output_of("file_search", there), output_of("functions", there)
    assert all("status: completed" in each for each in told)
    threads = [thread["id"] for thread in there.get("/v1/threads")["data"]]
    moved = dict(
        line.split(" -> ")
        for line in output_of(
            "move", lena, *threads, SOURCE_BASE_URL=there.base_url, SOURCE_API_KEY=there.token
        ).splitlines()
    )
    for old in there.get("/v1/assistants")["data"]:
        new = lena.get(f"/v1/assistants/{moved[old['id']]}")
        for field in ("model", "instructions", "tools", "metadata"):
            assert new[field] == old[field]
        stores = (old["tool_resources"].get("file_search") or {}).get("vector_store_ids") or []
        assert (new["tool_resources"].get("file_search") or {}).get("vector_store_ids", []) == [
            moved[store] for store in stores
        ]
    for thread in threads:
        before, after = (
            [
                (message["role"], message["content"][0]["text"]["value"])
                for message in caller.get(f"/v1/threads/{of}/messages")["data"]
            ]
            for caller, of in ((there, thread), (lena, moved[thread]))
        )
        assert len(before) == 2
        assert after == before
    [file] = [new for old, new in moved.items() if old.startswith("file-")]
    assert lena.get(f"/v1/files/{file}")["filename"] == "handbook.md"


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


def through_guides(caller: LiveCaller, folder: Path, *arguments: str | Path) -> None:
    """Each program of these guides prints what the page shows."""
    told = {"OPENAI_BASE_URL": caller.base_url, "OPENAI_API_KEY": caller.token, "HOLDFAST_TOKEN": caller.token}
    module = "assistant_site.tests.contract.guides"
    ended = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-m", module, *map(str, arguments)],
        env=os.environ | told | {"ADMIN_TOKEN": ADMIN_TOKEN, "PYTHONPATH": str(EXAMPLES.parent)},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert (ended.returncode, ended.stdout.strip()) == (0, ""), ended.stdout + ended.stderr


@pytest.mark.contract
def test_the_programs_of_the_guides_print_what_is_shown(lena: LiveCaller, tmp_path: Path) -> None:
    through_guides(lena, tmp_path, *sorted(GUIDES.glob("*.md")))


@pytest.mark.sandbox
def test_code_interpreter(tmp_path: Path, django_db_setup: None, django_db_blocker: Any) -> None:
    with (
        django_db_blocker.unblock(),
        Stack.workers_of_others_rest(),
        Stack(folder=tmp_path, sandbox=True) as running,
    ):
        wait_until_available(running)
        cora = LiveCaller(*new_tenant("Cora"), running.url)
        lines = output_of("code_interpreter", cora, folder=tmp_path).splitlines()
        through_guides(cora, tmp_path, "--also-not-run", GUIDES / "code-interpreter.md")
    assert [line.rstrip() for line in lines[:3]] == ["status: completed", "printed: a picture", "printed: 75"]
    assert lines[-1] == "saved: sums.xlsx"
    with Image.open(tmp_path / "chart.png") as chart:
        assert chart.format == "PNG"
    assert (tmp_path / "sums.xlsx").read_bytes().startswith(b"PK")
    assert (tmp_path / "sales.png").read_bytes().startswith(b"\x89PNG")
