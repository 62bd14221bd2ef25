"""What the site is made of: its contents, its Markdown, its generated reference, its links."""

import ast
import hashlib
import inspect
import json
import re
from pathlib import Path
from typing import Any

import pytest

from assistant_site.tests.callers import LocalCaller
from documentation import commands, contents, diagrams, endpoints, events, failures, links, markdown, reference, results
from documentation.contents import DOCS, PROJECT
from documentation.source import Source, source
from documentation.tests.blocks import Block
from documentation.tests.grammars import problems


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    return reference.pages()


@pytest.fixture(scope="module")
def collected() -> Source:
    return source()


@pytest.fixture(scope="module")
def described() -> dict[str, Any]:
    return endpoints.document()


# --- Contents and Markdown ------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_every_page_is_in_the_contents_once(collected: Source) -> None:
    named = [name for section in contents.SECTIONS for name in section.pages]
    assert len(named) == len(set(named))
    there = set(collected.pages) - collected.programs
    # Names of pages that are not there yet are the build's business.
    listed = [
        path for _, paths in contents.in_order(there | {name for name in named if "*" not in name}) for path in paths
    ]
    assert len(listed) == len(set(listed))
    assert there <= set(listed)


def test_a_page_that_is_in_no_section_is_told() -> None:
    named = {name for section in contents.SECTIONS for name in section.pages if "*" not in name}
    with pytest.raises(LookupError, match=r"has no section for stray\.md"):
        contents.in_order(named | {"stray.md"})
    with pytest.raises(LookupError, match=r"not there: index\.md"):
        contents.in_order(named - {"index.md"})


@pytest.mark.slow
def test_links_lead_to_the_same_files_in_the_site(collected: Source) -> None:
    assert "examples/mcp_approval.py.md" in collected.programs
    assert "](examples/mcp_approval.py.md)" in collected.pages["mcp.md"]
    assert "](index.md)" not in markdown.with_links("[a](b.md) `[c](d.md)`\n", lambda target: target)


def test_lists_below_paragraphs_are_lists() -> None:
    page = "Text:\n- one\n  - two\n\n```text\nText\n- none\n```\n"
    assert markdown.with_lists(page) == "Text:\n\n- one\n    - two\n\n```text\nText\n- none\n```\n"


def test_notes_for_authors_are_not_shown() -> None:
    page = "a\n<!-- setup\nx = 1\n-->\n```html\n<!-- stays -->\n```\n"
    assert markdown.without_comments(page) == "a\n```html\n<!-- stays -->\n```\n"


def test_what_is_of_others_is_as_it_was_taken() -> None:
    """The scripts are npm packages' own files, in the versions of `vendored.json`, each beside its licence."""
    theme = PROJECT / "documentation" / "theme"
    listed = json.loads((PROJECT / "documentation" / "vendored.json").read_text())
    assert {file.relative_to(theme).as_posix() for file in theme.rglob("*.js")} == set(listed)
    for name, told in listed.items():
        assert hashlib.sha256((theme / name).read_bytes()).hexdigest() == told["sha256"], name
        assert (theme / name).with_name("LICENSE").is_file()


# --- Links ----------------------------------------------------------------------------------------------------------


def test_dead_ends_are_found(tmp_path: Path) -> None:
    (tmp_path / "b.html").write_text('<h1 id="top">b</h1>')
    (tmp_path / "a.html").write_text(
        '<a href="b.html#top">well</a><a href="b.html#gone">1</a><a href="c.html">2</a><img src="no.png">'
        '<script src="https://example.com/x.js"></script><a href="ftp://example.com">3</a><a href="#nowhere">4</a>'
        '<a href="https://example.com/x">well</a><a href="../outside.html">5</a>'
    )
    found = [problem.split(": ", 1)[1] for problem in links.dead_ends(tmp_path)]
    assert found == [
        "leads to no anchor: b.html#gone",
        "leads to no file: c.html",
        "has an unknown scheme: ftp://example.com",
        "leads to no anchor: #nowhere",
        "leads to no file: ../outside.html",
        "leads to no file: no.png",
        "is loaded from another host: https://example.com/x.js",
    ]
    assert links.check(tmp_path) == 1
    (tmp_path / "a.html").write_text('<a href="b.html#top">well</a>')
    assert links.check(tmp_path) == 0


# --- The generated reference ----------------------------------------------------------------------------------------


@pytest.mark.slow
def test_every_endpoint_has_its_section(pages: dict[str, str], described: dict[str, Any]) -> None:
    text = "".join(pages.values())
    for path, operations in described["paths"].items():
        for verb in operations:
            assert text.count(f"`{verb.upper()} {path}`{{ .endpoint }}") == 1


@pytest.mark.slow
def test_the_blocks_of_the_reference_are_what_they_say(pages: dict[str, str]) -> None:
    for path, text in pages.items():
        for language, body in re.findall(r"^```(\w+)\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
            assert problems(Block(DOCS / "index.md", 1, language, body, None, "", None)) == [], path


@pytest.mark.slow
def test_no_example_of_a_request_breaks_the_grammar(described: dict[str, Any], alice: LocalCaller) -> None:
    """Each curl command of the reference, with ids that do not exist: nothing but these may be wrong."""
    written = endpoints.Endpoints(described, set())
    refused = []
    for path, operations in described["paths"].items():
        for verb, operation in operations.items():
            kind, _ = written.body_of(operation)
            if kind.startswith("multipart") or "mcp" in path or operation["operationId"] in NEED_MORE:
                continue
            filled = re.sub(r"\{(\w+)\}", lambda name: str(endpoints.SAMPLES.get(name[1], f"{name[1]}_abc")), path)
            answer = alice.send(verb.upper(), filled, written.required_of(operation) if verb == "post" else None)
            if answer.status not in (200, 403, 404):
                refused.append((verb, path, answer.status, answer.body))
    assert refused == []


# What the sample is about must be there, or a provider must answer.
NEED_MORE = {"createChatCompletion", "createEmbedding", "listModels", "retrieveModel"}


@pytest.mark.slow
def test_the_sdk_takes_the_examples(pages: dict[str, str]) -> None:
    from openai import OpenAI

    client = OpenAI(base_url="http://127.0.0.1:1/v1", api_key="none")
    count = 0
    for text in pages.values():
        for body in re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
            [call] = [node for node in ast.walk(ast.parse(body)) if isinstance(node, ast.Call) and is_of_client(node)]
            method = eval(ast.unparse(call.func), {"client": client})
            names = {word.arg: None for word in call.keywords if word.arg}
            inspect.signature(method).bind(*[None for _ in call.args], **names)
            count += 1
    assert count > 45


def is_of_client(call: ast.Call) -> bool:
    return ast.unparse(call.func).startswith("client.")


def test_every_event_of_the_streams_is_described() -> None:
    """Those that tests have met, and no state of a run or step is forgotten."""
    described = [event.name for event in events.all_events()]
    assert len(described) == len(set(described))
    met = results.read()["events"]
    assert set(met) <= set(described)
    for name, told in met.items():
        assert set(told["followed_by"]) <= set(described), name


@pytest.mark.slow
def test_the_errors_of_the_code_are_in_the_reference(pages: dict[str, str]) -> None:
    text = pages["reference/errors.md"]
    for sentence in (
        "No thread found with id '…'.",
        "Missing required parameter: '…'.",
        "| `unknown_parameter` |",
        "| `invalid_api_key` |",
        "| `insufficient_quota` |",
        "| `rate_limit_exceeded` |",
        "| `server_error` | Sorry, something went wrong. |",
    ):
        assert sentence.replace("No thread", "No …") in text or sentence in text, sentence
    assert {kind.status for kind in failures.kinds().values()} <= {
        int(each) for each in re.findall(r"^## (\d+)$", text, re.M)
    }


@pytest.mark.slow
def test_every_command_of_ours_is_in_the_reference(pages: dict[str, str]) -> None:
    named = {name for name, _ in commands.own()}
    files = {file.stem for file in PROJECT.glob("*/management/commands/*.py") if not file.stem.startswith("_")}
    assert files - {"documentation"} == named
    assert {f"## {name}\n" for name in named} <= {line + "\n" for line in pages["reference/commands.md"].splitlines()}


# --- Drawings and results -------------------------------------------------------------------------------------------


def test_the_drawings_are_up_to_date() -> None:
    page = diagrams.PAGE.read_text()
    assert diagrams.drawn(page) == page, "draw them again: python -m documentation.diagrams"


def test_what_make_run_starts_is_in_the_drawing_of_processes() -> None:
    page = diagrams.PAGE.read_text()
    drawing = page.partition("## Processes")[2].partition("```mermaid")[2].partition("```")[0]
    started = re.findall(r'Child\(\s*"(\w+)"', (PROJECT / "assistant_site/embedded/supervisor.py").read_text())
    assert {"web", "worker"} <= set(started)
    for name in started:
        assert re.search(rf'\b{name}\["{name}: ', drawing), name


def test_arrows_that_follow_from_others_are_left_out() -> None:
    assert diagrams.without_detours({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == {"a": {"b"}, "b": {"c"}, "c": set()}


def test_the_recorded_operations_are_those_that_are_served(described: dict[str, Any]) -> None:
    from assistant_site.tests.test_openapi import EXTENSIONS

    served = {
        operation["operationId"] for operations in described["paths"].values() for operation in operations.values()
    }
    recorded = {each["operation"]: each for each in results.read()["operations"]}
    theirs = served - EXTENSIONS - {"createChatCompletion", "createEmbedding"}
    assert theirs == {name for name, each in recorded.items() if each["served"]}, "make compatibility"
    for name in theirs:
        assert 200 in recorded[name]["statuses"], f"no test has had a good answer of {name}"


def test_the_table_of_compatibility_is_up_to_date() -> None:
    page = (DOCS / "compatibility.md").read_text()
    assert results.drawn(page) == page, "python -m documentation.results"
