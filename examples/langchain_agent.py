"""An assistant as an agent of LangChain, which carries out the calls of its tools; Holdfast keeps thread and run."""

import os

from langchain_classic.agents import AgentExecutor
from langchain_classic.agents.openai_assistant import OpenAIAssistantRunnable
from langchain_core.tools import tool

MODEL = os.environ.get("HOLDFAST_MODEL", "demo")
# The line `call:` is for the demo model. A real model decides by itself.
QUESTION = 'What is the weather in Lisbon?\ncall:get_weather {"city": "Lisbon"}'


@tool
def get_weather(city: str) -> dict[str, object]:
    """The weather in a city"""
    return {"city": city, "celsius": 21}


agent = OpenAIAssistantRunnable.create_assistant(
    name="Guide", instructions="You know the weather.", tools=[get_weather], model=MODEL, as_agent=True
)
answer = AgentExecutor(agent=agent, tools=[get_weather]).invoke({"content": QUESTION})
print(answer["output"])
# The thread is there for the next question.
print(agent.invoke({"content": "And who are you?", "thread_id": answer["thread_id"]}).return_values["output"])
