"""What the benchmarks' fake model says."""

import asyncio
from typing import Any

import orjson
import pytest

from benchmarks.load.client import Client
from benchmarks.load.talk import FUNCTION, ask_model
from benchmarks.paced_model import USUAL, Pace, Server, answer, pace_of, respond


def request(text: str, *more: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"model": "paced", "messages": [{"role": "user", "content": text}, *more], **fields}


def said(pieces: list[bytes]) -> str:
    events = [orjson.loads(piece.removeprefix(b"data: ")) for piece in pieces]
    return "".join(event["choices"][0]["delta"]["content"] for event in events)


@pytest.mark.parametrize(
    ("texts", "pace"),
    [
        (("paced",), USUAL),
        (("paced-t5-n3-r0",), Pace(0.005, 3, 0)),
        (("tag:x t900-n40-r12-j", "paced-t5-n3-r0"), Pace(0.9, 40, 12, True)),
    ],
)
def test_the_pace_is_in_the_message_or_in_the_models_name(texts: tuple[str, ...], pace: Pace) -> None:
    assert pace_of(*texts) == pace
    assert pace_of(f"paced-{pace}") == pace


def test_an_answer_is_whole_and_has_its_tag() -> None:
    pace, pieces, end = respond(request("tag:a-1 hello", model="paced-t0-n4-r0"))
    assert (pace.tokens, said(pieces)) == (4, "[a-1] w1 w2 w3")
    assert said(pieces) == answer(4, "a-1")
    assert b'"stop"' in end
    assert end.endswith(b"data: [DONE]\n\n")


def test_a_function_is_called_and_what_it_gave_ends_the_answer() -> None:
    asked = request("tag:b call:lookup t0-n3-r0", tools=[FUNCTION])
    _, (piece,), end = respond(asked)
    call = orjson.loads(piece.removeprefix(b"data: "))["choices"][0]["delta"]["tool_calls"][0]
    assert (call["function"]["name"], call["function"]["arguments"]) == ("lookup", '{"key":"b"}')
    assert b'"tool_calls"' in end
    asked["messages"] += [{"role": "assistant", "content": None}, {"role": "tool", "content": "found"}]
    _, pieces, _ = respond(asked)
    assert said(pieces) == "[b] w1 found"
    assert said(pieces) == answer(3, "b", "found")
    _, pieces, _ = respond(request("tag:b call:lookup t0-n3-r0"))
    assert said(pieces) == "[b] w1 w2", "a function that is not offered is not called"


@pytest.mark.parametrize("pace", [Pace(0.01, 5, 200), Pace(0, 3, 0), Pace(0.001, 9, 500, True)])
def test_it_speaks_over_http_at_its_pace(pace: Pace) -> None:
    async def ask() -> tuple[float, float]:
        server = await asyncio.get_running_loop().create_server(Server, "127.0.0.1", 0)
        client = Client(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1")
        try:
            times = await ask_model(client, pace)
            assert (await client.call("GET", "/models"))["active"] == 0
            return times
        finally:
            client.close()
            server.close()

    first, whole = asyncio.run(ask())
    assert pace.first <= first <= whole
    if not pace.is_uneven:
        assert whole >= pace.seconds - 0.001
