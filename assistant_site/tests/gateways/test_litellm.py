"""Runs through the real LiteLLM proxy. Behind it is our own provider, which says what it is told, or the demo model."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from assistant_site.llm.tests.quirk_server import (
    CUT,
    Answer,
    QuirkServer,
    Script,
    called,
    delta,
    refusing,
    said,
    streaming,
)
from assistant_site.tests.callers import Event, LiveCaller
from assistant_site.tests.gateways.proxy import LiteLLM
from assistant_site.tests.stack import Stack
from runs.tests.folding import Folded, shape
from tenants.models import Provider

pytestmark = [
    pytest.mark.gateways,
    pytest.mark.skipif(not LiteLLM.is_installed(), reason="LiteLLM is not installed: make gateways installs it"),
]
FUNCTIONS = [
    {"type": "function", "function": {"name": name, "parameters": {"type": "object", "properties": {}}}}
    for name in ("weather", "time")
]
ERROR = {"error": {"message": "overloaded at 10.0.0.1:8000", "type": "server_error", "code": "server_error"}}


@dataclass(frozen=True)
class Gateway:
    """The proxy, and the provider behind its model `told`."""

    proxy: LiteLLM
    upstream: QuirkServer

    def script(self, *answers: Script) -> None:
        self.upstream.script[:] = answers
        self.upstream.requests.clear()

    @property
    def asked(self) -> list[dict[str, Any]]:
        """The bodies of the turns that came through."""
        return [r.body for r in self.upstream.requests if r.path.endswith("/chat/completions")]

    def serve(self, caller: LiveCaller, key: str = "") -> None:
        provider = Provider(tenant=caller.tenant, name="LiteLLM", base_url=self.proxy.base_url)
        provider.set_api_key(key or self.proxy.key)
        provider.save()


@pytest.fixture(scope="module")
def started(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with QuirkServer(said("Hello")) as upstream:
        models = {"told": upstream.base_url, "demo-instant": f"{stack.url}/demo/v1"}
        with LiteLLM(tmp_path_factory.mktemp("litellm"), models) as proxy:
            yield Gateway(proxy, upstream)


@pytest.fixture
def gateway(started: Gateway, lena: LiveCaller) -> Gateway:
    """The running proxy, as Lena's provider."""
    started.serve(lena)
    return started


def ask(lena: LiveCaller, text: str = "Hello", **fields: Any) -> tuple[Folded, list[Event]]:
    """A streamed run in a thread of its own, judged."""
    thread = lena.thread(text)
    events = lena.stream(f"threads/{thread}/runs", {"assistant_id": lena.assistant(**{"model": "told", **fields})})
    folded = Folded(events)
    folded.equals_rest(lena)
    return folded, events


def answer(lena: LiveCaller, run: dict[str, Any], outputs: dict[str, str]) -> Folded:
    path = f"threads/{run['thread_id']}/runs/{run['id']}/submit_tool_outputs"
    given = [{"tool_call_id": id, "output": output} for id, output in outputs.items()]
    folded = Folded(lena.stream(path, {"tool_outputs": given}))
    folded.equals_rest(lena)
    return folded


def pending(run: dict[str, Any]) -> list[dict[str, Any]]:
    calls: list[dict[str, Any]] = run["required_action"]["submit_tool_outputs"]["tool_calls"]
    return calls


def test_a_plain_run(lena: LiveCaller, gateway: Gateway) -> None:
    gateway.script(said("Hel", "lo", usage=(7, 3)))
    folded, events = ask(lena)

    assert shape(events)[-4:] == ["message.completed", "run.step.completed", "run.completed", "done"]
    assert lena.last_text(folded.run["thread_id"]) == "Hello"
    assert (folded.run["usage"]["prompt_tokens"], folded.run["usage"]["completion_tokens"]) == (7, 3)
    [body] = gateway.asked
    assert body["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hello"},
    ]


def test_the_demo_model_behind_it(lena: LiveCaller, gateway: Gateway) -> None:
    text = 'call:weather {"city": "Beijing"}\ncall:time {"zone": 8}'
    folded, _ = ask(lena, text, model="demo-instant", tools=FUNCTIONS)
    calls = pending(folded.run)
    assert [(c["function"]["name"], c["function"]["arguments"]) for c in calls] == [
        ("weather", '{"city": "Beijing"}'),
        ("time", '{"zone": 8}'),
    ]

    ended = answer(lena, folded.run, {calls[0]["id"]: "sunny", calls[1]["id"]: "noon"})

    assert ended.run["status"] == "completed"
    said_last = lena.last_text(folded.run["thread_id"])
    assert "sunny" in said_last
    assert "noon" in said_last


@pytest.mark.parametrize("finish", ["tool_calls", "stop"])
def test_the_whole_tool_loop_with_parallel_calls(lena: LiveCaller, gateway: Gateway, finish: str) -> None:
    two = called(("weather", '{"city": "Beijing"}'), ("time", ""), finish=finish)
    gateway.script(two, called(("weather", '{"city": "Tokyo"}'), finish=finish), said("Sunny in both."))
    first, events = ask(lena, tools=FUNCTIONS)
    assert shape(events)[-2:] == ["run.requires_action", "done"]
    calls = pending(first.run)
    assert [c["function"]["arguments"] for c in calls] == ['{"city": "Beijing"}', "{}"]

    second = answer(lena, first.run, {calls[0]["id"]: "sunny", calls[1]["id"]: "noon"})
    [call] = pending(second.run)
    last = answer(lena, second.run, {call["id"]: "sunny too"})

    assert last.run["status"] == "completed"
    assert lena.last_text(last.run["thread_id"]) == "Sunny in both."
    assert len(gateway.asked) == 3
    turn, sunny, noon = gateway.asked[1]["messages"][-3:]
    assert [(c["id"], c["function"]["name"], c["function"]["arguments"]) for c in turn["tool_calls"]] == [
        (calls[0]["id"], "weather", '{"city": "Beijing"}'),
        (calls[1]["id"], "time", "{}"),
    ]
    assert (sunny["tool_call_id"], sunny["content"]) == (calls[0]["id"], "sunny")
    assert (noon["tool_call_id"], noon["content"]) == (calls[1]["id"], "noon")


def test_thoughts_go_through_and_back(lena: LiveCaller, gateway: Gateway) -> None:
    piece = {"index": 0, "id": "c1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
    gateway.script(
        streaming(delta(reasoning_content="Let me think."), delta(tool_calls=[piece]), delta("tool_calls")),
        said("Sunny."),
    )
    first, _ = ask(lena, tools=FUNCTIONS)
    ended = answer(lena, first.run, {"c1": "sunny"})

    assert ended.run["status"] == "completed"
    [turn] = [message for message in gateway.asked[1]["messages"] if message["role"] == "assistant"]
    assert turn["reasoning_content"] == "Let me think."


def test_arguments_that_are_not_json(lena: LiveCaller, gateway: Gateway) -> None:
    gateway.script(called(("weather", '{"city": "Bei')), said("Never mind."))
    folded, _ = ask(lena, tools=FUNCTIONS)

    assert folded.run["status"] == "completed"
    assert "Unterminated string" in gateway.asked[1]["messages"][-1]["content"]


def test_a_rate_limit_is_waited_for_as_long_as_the_provider_asks(lena: LiveCaller, gateway: Gateway) -> None:
    gateway.script(refusing(429, retry_after="2"), said("Hello"))
    started = time.monotonic()
    folded, _ = ask(lena)

    assert folded.run["status"] == "completed"
    assert len(gateway.asked) == 2
    assert time.monotonic() - started >= 2


def test_a_rate_limit_that_stays(lena: LiveCaller, gateway: Gateway) -> None:
    gateway.script(refusing(429))
    folded, _ = ask(lena)

    assert folded.run["last_error"]["code"] == "rate_limit_exceeded"
    assert len(gateway.asked) == 3


def test_a_quota_is_not_asked_for_again(lena: LiveCaller, gateway: Gateway) -> None:
    gateway.script(refusing(429, "insufficient_quota", "You exceeded your current quota, please check your plan."))
    folded, _ = ask(lena)

    assert folded.run["last_error"]["code"] == "rate_limit_exceeded"
    assert "quota" in folded.run["last_error"]["message"]
    assert len(gateway.asked) == 1


@pytest.mark.parametrize(
    "broken",
    [
        Answer((*streaming(delta(content="Half a "), done=False).pieces, 0.3, *streaming(ERROR, done=False).pieces)),
        Answer((*streaming(delta(content="Half a "), done=False).pieces, 0.3, CUT)),
    ],
    ids=["error", "cut"],
)
def test_an_upstream_that_breaks_in_the_middle(lena: LiveCaller, gateway: Gateway, broken: Answer) -> None:
    gateway.script(broken)
    folded, events = ask(lena)

    assert shape(events)[-4:] == ["message.incomplete", "run.step.failed", "run.failed", "done"]
    assert folded.run["last_error"]["code"] == "server_error"
    assert "10.0.0.1" not in folded.run["last_error"]["message"]
    assert lena.last_text(folded.run["thread_id"]) == "Half a "
    assert len(gateway.asked) == 1


@pytest.mark.parametrize(
    "broken",
    [streaming(ERROR, done=False), Answer((CUT,)), refusing(500), refusing(503)],
    ids=["error", "cut", "500", "503"],
)
def test_an_upstream_that_breaks_at_the_beginning_is_asked_again(
    lena: LiveCaller, gateway: Gateway, broken: Answer
) -> None:
    gateway.script(broken, said("Hello"))
    folded, _ = ask(lena)

    assert folded.run["status"] == "completed"
    assert len(gateway.asked) == 2


def test_a_wrong_key(lena: LiveCaller, started: Gateway) -> None:
    started.serve(lena, key="sk-wrong")
    started.script(said("Hello"))
    folded, _ = ask(lena)

    message = "The model provider refused the server's credential."
    assert folded.run["last_error"] == {"code": "server_error", "message": message}
    assert started.asked == []


def test_a_wrong_key_of_the_gateway_itself(lena: LiveCaller, gateway: Gateway) -> None:
    gateway.script(refusing(401, "invalid_api_key", "Incorrect API key provided: of-the-upstream"))
    folded, _ = ask(lena)

    message = "The model provider refused the server's credential."
    assert folded.run["last_error"] == {"code": "server_error", "message": message}
    assert len(gateway.asked) == 1


def test_an_unknown_model(lena: LiveCaller, gateway: Gateway) -> None:
    gateway.script(said("Hello"))
    folded, _ = ask(lena, model="nobody-has-it")

    assert folded.run["last_error"]["code"] == "server_error"
    assert "nobody-has-it" in folded.run["last_error"]["message"]
    assert gateway.asked == []


def test_a_prompt_that_is_too_long(lena: LiveCaller, gateway: Gateway) -> None:
    sentence = "This model's maximum context length is 9 tokens."
    gateway.script(refusing(400, "context_length_exceeded", sentence))
    folded, _ = ask(lena)

    assert folded.run["last_error"] == {"code": "invalid_prompt", "message": sentence}


def test_its_models_are_listed(lena: LiveCaller, gateway: Gateway) -> None:
    assert {model["id"] for model in lena.get("models")["data"]} == {"told", "demo-instant"}
    assert lena.get("models/told")["id"] == "told"
    assert lena.get("models/nobody-has-it").status == 404


def test_chat_completions_are_handed_on(lena: LiveCaller, gateway: Gateway) -> None:
    gateway.script(said("Hel", "lo"))
    body = {"model": "told", "messages": [{"role": "user", "content": "hi"}], "stream": True}
    response = lena.session.post(
        f"{lena.base_url}/chat/completions", json=body, headers={"Authorization": f"Bearer {lena.token}"}, timeout=20
    )
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/event-stream")
    assert response.text.rstrip().endswith("data: [DONE]")
