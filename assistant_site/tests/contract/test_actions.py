"""Open Assistant API's examples of actions, through the official SDK: only names have changed."""

import json
from typing import Any

import openai
import pytest
import requests

from assistant_site.tests.callers import LiveCaller
from tools.tests.service import Got, Reply, Service, replying

pytestmark = [
    pytest.mark.contract,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]
TOKEN = "a-token-of-the-user"


def bearer_service(got: Got) -> Reply:
    """As https://httpbin.org/bearer answers."""
    sent = got.headers.get("authorization", "")
    if not sent.startswith("Bearer "):
        return replying({}, 401)
    return replying({"authenticated": True, "token": sent.removeprefix("Bearer ")})


def document(url: str) -> dict[str, Any]:
    return {
        "openapi": "3.0.0",
        "info": {"title": "Bearer", "version": "1.0.0"},
        "servers": [{"url": url}],
        "paths": {
            "/bearer": {
                "get": {
                    "operationId": "getBearer",
                    "summary": "Says whether a bearer token was sent.",
                    "responses": {"200": {"description": "It was."}, "401": {"description": "It was not."}},
                }
            }
        },
    }


def test_an_action_with_authentication_at_run_time(lena: LiveCaller) -> None:
    with Service(bearer_service) as service:
        answer = requests.post(
            f"{lena.base_url}/actions",
            headers={"Authorization": f"Bearer {lena.token}"},
            json={"openapi_schema": document(service.url), "use_for_everyone": False},
            timeout=20,
        )
        [action] = answer.json()
        client = openai.OpenAI(base_url=lena.base_url, api_key=lena.token)
        tools: Any = [{"type": "action", "id": action["id"]}]
        assistant = client.beta.assistants.create(
            name="Assistant Demo", instructions="You are a helpful assistant.", tools=tools, model="demo"
        )
        thread = client.beta.threads.create(messages=[{"role": "user", "content": "call:getBearer {}"}])
        without = client.beta.threads.runs.create_and_poll(thread_id=thread.id, assistant_id=assistant.id)
        run = client.beta.threads.runs.create_and_poll(
            thread_id=thread.id,
            assistant_id=assistant.id,
            extra_body={
                "extra_body": {"action_authentications": {action["id"]: {"type": "bearer", "secret": TOKEN}}},
            },
        )
        with client.beta.threads.create_and_run_stream(
            assistant_id=assistant.id,
            thread={"messages": [{"role": "user", "content": "call:getBearer {}"}]},
            extra_body={
                "extra_body": {"action_authentications": {action["id"]: {"type": "bearer", "secret": TOKEN}}},
            },
        ) as stream:
            stream.until_done()
            streamed = stream.get_final_run_steps()
    assert (without.status, run.status) == ("completed", "completed")

    def output(of_run: Any) -> str:
        [_, step] = client.beta.threads.runs.steps.list(run_id=of_run.id, thread_id=thread.id).data
        call: Any = step.step_details
        return str(call.tool_calls[0].function.output)

    assert output(without) == "The service answered 401 Unauthorized.\n{}"
    assert json.loads(output(run)) == {"authenticated": True, "token": "********"}
    details: Any = streamed[0].step_details
    assert json.loads(details.tool_calls[0].function.output) == {"authenticated": True, "token": "********"}
    assert [got.headers.get("authorization") for got in service.got] == [None, f"Bearer {TOKEN}", f"Bearer {TOKEN}"]


def test_an_action_beside_a_function_of_the_caller(lena: LiveCaller) -> None:
    function: Any = {"type": "function", "function": {"name": "lookup"}}
    with Service(bearer_service) as service:
        body = {"openapi_schema": document(service.url), "authentication": {"type": "bearer", "secret": TOKEN}}
        [action] = lena.post("actions", body).body
        client = openai.OpenAI(base_url=lena.base_url, api_key=lena.token)
        tools: Any = [{"type": "action", "id": action["id"]}, function]
        assistant = client.beta.assistants.create(model="demo", tools=tools)
        thread = client.beta.threads.create(messages=[{"role": "user", "content": "call:getBearer {}\ncall:lookup {}"}])
        with client.beta.threads.runs.stream(thread_id=thread.id, assistant_id=assistant.id) as stream:
            stream.until_done()
            run = stream.get_final_run()
        assert run.required_action is not None
        [call] = run.required_action.submit_tool_outputs.tool_calls
        assert call.function.name == "lookup"
        with client.beta.threads.runs.submit_tool_outputs_stream(
            thread_id=thread.id, run_id=run.id, tool_outputs=[{"tool_call_id": call.id, "output": "42"}]
        ) as stream:
            stream.until_done()
            assert stream.get_final_run().status == "completed"
    assert len(service.got) == 1
