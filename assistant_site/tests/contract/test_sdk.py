"""The official SDK, unchanged, against running processes."""

import asyncio
import contextlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest

from assistant_site.tests.callers import LiveCaller
from assistant_site.wire.errors import RateLimited
from metering import rates
from tenants.models import Tenant

pytestmark = [  # the SDK marks what we exist for as deprecated
    pytest.mark.contract,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]
PROGRAM = Path(__file__).with_name("old_program.py")
FUNCTION: Any = {"type": "function", "function": {"name": "lookup"}}


def test_an_old_program_runs_on(lena: LiveCaller) -> None:
    done = subprocess.run(
        [sys.executable, str(PROGRAM), lena.base_url, lena.token],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_asynchronous_client(lena: LiveCaller) -> None:
    async def program() -> None:
        async with openai.AsyncOpenAI(base_url=lena.base_url, api_key=lena.token) as client:
            assistant = await client.beta.assistants.create(model="demo", tools=[FUNCTION], instructions="x")
            thread = await client.beta.threads.create(
                messages=[{"role": "user", "content": "call:lookup {}\ncall:lookup {}"}]
            )
            async with client.beta.threads.runs.stream(thread_id=thread.id, assistant_id=assistant.id) as stream:
                await stream.until_done()
                run = await stream.get_final_run()
            assert run.status == "requires_action"
            assert run.required_action is not None
            async with client.beta.threads.runs.submit_tool_outputs_stream(
                thread_id=thread.id,
                run_id=run.id,
                tool_outputs=[
                    {"tool_call_id": call.id, "output": "42"}
                    for call in run.required_action.submit_tool_outputs.tool_calls
                ],
            ) as stream:
                text = "".join([piece async for piece in stream.text_deltas])
                run = await stream.get_final_run()
                steps = await stream.get_final_run_steps()
            assert run.status == "completed"
            assert len(steps) >= 1
            page = await client.beta.threads.messages.list(thread.id)
            content: Any = page.data[0].content[0]
            assert content.text.value == text
            polled = await asyncio.gather(
                *(
                    client.beta.threads.create_and_run_poll(
                        assistant_id=assistant.id, thread={"messages": [{"role": "user", "content": str(number)}]}
                    )
                    for number in range(8)
                )
            )
            assert [run.status for run in polled] == ["completed"] * 8

    asyncio.run(program())


def test_polling_follows_the_servers_advice(lena: LiveCaller) -> None:
    """Without `openai-poll-after-ms` the helper would sleep a whole second."""
    client = openai.OpenAI(base_url=lena.base_url, api_key=lena.token)
    raw = client.beta.threads.create_and_run(
        assistant_id=lena.assistant(), thread={"messages": [{"role": "user", "content": "Hi"}]}
    )
    answer = client.beta.threads.runs.with_raw_response.retrieve(raw.id, thread_id=raw.thread_id)
    if answer.parse().status in ("queued", "in_progress"):
        assert answer.headers["openai-poll-after-ms"] == "250"
    assert lena.settled(raw.thread_id, raw.id)["status"] == "completed"
    assert lena.get(f"threads/{raw.thread_id}/runs/{raw.id}").headers.get("openai-poll-after-ms") is None


def test_pages_are_walked_to_their_end(lena: LiveCaller) -> None:
    client = openai.OpenAI(base_url=lena.base_url, api_key=lena.token)
    thread = lena.thread(*[str(number) for number in range(45)])
    texts = [m.content[0].text.value for m in client.beta.threads.messages.list(thread, order="asc", limit=20)]  # type: ignore[union-attr]
    assert texts == [str(number) for number in range(45)]


def test_titles_go_in_the_extra_body(lena: LiveCaller) -> None:
    client = openai.OpenAI(base_url=lena.base_url, api_key=lena.token)
    thread = client.beta.threads.create(messages=[{"role": "user", "content": "Which lamp?"}])
    assert not {"title", "archived"} & set(thread.to_dict())
    client.beta.threads.update(thread.id, extra_body={"title": "Lamps for the hall", "archived": True})
    told = client.beta.threads.retrieve(thread.id).to_dict()
    assert (told["title"], told["archived"]) == ("Lamps for the hall", True)
    found: Any = client.get("/threads", cast_to=object, options={"params": {"search": "LAMP", "archived": "true"}})
    assert [each["id"] for each in found["data"]] == [thread.id]


def test_the_pass_through(lena: LiveCaller) -> None:
    client = openai.OpenAI(base_url=lena.base_url, api_key=lena.token, max_retries=0)
    assert "demo" in [model.id for model in client.models.list()]
    with pytest.raises(openai.NotFoundError) as missing:
        client.models.retrieve("no/such:model")
    assert (missing.value.code, missing.value.param) == ("model_not_found", "model")
    with pytest.raises(openai.RateLimitError):
        client.chat.completions.create(model="demo", messages=[{"role": "user", "content": "fail:429"}])
    with pytest.raises(openai.InternalServerError):
        client.chat.completions.create(model="demo", messages=[{"role": "user", "content": "fail:500"}])
    assert len(client.embeddings.create(model="demo", input="x").data[0].embedding) == 256


class LosesAnswers(httpx2.HTTPTransport):
    """Brings each request to the server, and loses the first answer to each."""

    def __init__(self) -> None:
        super().__init__()
        self.lost: set[str] = set()

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        response = super().handle_request(request)
        key = request.headers.get("idempotency-key", "")
        if request.method == "POST" and key and key not in self.lost:
            self.lost.add(key)
            response.read()
            raise httpx2.ReadError("the connection broke", request=request)
        return response


def test_the_sdks_own_retries_make_no_twins(lena: LiveCaller) -> None:
    """It repeats a POST whose answer was lost; told the header's name, it names its requests."""
    transport = LosesAnswers()
    http = openai.DefaultHttpxClient(transport=transport)
    with openai.OpenAI(base_url=lena.base_url, api_key=lena.token, http_client=http) as client:
        client._idempotency_header = "Idempotency-Key"
        assistant = client.beta.assistants.create(model="demo", name="only one")
        thread = client.beta.threads.create()
        client.beta.threads.messages.create(thread.id, role="user", content="Hi")
        run = client.beta.threads.runs.create_and_poll(thread_id=thread.id, assistant_id=assistant.id)
        assert run.status == "completed"
        with client.beta.threads.runs.stream(thread_id=thread.id, assistant_id=assistant.id) as stream:
            stream.until_done()
            assert stream.get_final_run().status == "completed"
    assert len(transport.lost) == 5
    assert len(lena.get("assistants")["data"]) == 1
    assert len(lena.get(f"threads/{thread.id}/runs")["data"]) == 2
    assert [message["role"] for message in lena.messages(thread.id)] == ["user", "assistant", "assistant"]


def test_a_refusal_at_a_limit_is_waited_for_as_long_as_it_says(lena: LiveCaller) -> None:
    Tenant.objects.filter(pk=lena.tenant.pk).update(requests_per_minute=20)
    limits = rates.of_tenant(Tenant.objects.get(pk=lena.tenant.pk))
    with openai.OpenAI(base_url=lena.base_url, api_key=lena.token, max_retries=5) as client:
        client.beta.assistants.list()  # the connection stands, so that the next request comes at once
        with contextlib.suppress(RateLimited):
            while True:
                rates.admit(limits, costs_tokens=False)
        answer = client.beta.assistants.with_raw_response.list()
    assert answer.retries_taken >= 1
    assert answer.headers["x-ratelimit-limit-requests"] == "20"
