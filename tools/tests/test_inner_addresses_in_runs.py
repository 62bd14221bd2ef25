"""The table of inner addresses once more, from runs: calls are refused in words, nothing is reached, runs go on."""

import json
import re
import socketserver
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from assistant_site.llm.tests.quirk_server import QuirkServer, called, said
from assistant_site.tests.callers import LiveCaller
from assistant_site.tests.inner_addresses import LOCATIONS, TRIES
from runs.tests.folding import Folded
from tools.openapi import Operation
from tools.openapi_actions.models import Action
from tools.tests.service import Got, Reply, Service

# Those that need no resolver of their own, but for the name that tests may fetch from. Also such as no document may
# have as its server.
URLS = [each for each in TRIES if not each.answers and not re.search("\x00|localhost", each.url, re.IGNORECASE)]
MOST_CALLS = 100  # of one turn


class Listening(socketserver.ThreadingTCPServer):
    """Counts who connects."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self) -> None:
        self.connections = 0
        super().__init__(("127.0.0.1", 0), socketserver.BaseRequestHandler)

    def process_request(self, request: Any, client_address: Any) -> None:
        self.connections += 1
        super().process_request(request, client_address)


@pytest.fixture
def listening() -> Iterator[Listening]:
    with Listening() as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        yield server
        server.shutdown()


def actions_at(lena: LiveCaller, urls: list[str]) -> list[Action]:
    """An action for each address, stored past the judgement of documents."""
    operations = [Operation(f"get_{number}", "GET", url.rstrip("/"), "/", "Gets.") for number, url in enumerate(urls)]
    rows = [Action(tenant=lena.tenant, name=each.operation_id, operation=each.as_json()) for each in operations]
    return Action.objects.insert(rows)


def outputs_of_calls(lena: LiveCaller, actions: list[Action]) -> list[str]:
    """What the model is told of a call of each, all in one turn."""
    with QuirkServer(called(*((action.name, "{}") for action in actions)), said("None worked.")) as provider:
        lena.provided_by(provider.base_url)
        assistant = lena.assistant(tools=[{"type": "action", "id": action.pk} for action in actions])
        events = lena.stream(f"threads/{lena.thread('Go')}/runs", {"assistant_id": assistant})
        messages = provider.requests[-1].body["messages"]
    folded = Folded(events)
    folded.equals_rest(lena)
    assert folded.run["status"] == "completed"
    return [message["content"] for message in messages if message["role"] == "tool"]


def test_there_are_enough_of_them() -> None:
    assert len(URLS) >= 60


@pytest.mark.slow
def test_calls_to_inner_addresses_are_refused_and_the_run_goes_on(lena: LiveCaller, listening: Listening) -> None:
    urls = [each.at(listening.server_address[1]) for each in URLS]
    told: list[str] = []
    for begin in range(0, len(urls), MOST_CALLS):
        told += outputs_of_calls(lena, actions_at(lena, urls[begin : begin + MOST_CALLS]))
    assert len(told) == len(urls)
    wrong = [(url, text) for url, text in zip(urls, told, strict=True) if not text.startswith("The call")]
    assert wrong == []
    assert listening.connections == 0


@pytest.mark.slow
def test_redirects_to_inner_addresses_are_refused_and_the_run_goes_on(lena: LiveCaller, listening: Listening) -> None:
    locations = [location.replace("{port}", str(listening.server_address[1])) for location in LOCATIONS.values()]

    def redirecting(got: Got) -> Reply:
        _, status, number = got.target.strip("/").split("/")
        return Reply(b"", int(status), headers={"Location": locations[int(number)]})

    with Service(redirecting) as service:
        for status in (301, 302, 303, 307, 308):
            urls = [f"{service.url}/to/{status}/{number}" for number in range(len(locations))]
            told = outputs_of_calls(lena, actions_at(lena, urls))
            assert [text for text in told if not text.startswith("The call failed.")] == [], status
    assert listening.connections == 0


def test_other_addresses_of_a_run_are_refused_as_well(lena: LiveCaller, listening: Listening) -> None:
    """The documents of actions, the tokens of OAuth, the servers of MCP."""
    inner = f"http://127.0.0.1:{listening.server_address[1]}"
    document = lena.post("actions", {"openapi_schema": f"{inner}/openapi.json"})
    assert document.status == 400
    assert "not public" in document.error["message"]
    [action] = actions_at(lena, ["https://api.example"])
    action.set_authentication({"type": "oauth2", "client_id": "a", "client_secret": "b", "token_url": f"{inner}/token"})
    action.save()
    [told] = outputs_of_calls(lena, [action])
    assert told == "The call failed. No token could be had for it: The address of 127.0.0.1 is not public."
    direct = lena.post(f"actions/{action.pk}/run", {})
    assert direct.status == 400
    assert "not public" in json.dumps(direct.body)
    assert listening.connections == 0
