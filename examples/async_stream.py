"""Two runs at once, each streamed, in one asynchronous program."""

import asyncio
import os

from openai import AsyncOpenAI

MODEL = os.environ.get("HOLDFAST_MODEL", "demo")
QUESTIONS = {"tides": "What makes the tides?", "fog": "What makes the fog?"}


async def ask(client: AsyncOpenAI, assistant_id: str, name: str, question: str) -> str:
    thread = await client.beta.threads.create(messages=[{"role": "user", "content": question}])
    async with client.beta.threads.runs.stream(thread_id=thread.id, assistant_id=assistant_id) as stream:
        async for _ in stream.text_deltas:
            print(name, end=" ", flush=True)
        return (await stream.get_final_messages())[0].content[0].text.value  # type: ignore[union-attr]


async def main() -> None:
    async with AsyncOpenAI() as client:
        assistant = await client.beta.assistants.create(model=MODEL)
        answers = await asyncio.gather(*(ask(client, assistant.id, *item) for item in QUESTIONS.items()))
    print()
    for answer in answers:
        print(answer)


asyncio.run(main())
