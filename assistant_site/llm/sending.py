"""A `ChatRequest` into the body a provider gets: the rules of sending, and what is left out for whom.

Some features are refused by some providers with a 400 that names them. `refused_features` reads such an answer, and
`Habits` remembers it for an endpoint and model, so that only the first turn pays for the lesson.
"""

import json
import re
import time
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import orjson

from assistant_site.llm.arguments import flaw_in
from assistant_site.llm.chat import ChatRequest, Endpoint, JSONObject
from assistant_site.llm.errors import ProviderError

REMEMBERED_SECONDS = 3_600.0  # then the feature is tried again: providers learn too
REMEMBERED_ENDPOINTS = 1_024
TEXT_BESIDE_CALLS = "…"  # for servers that refuse an empty text beside tool calls: Claude behind some bridges

# Feature -> the names by which a refusal mentions it.
_FEATURES = {
    "stream_options": ("stream_options",),
    "parallel_tool_calls": ("parallel_tool_calls",),
    "max_completion_tokens": ("max_completion_tokens",),
    "max_tokens": ("max_tokens",),
    "strict": ("strict",),
    "developer": ("developer",),
    "reasoning_effort": ("reasoning_effort", "reasoning.effort"),
    "temperature": ("temperature",),
    "top_p": ("top_p",),
    "reasoning": ("reasoning_content", "reasoning", "reasoning_details"),
}
# These are also named by messages about their value, so the message must say that it is the thing itself.
_NEEDS_REFUSING_WORDS = ("max_completion_tokens", "max_tokens", "temperature", "top_p", "reasoning")
_REFUSING_WORDS = re.compile(
    r"unsupported|not support|n't support|unrecogni[sz]ed|unknown|unexpected|not permitted|not allowed|instead|不支持"
)


def body_of(endpoint: Endpoint, request: ChatRequest, without: frozenset[str], *, stream: bool) -> JSONObject:
    """The body of `POST chat/completions`. `without` names features to leave out (a key of `_FEATURES`)."""
    beside_calls = endpoint.quirks.get("tool_call_content", "empty")
    body: JSONObject = {
        "model": request.model,
        "messages": _messages(request.messages, beside_calls, developer="developer" not in without),
    }
    body.update((key, value) for key, value in request.options.items() if value is not None)
    if request.tools:
        body["tools"] = [_tool(tool, strict="strict" not in without) for tool in request.tools]
    else:
        body.pop("tool_choice", None)  # without tools these are refused
        body.pop("parallel_tool_calls", None)
    body["stream"] = stream
    if stream:
        body["stream_options"] = {"include_usage": True}
    for feature in without & body.keys():
        value = body.pop(feature)
        other = {"max_completion_tokens": "max_tokens", "max_tokens": "max_completion_tokens"}.get(feature)
        if other and other not in without:
            body.setdefault(other, value)
    if "strict" in without:
        body = _without_strict_format(body)
    if "reasoning" in without:
        body["messages"] = [_without_reasoning(message) for message in body["messages"]]
    return body


def as_json(body: JSONObject) -> bytes:
    """The body's bytes. What orjson refuses (numbers over 64 bits, lone surrogates) goes out the slow way."""
    try:
        return orjson.dumps(body)
    except TypeError:
        return json.dumps(body).encode()


def _messages(messages: list[JSONObject], beside_calls: str, *, developer: bool) -> list[JSONObject]:
    """One system message at the front; every other in the form that most servers accept."""
    orders = [m for m in messages if m.get("role") in ("system", "developer")]
    rest = [_message(m, beside_calls) for m in messages if m.get("role") not in ("system", "developer")]
    texts = [text for text in (_joined(order.get("content")) for order in orders) if text]
    if not texts:
        return rest
    role = "developer" if developer and orders[0]["role"] == "developer" else "system"
    return [{"role": role, "content": "\n\n".join(texts)}, *rest]


def _message(message: JSONObject, beside_calls: str) -> JSONObject:
    role = message.get("role")
    if role == "tool" and not isinstance(message.get("content"), str):
        return {**message, "content": _joined(message.get("content"))}  # One API's Claude channel loses parts
    if role == "assistant" and message.get("tool_calls"):
        message = {**message, "tool_calls": [_call(call) for call in message["tool_calls"]]}
    if role != "assistant" or message.get("content"):
        return message
    if not message.get("tool_calls") or beside_calls == "empty":
        return {**message, "content": ""}
    if beside_calls == "omit":
        return {key: value for key, value in message.items() if key != "content"}
    return {**message, "content": TEXT_BESIDE_CALLS if beside_calls == "text" else None}


def _call(call: JSONObject) -> JSONObject:
    """A call of the history. vLLM, Ollama and the bridges to Claude refuse arguments that are no JSON object."""
    function = call.get("function")
    if isinstance(function, dict) and flaw_in(str(function.get("arguments") or "")):
        return {**call, "function": {**function, "arguments": "{}"}}
    return call


def _joined(content: object) -> str:
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return "\n".join(str(part.get("text") or "") if isinstance(part, Mapping) else str(part) for part in parts)


def _tool(tool: JSONObject, *, strict: bool) -> JSONObject:
    function = tool.get("function")
    if not isinstance(function, dict):
        return tool
    sent = {key: value for key, value in function.items() if value is not None and (strict or key != "strict")}
    # Missing parameters make One API drop the function, `{}` makes it panic.
    sent["parameters"] = {"type": "object", "properties": {}} | (sent.get("parameters") or {})
    return {**tool, "function": sent}


def _without_strict_format(body: JSONObject) -> JSONObject:
    wanted = body.get("response_format")
    if isinstance(wanted, dict) and isinstance(wanted.get("json_schema"), dict):
        schema = {key: value for key, value in wanted["json_schema"].items() if key != "strict"}
        return {**body, "response_format": {**wanted, "json_schema": schema}}
    return body


def _without_reasoning(message: JSONObject) -> JSONObject:
    return {key: value for key, value in message.items() if key not in _FEATURES["reasoning"]}


def refused_features(error: ProviderError, body: JSONObject) -> frozenset[str]:
    """The features of this body that a 400 (or 422) names as its reason; empty if it has another one."""
    words = error.words
    refusing = _REFUSING_WORDS.search(words) is not None
    return frozenset(
        feature
        for feature, names in _FEATURES.items()
        if _uses(body, feature)
        and any(re.search(rf"(?<![a-z_]){re.escape(name)}(?![a-z_])", words) for name in names)
        and (refusing or feature not in _NEEDS_REFUSING_WORDS)
    )


def _uses(body: JSONObject, feature: str) -> bool:
    if feature == "developer":
        return any(message.get("role") == "developer" for message in body["messages"])
    if feature == "reasoning":  # a model's thoughts in the history: DeepSeek misses them, others do not know them
        return any(not message.keys().isdisjoint(_FEATURES["reasoning"]) for message in body["messages"])
    if feature == "strict":
        schema = (body.get("response_format") or {}).get("json_schema") or {}
        functions = (tool.get("function") for tool in body.get("tools", []))
        return "strict" in schema or any("strict" in function for function in functions if isinstance(function, dict))
    return feature in body


class Habits:
    """What endpoints refused lately, by base URL and model. One process's memory: losing it costs one request."""

    def __init__(self) -> None:
        self._learnt: OrderedDict[tuple[str, str], tuple[float, frozenset[str]]] = OrderedDict()

    def of(self, endpoint: Endpoint, model: str) -> frozenset[str]:
        """The features to leave out, with those the endpoint's quirk `without` names."""
        told = frozenset(part.strip() for part in endpoint.quirks.get("without", "").split(",") if part.strip())
        at, learnt = self._learnt.get((endpoint.base_url, model), (0.0, frozenset[str]()))
        return told | learnt if time.monotonic() - at < REMEMBERED_SECONDS else told

    def remember(self, endpoint: Endpoint, model: str, without: frozenset[str]) -> None:
        self._learnt[endpoint.base_url, model] = (time.monotonic(), without)
        self._learnt.move_to_end((endpoint.base_url, model))
        while len(self._learnt) > REMEMBERED_ENDPOINTS:
            self._learnt.popitem(last=False)


def quirk_is_on(quirks: Mapping[str, Any], name: str) -> bool:
    return str(quirks.get(name, "")).lower() in ("true", "1", "yes", "on")


def quirk_is_off(quirks: Mapping[str, Any], name: str) -> bool:
    return str(quirks.get(name, "")).lower() in ("false", "0", "no", "off")
