"""A program as people wrote it against the hosted API: nothing but `openai`, any version since 1.40.

    python old_program.py BASE_URL TOKEN [MODEL]

Creates an assistant with a function, talks to it with the streaming helpers and with the polling ones, reads
everything back, deletes it. Ends with 0 if all was as promised.
"""

# mypy: ignore-errors
import json
import sys
import warnings

warnings.simplefilter("ignore", DeprecationWarning)

import openai
from openai import AssistantEventHandler, OpenAI

base_url, token = sys.argv[1:3]
model = sys.argv[3] if len(sys.argv) > 3 else "demo"
client = OpenAI(base_url=base_url, api_key=token, max_retries=0)
print("openai", openai.__version__)

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


class Handler(AssistantEventHandler):
    """Collects what it sees and answers functions while the first stream is still open, as the documentation shows."""

    def __init__(self):
        super().__init__()
        self.text = ""
        self.events = []
        self.done_text = None

    def on_event(self, event):
        self.events.append(event.event)
        if event.event == "thread.run.requires_action":
            self.answer(event.data)

    def on_text_delta(self, delta, snapshot):
        self.text += delta.value or ""

    def on_text_done(self, text):
        self.done_text = text.value

    def answer(self, run):
        outputs = [
            {"tool_call_id": call.id, "output": "sunny in " + json.loads(call.function.arguments)["city"]}
            for call in run.required_action.submit_tool_outputs.tool_calls
        ]
        follow_up = Handler()
        with client.beta.threads.runs.submit_tool_outputs_stream(
            thread_id=run.thread_id, run_id=run.id, tool_outputs=outputs, event_handler=follow_up
        ) as stream:
            stream.until_done()
        self.follow_up = follow_up


assistant = client.beta.assistants.create(model=model, name="Old", instructions="Help.", tools=[WEATHER])
assert client.beta.assistants.retrieve(assistant.id) == assistant
assert assistant.id in [each.id for each in client.beta.assistants.list(limit=5)]

# Streamed, with two parallel calls.
thread = client.beta.threads.create(metadata={"old": "yes"})
client.beta.threads.messages.create(
    thread.id, role="user", content='Weather?\ncall:get_weather {"city": "Paris"}\ncall:get_weather {"city": "北京"}'
)
handler = Handler()
with client.beta.threads.runs.stream(thread_id=thread.id, assistant_id=assistant.id, event_handler=handler) as stream:
    stream.until_done()
assert handler.events[:3] == ["thread.run.created", "thread.run.queued", "thread.run.in_progress"], handler.events
assert handler.events[-1] == "thread.run.requires_action", handler.events
seen = handler.follow_up
assert seen.events[0] == "thread.run.step.completed", seen.events
assert seen.events[-1] == "thread.run.completed", seen.events
stored = client.beta.threads.messages.list(thread.id, limit=1).data[0]
assert seen.text == seen.done_text == stored.content[0].text.value, (seen.text, stored)
assert "Paris" in seen.text
assert "北京" in seen.text
final = seen.get_final_run() if hasattr(seen, "get_final_run") else client.beta.threads.runs.list(thread.id).data[0]
assert final.status == "completed"
assert [m.id for m in seen.get_final_messages()] == [stored.id]

run = client.beta.threads.runs.retrieve(final.id, thread_id=thread.id)
steps = client.beta.threads.runs.steps.list(run_id=run.id, thread_id=thread.id, order="asc").data
assert [step.type for step in steps] == ["tool_calls", "message_creation"], steps
assert [call.function.output for call in steps[0].step_details.tool_calls] == ["sunny in Paris", "sunny in 北京"]
assert run.usage.total_tokens == sum(step.usage.total_tokens for step in steps)
assert client.beta.threads.runs.steps.retrieve(steps[1].id, run_id=run.id, thread_id=thread.id) == steps[1]

# Polled.
client.beta.threads.messages.create(thread.id, role="user", content="Thanks")
run = client.beta.threads.runs.create_and_poll(thread_id=thread.id, assistant_id=assistant.id, metadata={"n": "2"})
assert run.status == "completed", run
assert run.metadata == {"n": "2"}
run = client.beta.threads.create_and_run_poll(
    assistant_id=assistant.id,
    thread={"messages": [{"role": "user", "content": 'call:get_weather {"city": "Rome"}'}]},
)
assert run.status == "requires_action", run
call = run.required_action.submit_tool_outputs.tool_calls[0]
run = client.beta.threads.runs.submit_tool_outputs_and_poll(
    thread_id=run.thread_id, run_id=run.id, tool_outputs=[{"tool_call_id": call.id, "output": "rain"}]
)
assert run.status == "completed", run
with client.beta.threads.create_and_run_stream(
    assistant_id=assistant.id, thread={"messages": [{"role": "user", "content": "Hi"}]}
) as stream:
    text = "".join(stream.text_deltas)
    finals = stream.get_final_messages()
assert text == finals[0].content[0].text.value

# Everything else an old program touches.
assert [m.role for m in client.beta.threads.messages.list(thread.id, order="asc")] == [
    "user",
    "assistant",
    "user",
    "assistant",
]
message = client.beta.threads.messages.list(thread.id, run_id=final.id).data[0]
assert client.beta.threads.messages.update(message.id, thread_id=thread.id, metadata={"a": "b"}).metadata == {"a": "b"}
assert client.beta.threads.messages.retrieve(message.id, thread_id=thread.id).metadata == {"a": "b"}
assert client.beta.threads.update(thread.id, metadata={"c": "d"}).metadata == {"c": "d"}
assert client.beta.assistants.update(assistant.id, name="New").name == "New"
assert len(list(client.beta.threads.runs.list(thread.id, limit=1))) == 2
try:
    client.beta.threads.runs.cancel(final.id, thread_id=thread.id)
    raise AssertionError("a completed run was cancelled")
except openai.BadRequestError as error:
    assert "Cannot cancel run with status 'completed'." in str(error)
try:
    client.beta.threads.retrieve("thread_none")
    raise AssertionError("found what is not there")
except openai.NotFoundError as error:
    assert error.body["message"] == "No thread found with id 'thread_none'."
try:
    OpenAI(base_url=base_url, api_key="wrong", max_retries=0).beta.assistants.list()
    raise AssertionError("a wrong key was taken")
except openai.AuthenticationError as error:
    assert error.code == "invalid_api_key"
assert client.beta.threads.messages.delete(message.id, thread_id=thread.id).deleted
assert client.beta.threads.delete(thread.id).deleted
assert client.beta.assistants.delete(assistant.id).deleted

models = [each.id for each in client.models.list()]
assert models
assert client.models.retrieve(models[0]).id == models[0]
answer = client.chat.completions.create(model=models[0], messages=[{"role": "user", "content": "Hi"}])
assert answer.choices[0].message.content
chunks = list(
    client.chat.completions.create(model=models[0], messages=[{"role": "user", "content": "Hi"}], stream=True)
)
assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
assert len(client.embeddings.create(model=models[0], input=["a", "b"]).data) == 2
print("all right")
