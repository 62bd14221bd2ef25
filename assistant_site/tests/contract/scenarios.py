"""Every way a run can go, with the model that makes it go so; both SDKs' helpers are sent through all of them."""

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from assistant_site.llm.tests.quirk_server import (
    CUT,
    HANG,
    Answer,
    Request,
    called,
    delta,
    refusing,
    said,
    streaming,
)

TOOLS = [{"type": "function", "function": {"name": "lookup", "parameters": {"type": "object", "properties": {}}}}]


@dataclass(frozen=True)
class Scenario:
    """`turns` are the model's answers. `why` is the last error's code, or the reason why the run is incomplete.

    `rounds` says how often outputs are asked for. With `ended` the caller cancels the run or leaves its stream, or its
    time ends, `speaking` (as soon as the model says or calls something) or `waiting` (for the last outputs that it asks
    for).
    """

    turns: tuple[Answer, ...]
    status: str = "completed"
    why: str | None = None
    rounds: int = 0
    ended: Literal[
        "", "left speaking", "cancelled speaking", "cancelled waiting", "expired speaking", "expired waiting"
    ] = ""
    body: dict[str, Any] = field(default_factory=dict)


def turn(*texts: str, calls: tuple[str, ...] = (), finish: str = "tool_calls", spent: tuple[int, int]) -> Answer:
    """Texts, then calls of these functions, and what they cost."""
    opened = [
        {"index": index, "id": f"call_{index}", "type": "function", "function": {"name": name, "arguments": "{}"}}
        for index, name in enumerate(calls)
    ]
    usage = {"prompt_tokens": spent[0], "completion_tokens": spent[1], "total_tokens": sum(spent)}
    return streaming(
        *(delta(content=text) for text in texts),
        *(delta(tool_calls=[call]) for call in opened),
        delta(finish),
        {"id": "c", "choices": [], "usage": usage},
    )


def broken(*chunks: object, end: Literal["cut", "hang"] = CUT) -> Answer:
    """An answer that breaks off behind these chunks, or falls silent."""
    return Answer((*streaming(*chunks, done=False).pieces, 0.1, end))


FOUND = said("Found ", "it: ", "42.")
ONE_CALL = called(("lookup", '{"key": "first"}'))
TWO_CALLS = called(("lookup", '{"key": "first"}'), ("lookup", '{"key": "zweiter 🎉"}'))
HALF_A_TEXT = (delta(role="assistant", content="Half "), delta(content="a text"))
HALF_A_CALL = (
    delta(tool_calls=[{"index": 0, "id": "c", "type": "function", "function": {"name": "lookup", "arguments": ""}}]),
    delta(tool_calls=[{"index": 0, "function": {"arguments": '{"ke'}}]),
)
UNTRIED = {"retry_after": "60"}  # longer than the server waits, so it does not ask again

SCENARIOS = {
    "text": Scenario((said("Grüße ", "你好 ", "🎉"),)),
    "silence": Scenario((streaming(delta(role="assistant", content=""), delta("stop")),)),
    "refusal": Scenario((streaming(delta(refusal="I cannot "), delta(refusal="do that."), delta("stop")),)),
    "refusal and text": Scenario(
        (
            streaming(
                delta(refusal="no "), delta(refusal="way"), delta(content="te"), delta(content="xt"), delta("stop")
            ),
        )
    ),
    # --- Calls
    "one call": Scenario((ONE_CALL, FOUND), rounds=1),
    "parallel calls": Scenario((TWO_CALLS, FOUND), rounds=1),
    "text before calls": Scenario(
        (turn("Let me ", "look.", calls=("lookup", "lookup"), spent=(20, 10)), FOUND), rounds=1
    ),
    "two rounds": Scenario((ONE_CALL, TWO_CALLS, FOUND), rounds=2),
    "calls the server answers": Scenario(
        (turn("Let me ", "see.", calls=("nothing", "no_more"), spent=(20, 10)), called(("nothing", "{}")), FOUND)
    ),
    "calls of both kinds": Scenario((turn("Hm.", calls=("nothing", "lookup"), spent=(20, 10)), FOUND), rounds=1),
    # --- Token budgets
    "max_completion_tokens": Scenario(
        (said("A long ", "story", finish="length", usage=(10, 256)),),
        "incomplete",
        "max_completion_tokens",
        body={"max_completion_tokens": 256},
    ),
    "max_completion_tokens in a call": Scenario(
        (streaming(*HALF_A_CALL, delta("length")),),
        "incomplete",
        "max_completion_tokens",
        body={"max_completion_tokens": 256},
    ),
    "max_completion_tokens before the outputs": Scenario(
        (turn("Hm.", calls=("lookup",), spent=(10, 256)), FOUND),
        "incomplete",
        "max_completion_tokens",
        rounds=1,
        body={"max_completion_tokens": 256},
    ),
    "max_prompt_tokens": Scenario(
        (turn("Hm.", calls=("nothing",), spent=(300, 10)), FOUND),
        "incomplete",
        "max_prompt_tokens",
        body={"max_prompt_tokens": 256},
    ),
    "max_prompt_tokens before the outputs": Scenario(
        (turn("Hm.", calls=("lookup",), spent=(300, 10)), FOUND),
        "incomplete",
        "max_prompt_tokens",
        rounds=1,
        body={"max_prompt_tokens": 256},
    ),
    # --- Failures
    "rate limit": Scenario((refusing(429, **UNTRIED),), "failed", "rate_limit_exceeded"),
    "server error": Scenario((refusing(500, **UNTRIED),), "failed", "server_error"),
    "text broken off": Scenario((broken(*HALF_A_TEXT),), "failed", "server_error"),
    "error in the text": Scenario(
        (broken(*HALF_A_TEXT, {"error": {"message": "boom", "code": None}}),), "failed", "server_error"
    ),
    "call broken off": Scenario((broken(*HALF_A_CALL),), "failed", "server_error"),
    "content filter": Scenario((said("I ", "will", finish="content_filter"),), "failed", "server_error"),
    "server error behind the outputs": Scenario(
        (TWO_CALLS, refusing(500, **UNTRIED)), "failed", "server_error", rounds=1
    ),
    "text broken off behind text": Scenario(
        (turn("Hm.", calls=("nothing",), spent=(20, 10)), broken(*HALF_A_TEXT)), "failed", "server_error"
    ),
    # --- Left, or ended by the caller or by time
    "text nobody listens to": Scenario(
        (Answer((*said("Nobody ").pieces[:2], 0.5, *said("listens.").pieces[1:])),), ended="left speaking"
    ),
    "cancelled in a text": Scenario((broken(*HALF_A_TEXT, end=HANG),), "cancelled", ended="cancelled speaking"),
    "cancelled in a call": Scenario((broken(*HALF_A_CALL, end=HANG),), "cancelled", ended="cancelled speaking"),
    "cancelled waiting": Scenario((TWO_CALLS,), "cancelled", rounds=1, ended="cancelled waiting"),
    "cancelled waiting again": Scenario((ONE_CALL, ONE_CALL), "cancelled", rounds=2, ended="cancelled waiting"),
    "expired waiting": Scenario((ONE_CALL,), "expired", rounds=1, ended="expired waiting"),
    "expired in a text": Scenario(
        (ONE_CALL, broken(*HALF_A_TEXT, end=HANG)), "expired", rounds=1, ended="expired speaking"
    ),
}


def play(request: Request) -> Answer:
    """The model: the last user message names the scenario, what follows it says how many turns it has taken."""
    messages = request.body["messages"]
    asked = max(at for at, message in enumerate(messages) if message["role"] == "user")
    taken: int = sum(message["role"] == "assistant" for message in messages[asked:])
    name: str = messages[asked]["content"]
    return SCENARIOS[name].turns[taken]


# The helpers that differ from others only in how a run begins are sent through these.
SOME = ["text", "one call", "max_completion_tokens", "rate limit", "cancelled in a text", "expired waiting"]


def told() -> list[dict[str, Any]]:
    """The scenarios as another language's program needs them."""
    return [
        {
            "name": name,
            "is_for_all": name in SOME,
            **{key: value for key, value in asdict(scenario).items() if key != "turns"},
        }
        for name, scenario in SCENARIOS.items()
    ]
