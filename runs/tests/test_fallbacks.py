"""Several providers for one model: who is asked when one fails, and when nobody else may be."""

import asyncio
import contextlib
import time
from collections.abc import Iterator
from typing import Any

import pytest

from assistant_site.llm import transport
from assistant_site.llm.chat import ChatRequest, Endpoint, TextDelta
from assistant_site.llm.errors import TurnFailed
from assistant_site.llm.tests.quirk_server import (
    CUT,
    Answer,
    QuirkServer,
    answering,
    delta,
    refusing,
    said,
    streaming,
)
from assistant_site.tests.callers import PATIENCE_SECONDS, LiveCaller
from runs.asking import events_of
from runs.brought import Brought
from runs.preparing import Prepared
from runs.turn import Turn
from tenants import health
from tenants.models import ApiToken, ModelAlias, Provider
from tenants.routes import Profile, Route

HEL = streaming(delta(content="Hel"), done=False)
CHAT = {"model": "gpt-4-1106-preview", "messages": [{"role": "user", "content": "Hi"}]}


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    health.forget()
    yield
    health.forget()


def asked(*providers: str) -> tuple[str, str, TurnFailed | None]:
    """What providers at these addresses make of a turn: its text, the name of who was asked last, and its failure."""
    routes = [Route(Endpoint(url, "key"), f"theirs-{n}", f"provider_{n}", f"{n}") for n, url in enumerate(providers)]
    prepared = Prepared(routes, ChatRequest("m", [{"role": "user", "content": "Hi"}]), [], Brought(), Profile())
    turn = Turn(1, [])

    async def listen() -> tuple[str, TurnFailed | None]:
        text, failure = "", None
        try:
            async with contextlib.aclosing(events_of(prepared, turn)) as events:
                async for event in events:
                    text += event.text if isinstance(event, TextDelta) else ""
        except TurnFailed as failed:
            failure = failed
        await transport.close_connections()
        return text, failure

    text, failure = asyncio.run(listen())
    assert turn.route is not None
    return text, turn.route.name, failure


@pytest.mark.parametrize(
    "first",
    [
        pytest.param(refusing(429, "rate_limit_exceeded", retry_after="20"), id="its limit"),
        pytest.param(refusing(429, "insufficient_quota"), id="its quota"),
        pytest.param(refusing(500), id="its fault"),
        pytest.param(refusing(401, "invalid_api_key"), id="our credential"),
        pytest.param(refusing(404, "model_not_found", "The model does not exist."), id="no such model"),
        pytest.param(
            refusing(400, message="litellm: Invalid model name passed in model=m"), id="LiteLLM, no such model"
        ),
        pytest.param(refusing(503, message="当前分组 default 下对于模型 m 无可用渠道"), id="One API, no such model"),
        pytest.param(answering({"error": {"message": "Busy.", "type": ""}}), id="an error that says 200"),
        pytest.param(answering(b"<html>", headers={"content-type": "text/html"}), id="a page"),
        pytest.param(streaming(delta(role="assistant", content=""), done=False), id="a stream that only began"),
        pytest.param(Answer((b"data: ", CUT)), id="a broken connection"),
        pytest.param(Answer(before=3_600.0), id="silence"),
        pytest.param(None, id="nobody there"),
    ],
)
def test_the_next_provider_is_asked_at_once(first: Answer | None, settings: Any) -> None:
    settings.LLM_SILENCE_SECONDS = 0.5
    with QuirkServer(first or refusing(500)) as one, QuirkServer(said("Hel", "lo")) as two:
        there = one.base_url if first else "http://127.0.0.1:9/v1"
        assert asked(there, two.base_url) == ("Hello", "1", None)
        assert len(one.requests) == (1 if first else 0)
        assert [request.body["model"] for request in two.requests] == ["theirs-1"]
    assert health.is_cooling("provider_0", "theirs-0")
    assert not health.is_cooling("provider_1", "theirs-1")


@pytest.mark.parametrize(
    ("first", "text", "code"),
    [
        pytest.param(refusing(400, "bad", "Unknown field."), "", "server_error", id="a request that is wrong"),
        pytest.param(refusing(400, "context_length_exceeded"), "", "invalid_prompt", id="a prompt that is too long"),
        pytest.param(Answer((*HEL.pieces, CUT)), "Hel", "server_error", id="after a token"),
        pytest.param(
            Answer((*HEL.pieces, 0.1, *streaming({"error": {"message": "Busy.", "code": 429}}).pieces)),
            "Hel",
            "rate_limit_exceeded",
            id="an error after a token",
        ),
    ],
)
def test_nobody_else_is_asked(first: Answer, text: str, code: str) -> None:
    with QuirkServer(first) as one, QuirkServer(said("Hello")) as two:
        said_so_far, last, failure = asked(one.base_url, two.base_url)
        assert two.requests == []
    assert (said_so_far, last) == (text, "0")
    assert failure is not None
    assert failure.code == code


def test_the_last_ones_failure_is_the_turns(settings: Any) -> None:
    settings.LLM_RETRIES = 1
    with QuirkServer(refusing(500)) as one, QuirkServer(refusing(429, retry_after_ms="1")) as two:
        _, last, failure = asked(one.base_url, two.base_url)
        assert (len(one.requests), len(two.requests)) == (1, 2)  # who is the last gets the usual retries
    assert (last, failure and failure.status) == ("1", 429)


def provider(caller: LiveCaller, name: str, url: str, **fields: Any) -> Provider:
    return Provider.objects.create(tenant=caller.tenant, name=name, base_url=url, embedding_model="off", **fields)


@pytest.fixture
def renamed(lena: LiveCaller) -> LiveCaller:
    ModelAlias.objects.create(tenant=lena.tenant, alias="gpt-4-1106-preview", model="qwen3:32b")
    return lena


def test_a_run_goes_on_elsewhere_and_nobody_notices(renamed: LiveCaller) -> None:
    lena = renamed
    usual = {"model": "gpt-4-1106-preview", "stream": True}
    with QuirkServer(refusing(429)) as one, QuirkServer(said("Hel", "lo")) as two:
        first = provider(lena, "first", one.base_url)
        second = provider(lena, "second", two.base_url, priority=1, model_names=["qwen3:*=Qwen/Qwen3-32B"])
        thread, assistant = lena.thread("Hi"), lena.assistant()
        events = lena.stream(f"threads/{thread}/runs", {"assistant_id": assistant, **usual})
        assert [event.data["model"] for event in events if event.name == "thread.run.completed"] == [usual["model"]]
        deltas = [event.data["delta"]["content"][0]["text"]["value"] for event in events if "delta" in event.name]
        assert "".join(deltas) == "Hello"
        assert [request.body["model"] for request in (*one.requests, *two.requests)] == ["qwen3:32b", "Qwen/Qwen3-32B"]

        assert lena.run(thread, assistant, model=usual["model"])["status"] == "completed"
        assert (len(one.requests), len(two.requests)) == (1, 2)  # the first one rests

    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (Provider.objects.get(pk=second.pk).succeeded_at and Provider.objects.get(pk=first.pk).failed_at):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert "HTTP 429" in Provider.objects.get(pk=first.pk).failure


def test_a_token_with_a_key_of_its_own_spends_nobody_elses(lena: LiveCaller) -> None:
    token = ApiToken.objects.get(tenant=lena.tenant)
    with QuirkServer(refusing(500)) as mine, QuirkServer(said("Theirs")) as theirs:
        provider(lena, "the tenant's", theirs.base_url)
        provider(lena, "own", mine.base_url, token=token)
        failed = lena.call("POST", "chat/completions", {**CHAT, "model": "m"})
        assert (failed.status, len(mine.requests), theirs.requests) == (500, 1, [])


@pytest.mark.parametrize(
    ("first", "asks_on"),
    [
        (refusing(429), True),
        (refusing(401), True),
        (refusing(404, "model_not_found"), True),
        (answering(b"<html>", headers={"content-type": "text/html"}), True),
        (answering({"error": {"message": "Busy.", "type": ""}}), True),
        (Answer((CUT,)), True),
        (streaming({"error": {"message": "Busy."}}), True),
        (refusing(400, "bad", "Unknown field."), False),
        (Answer((*HEL.pieces, CUT)), False),
        (answering({"id": "1", "choices": []}), False),
    ],
)
def test_what_is_handed_on_falls_back_before_its_first_byte(renamed: LiveCaller, first: Answer, asks_on: bool) -> None:
    with QuirkServer(first) as one, QuirkServer(answering({"id": "2", "choices": []})) as two:
        provider(renamed, "first", one.base_url)
        provider(renamed, "second", two.base_url, priority=1)
        answer = renamed.send("POST", "/v1/chat/completions", CHAT)
        assert [request.body for request in one.requests] == [{**CHAT, "model": "qwen3:32b"}]
        assert len(two.requests) == asks_on
        assert (answer.body == {"id": "2", "choices": []}) == asks_on


def test_models_are_those_of_all_who_serve_and_their_other_names(renamed: LiveCaller) -> None:
    listed = answering({"data": [{"id": "qwen3:32b", "created": 7, "owned_by": "library"}, {"id": "hidden"}]})
    with QuirkServer(listed) as one, QuirkServer(refusing(500)) as two:
        provider(renamed, "first", one.base_url, model_names=["qwen*", "said"])
        provider(renamed, "second", two.base_url, priority=1)
        models = {model["id"]: model["owned_by"] for model in renamed.get("models")["data"]}
        assert models == {"said": "provider", "qwen3:32b": "library", "gpt-4-1106-preview": "library"}
        assert renamed.get("models/gpt-4-1106-preview")["created"] == 7
        assert renamed.get("models/hidden").error["code"] == "model_not_found"
