"""A plugin of pytest that records what tests exercise of OpenAI's API: `pytest -p documentation.recording`.

It listens to the callers of the tests and to the SDK's HTTP client. What a test did counts once the test has passed,
and an answer only if OpenAI's schema finds it right, so the official document must be there (`HOLDFAST_SPEC`). At
the end of the session `docs/compatibility.json` is written; of several processes each writes its part, and the first
one puts them together.
"""

import functools
import json
import os
import re
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from documentation import results
from documentation.schemas import Schemas

_PREFIX = re.compile(r"^(/api)?/v1(?=/)")
_FIELD = re.compile(rb'(?<!file)name="([^"]+)"')
_TESTS_NAMED = 3


def properties_of(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """The path of each property in a JSON value, as `tools[].function.name`, with its value."""
    if isinstance(value, list):
        for each in value:
            yield from properties_of(each, f"{path}[]")
    elif isinstance(value, dict):
        for key, each in value.items():
            here = f"{path}.{key}" if path else key
            yield here, each
            yield from properties_of(each, here)


class Recording:
    """What the tests of this process have done. Everything is kept as triples (operation, place, what)."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.patterns = []
        for path, operations in document["paths"].items():
            pattern = re.compile(re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(path)))
            for method, operation in operations.items():
                if method in ("get", "post", "delete"):
                    self.patterns.append((method.upper(), pattern, operation["operationId"], path.count("{")))
        self.patterns.sort(key=lambda row: row[3])  # fixed paths first: /threads/runs is no thread
        self.test = ""
        self.of_test: set[tuple[str, str, str]] = set()
        self.events_of_test: list[list[tuple[str, Any]]] = []
        self.found: set[tuple[str, str, str]] = set()
        self.tests: dict[str, set[str]] = defaultdict(set)
        self.events: dict[str, dict[str, Any]] = {}

    def operation(self, method: str, path: str) -> str | None:
        return next(
            (name for verb, pattern, name, _ in self.patterns if verb == method and pattern.fullmatch(path)), None
        )

    def exchange(self, method: str, url: str, body: Any, status: int, answer: Any) -> None:
        """One request and its answer, as far as it is JSON."""
        from assistant_site.tests import official

        parts = urlsplit(url)
        operation = self.operation(method, _PREFIX.sub("", parts.path))
        if operation is None:
            return
        self.of_test.add((operation, "status", str(status)))
        if not 200 <= status < 300:
            return
        for name, _ in parse_qsl(parts.query, keep_blank_values=True):
            self.of_test.add((operation, "parameters", name))
        if isinstance(body, bytes):
            names = {name.decode() for name in _FIELD.findall(body)}
            sent: Iterator[tuple[str, Any]] = ((re.sub(r"\[(\w+)\]", r".\1", name), "") for name in names)
        else:
            sent = properties_of(body)
        for path, _ in sent:
            self.of_test.add((operation, "body", path))
        if isinstance(answer, dict):
            try:
                official.answer_conforms(method, parts.path, status, answer)
            except AssertionError:
                return
            for path, value in properties_of(answer):
                if value is not None:
                    self.of_test.add((operation, "answer", path))

    def stream(self, events: list[tuple[str, Any]]) -> None:
        self.events_of_test.append(events)

    def passed(self) -> None:
        """Keeps what the test did."""
        self.found |= self.of_test
        for operation, _, _ in self.of_test:
            self.tests[operation].add(re.sub(r"\[.*", "", self.test))
        for stream in self.events_of_test:
            for at, (name, data) in enumerate(stream):
                known = self.events.setdefault(name, {"properties": {}, "followed_by": []})
                for path, value in properties_of(data):
                    if not (kind := _kind(value)) or "metadata." in path or "tools[]." in path:
                        continue
                    kinds = known["properties"].setdefault(path, [])
                    known["properties"][path] = sorted({*kinds, kind})
                if at + 1 < len(stream):
                    known["followed_by"] = sorted({*known["followed_by"], stream[at + 1][0]})

    def told(self) -> dict[str, Any]:
        return {
            "found": sorted(self.found),
            "tests": {operation: sorted(tests) for operation, tests in self.tests.items()},
            "events": self.events,
        }


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    kinds = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object"}
    return kinds[type(value)]


def put_together(document: dict[str, Any], parts: list[dict[str, Any]], served: set[str]) -> dict[str, Any]:
    """What goes into the file. `served`: the ids of OpenAI's operations that Holdfast has."""
    schemas = Schemas(document)
    found = {tuple(row) for part in parts for row in part["found"]}
    operations = []
    objects: dict[str, set[str]] = defaultdict(set)  # what was met of each object, in whatever answer it came
    for path, of_path in document["paths"].items():
        for method, operation in of_path.items():
            if method not in ("get", "post", "delete"):
                continue
            name = operation["operationId"]
            if name in ("createChatCompletion", "createEmbedding"):  # handed on as they are, whatever is in them
                continue
            tests = sorted({test for part in parts for test in part["tests"].get(name, ())})
            tests.sort(key=lambda test: "contract" not in test)
            row: dict[str, Any] = {
                "operation": name,
                "method": method.upper(),
                "path": path,
                "served": name in served,
                "statuses": sorted(int(what) for of, place, what in found if (of, place) == (name, "status")),
                "tests": sorted(tests[:_TESTS_NAMED]),
            }
            known = {
                "parameters": [each["name"] for each in operation.get("parameters", ()) if each["in"] == "query"],
                "body": _paths(schemas, operation.get("requestBody", {})),
                "answer": _paths(schemas, operation["responses"].get("200", {})),
            }
            for place, paths in known.items():
                met = {what for of, at, what in found if (of, at) == (name, place)}
                met |= {what.removesuffix("[]") for what in met}
                row[place] = {
                    "shown": [each for each in paths if each in met],
                    "not_shown": [each for each in paths if each not in met],
                }
                if place == "answer" and (of := _object(schemas, operation)):
                    row["object"], is_list = of
                    objects[row["object"]] |= {what.removeprefix("data[].") if is_list else what for what in met}
            operations.append(row)
    events: dict[str, dict[str, Any]] = {}
    for part in parts:
        for name, told in part["events"].items():
            event = events.setdefault(name, {"properties": {}, "followed_by": []})
            event["followed_by"] = sorted({*event["followed_by"], *told["followed_by"]})
            for path, kinds in told["properties"].items():
                event["properties"].setdefault(path, set()).update(kinds)
    for event in events.values():
        event["properties"] = {path: " or ".join(sorted(kinds)) for path, kinds in sorted(event["properties"].items())}
    told_of = {}
    for name, met in sorted(objects.items()):
        paths = [each.path for each in schemas.properties({"$ref": f"#/components/schemas/{name}"})]
        told_of[name] = {
            "shown": [each for each in paths if each in met],
            "not_shown": [each for each in paths if each not in met],
        }
    return {
        "document": document["info"]["version"],
        "objects": told_of,
        "operations": operations,
        "events": dict(sorted(events.items())),
    }


def _object(schemas: Schemas, operation: dict[str, Any]) -> tuple[str, bool] | None:
    """The name of the object that an operation answers, and whether it answers a list of them."""
    content = operation["responses"].get("200", {}).get("content", {}).get("application/json")
    if not content:
        return None
    name, whole = schemas.resolved(content["schema"])
    items = whole.get("properties", {}).get("data", {}).get("items")
    if items and (of := schemas.resolved(items)[0]):
        return of, True
    return (name, False) if name else None


def _paths(schemas: Schemas, told: dict[str, Any]) -> list[str]:
    for kind, content in told.get("content", {}).items():
        if kind in ("application/json", "multipart/form-data"):
            return [each.path for each in schemas.properties(content["schema"])]
    return []


# --- The plugin ---------------------------------------------------------------------------------------------------

_PARTS = "HOLDFAST_RECORDED"  # the folder of the parts, for the processes of one session
_recording: list[Recording] = []


def pytest_configure(config: pytest.Config) -> None:
    if _PARTS not in os.environ:
        os.environ[_PARTS] = tempfile.mkdtemp(prefix="holdfast-recorded-")


def pytest_collection_finish(session: pytest.Session) -> None:
    """Listens from here on: the callers can be imported now."""
    from assistant_site.tests import callers, official

    document = official.document()
    if document is None:
        pytest.exit("OpenAI's document is not there: HOLDFAST_SPEC names the folder that has it.", returncode=2)
    if _recording or not session.items:
        return
    recording = Recording(document)
    _recording.append(recording)
    for caller in (callers.LocalCaller, callers.LiveCaller):
        _listen(caller, recording)
    reading = callers.read_events

    def read_events(raw: bytes) -> list[callers.Event]:
        events = reading(raw)
        recording.stream([(event.name, event.data) for event in events])
        return events

    callers.read_events = read_events
    _listen_to_sdk(recording)


def _listen(caller: Any, recording: Recording) -> None:
    sending = caller.send

    @functools.wraps(sending)
    def send(self: Any, method: str, path: str, body: Any = None, **headers: str) -> Any:
        answer = sending(self, method, path, body, **headers)
        recording.exchange(method, path, body, answer.status, answer.body)
        return answer

    caller.send = send


def _listen_to_sdk(recording: Recording) -> None:
    import httpx2

    sending = httpx2.Client.send

    @functools.wraps(sending)
    def send(self: httpx2.Client, request: httpx2.Request, **options: Any) -> httpx2.Response:
        answer = sending(self, request, **options)
        try:
            sent: Any = request.content
        except httpx2.RequestNotRead:
            return answer
        if "json" in request.headers.get("content-type", ""):
            sent = json.loads(sent or b"null")
        told = None
        if "json" in answer.headers.get("content-type", "") and not options.get("stream"):
            told = answer.json()
        recording.exchange(request.method, str(request.url), sent, answer.status_code, told)
        return answer

    httpx2.Client.send = send  # type: ignore[method-assign]


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    for recording in _recording:
        recording.test, recording.of_test, recording.events_of_test = item.nodeid, set(), []


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: "pytest.CallInfo[None]") -> Any:
    report = yield
    if call.when == "call" and report.passed:
        for recording in _recording:
            recording.passed()
    return report


def pytest_sessionfinish(session: pytest.Session) -> None:
    folder = Path(os.environ[_PARTS])
    for recording in _recording:
        (folder / f"{os.getpid()}.json").write_text(json.dumps(recording.told()))


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    if hasattr(config, "workerinput"):
        return
    from assistant_site.tests import official

    parts = [json.loads(part.read_text()) for part in sorted(Path(os.environ[_PARTS]).glob("*.json"))]
    document = official.document()
    if parts and document is not None:
        from documentation import endpoints

        described = endpoints.document()["paths"].values()
        served = {operation["operationId"] for operations in described for operation in operations.values()}
        together = put_together(document, parts, served)
        shutil.rmtree(os.environ[_PARTS])
        results.FILE.write_text(json.dumps(together, indent=1, ensure_ascii=False) + "\n")
