"""The offline token estimate, used wherever no provider told the number.

Real tokenizers fetch their tables from the network at first use and differ from model to model, so none is used. A
text's estimate is its UTF-8 length divided by 3.5, rounded up: English prose has about 4.2 bytes per token, code 3 to
3.5, Chinese and Japanese 3 to 4.5, so the number leans upwards, which is the safe side for budgets. A message costs 4
more for its role and borders, a call's name and id count as text, a picture counts as `IMAGE_TOKENS`, tools count as
their JSON, and the answer's opening costs 3 per request.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import orjson

BYTES_PER_TOKEN = 3.5
MESSAGE_TOKENS = 4
REQUEST_TOKENS = 3
IMAGE_TOKENS = 765  # a picture of 1024 x 1024 in high detail, by OpenAI's published formula


def tokens_of_bytes(length: int) -> int:
    """Tokens of `length` bytes of UTF-8; none for no bytes, at least one for any."""
    return -(-length * 2 // 7)


def text_bytes(text: str) -> int:
    """The UTF-8 length; lone surrogates count as three bytes."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def estimate_text(text: str) -> int:
    """Tokens of a text."""
    return tokens_of_bytes(text_bytes(text))


def estimate_message(message: Mapping[str, Any]) -> int:
    """Tokens of one chat-completions message: its text, pictures and calls, and `MESSAGE_TOKENS` for the rest."""
    length = sum(text_bytes(str(message[key])) for key in ("name", "tool_call_id", "refusal") if message.get(key))
    pictures = 0
    content = message.get("content")
    if isinstance(content, str):
        length += text_bytes(content)
    elif isinstance(content, list):
        for part in content:
            if isinstance(part, Mapping) and part.get("type") in ("image_url", "image_file"):
                pictures += 1
            elif isinstance(part, Mapping):
                length += text_bytes(str(part.get("text") or part.get("refusal") or ""))
    calls = message.get("tool_calls")
    for call in calls if isinstance(calls, list) else ():
        if isinstance(call, Mapping) and isinstance(function := call.get("function"), Mapping):
            length += text_bytes(f"{call.get('id', '')}{function.get('name', '')}{function.get('arguments', '')}")
    return tokens_of_bytes(length) + pictures * IMAGE_TOKENS + MESSAGE_TOKENS


def estimate_request(messages: Iterable[Mapping[str, Any]], tools: Iterable[Mapping[str, Any]] = ()) -> int:
    """Tokens of a whole prompt."""
    offered = list(tools)
    described = tokens_of_bytes(len(orjson.dumps(offered))) if offered else 0
    return REQUEST_TOKENS + described + sum(estimate_message(message) for message in messages)
