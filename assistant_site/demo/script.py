"""What the demo model answers: a pure function of the request, by the language of docs/demo-model.md."""

import json
import re
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from threading import Lock
from typing import Any, Literal

from assistant_site.demo.schema import plausible
from assistant_site.llm.tokens import BYTES_PER_TOKEN, text_bytes

QUOTED_CHARACTERS = 300
QUOTED_OUTPUT_CHARACTERS = 2_000
ECHOED_MESSAGES = 20
SEARCH = "file_search"  # the one tool that the demo model uses by itself
CITED_PASSAGES = 3
CITED_CHARACTERS = 300

_CALL = re.compile(r"^[ \t]*call:([A-Za-z0-9_.-]+)[ \t]*(\{.*\})?[ \t]*\r?$", re.M)
_THEN = re.compile(r"^[ \t]*then:[ \t]*\r?$", re.M)
_TAG = re.compile(r"\btag:([A-Za-z0-9_-]+)")
_COMMAND = re.compile(r"^[ \t]*call:|\becho:request\b|\bfail:", re.M)
_PASSAGE = re.compile(r"(【\d+:\d+†[^】\n]*】)[^\n]*\n(.*?)(?=\n\n【|\Z)", re.S)
_FAIL = re.compile(r"\bfail:(429|500|hang|midstream)(?:\*(\d+))?")


class BadRequest(ValueError):
    """The request is not a chat completion; `param` says which part."""

    def __init__(self, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.param = param


@dataclass(frozen=True)
class Call:
    name: str
    arguments: str


@dataclass(frozen=True)
class Answer:
    """Either calls or a text. `fault` is what shall go wrong on the way."""

    text: str = ""
    calls: tuple[Call, ...] = ()
    finish: Literal["stop", "length", "tool_calls"] = "stop"
    fault: str = ""


class Faults:
    """Counts `fail:…*N`, per text and in this process only."""

    def __init__(self, kept: int = 1_000) -> None:
        self._seen: OrderedDict[str, int] = OrderedDict()
        self._kept = kept
        self._lock = Lock()

    def of(self, text: str) -> str:
        """The fault that this text asks for now, or nothing."""
        found = _FAIL.search(text)
        if found is None:
            return ""
        if found[2] is None:
            return found[1]
        with self._lock:
            times = self._seen.pop(text, 0)
            self._seen[text] = times + 1
            if len(self._seen) > self._kept:
                self._seen.popitem(last=False)
        return found[1] if times < int(found[2]) else ""


def answer_to(request: Mapping[str, Any], faults: Faults, *, authorized: bool = False) -> Answer:
    """The answer to a chat-completions body. Raises `BadRequest`."""
    messages = request.get("messages")
    if not isinstance(messages, list) or not messages or not all(isinstance(message, dict) for message in messages):
        raise BadRequest("'messages' must be a list of messages that is not empty.", "messages")
    last = next((at for at in reversed(range(len(messages))) if messages[at].get("role") == "user"), -1)
    text = text_of(messages[last].get("content")) if last >= 0 else ""
    after = messages[last + 1 :]
    fault = faults.of(text)
    calls = _calls(request, text, after)
    if calls:
        return Answer(calls=calls, finish="tool_calls", fault=fault)
    said = _text(request, text, messages, after, authorized)
    limit = request.get("max_completion_tokens") or request.get("max_tokens")
    if isinstance(limit, int) and text_bytes(said) > limit * BYTES_PER_TOKEN:
        cut = said.encode("utf-8", "replace")[: int(limit * BYTES_PER_TOKEN)].decode(errors="ignore")
        return Answer(text=cut, finish="length", fault=fault)
    return Answer(text=said, fault=fault)


def text_of(content: object) -> str:
    """The text of a message's content: a string, or the text parts of a list."""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return "\n".join(str(part.get("text") or "") for part in parts if isinstance(part, dict) and "text" in part)


def pictures_in(content: object) -> int:
    """How many pictures a message's content has."""
    parts = content if isinstance(content, list) else []
    return sum(1 for part in parts if isinstance(part, dict) and part.get("type") == "image_url")


def pieces_of(text: str) -> list[str]:
    """The text in the pieces it streams in: a word with the blanks behind it; together they are the text."""
    return re.findall(r"\s*\S+[^\S\n]*\n*|\s+", text)


# --- Calls -----------------------------------------------------------------------------------------------------------


def _calls(request: Mapping[str, Any], text: str, after: list[dict[str, Any]]) -> tuple[Call, ...]:
    offered = _offered(request)
    choice = request.get("tool_choice")
    forced = _forced(choice)
    if forced is not None and forced not in offered:
        raise BadRequest(f"Tool choice '{forced}' is not among the tools of the request.", "tool_choice")
    if choice == "required" and not offered:
        raise BadRequest("'tool_choice' is only allowed when 'tools' are specified.", "tool_choice")
    if choice == "none" or not offered:
        return ()
    calls = _scripted(text, after, offered, forced) or _search(text, after, offered, forced)
    if not calls and (forced is not None or choice == "required"):
        name = forced or next(iter(offered))
        calls = (Call(name, json.dumps(plausible(offered[name], words=text), ensure_ascii=False)),)
    return calls[:1] if request.get("parallel_tool_calls") is False else calls


def _offered(request: Mapping[str, Any]) -> dict[str, object]:
    """The functions of the request, by name, with the schemas of their parameters."""
    tools = request.get("tools")
    functions = [tool.get("function") for tool in (tools if isinstance(tools, list) else []) if isinstance(tool, dict)]
    return {
        str(function["name"]): function.get("parameters") or {"type": "object"}
        for function in functions
        if isinstance(function, dict) and function.get("name")
    }


def _forced(choice: object) -> str | None:
    function = choice.get("function") if isinstance(choice, dict) else None
    return str(function.get("name")) if isinstance(function, dict) else None


def _scripted(
    text: str, after: list[dict[str, Any]], offered: Mapping[str, object], forced: str | None
) -> tuple[Call, ...]:
    """The next calls of the script: those of the turn that holds the first call not made yet."""
    script = [
        (turn, Call(name, arguments or "{}"))
        for turn, part in enumerate(_THEN.split(text))
        for name, arguments in _CALL.findall(part)
        if name in offered and forced in (None, name)
    ]
    made = sum(len(_calls_in(message)) for message in after)
    left = script[made:]
    return tuple(call for turn, call in left if turn == left[0][0])


def _search(
    text: str, after: list[dict[str, Any]], offered: Mapping[str, object], forced: str | None
) -> tuple[Call, ...]:
    """Files are searched for the question itself, once, unless the message says what to do."""
    if SEARCH not in offered or forced not in (None, SEARCH) or _COMMAND.search(text) or not text.strip():
        return ()
    if any(_calls_in(message) for message in after):
        return ()
    return (Call(SEARCH, json.dumps({"queries": [text.strip()]}, ensure_ascii=False)),)


def _calls_in(message: Mapping[str, Any]) -> list[dict[str, Any]]:
    calls = message.get("tool_calls")
    calls = calls if isinstance(calls, list) else []
    return [call for call in calls if isinstance(call, dict) and isinstance(call.get("function"), dict)]


# --- Texts -----------------------------------------------------------------------------------------------------------


def _text(
    request: Mapping[str, Any], text: str, messages: list[dict[str, Any]], after: list[dict[str, Any]], authorized: bool
) -> str:
    results = [message for message in after if message.get("role") == "tool"]
    if "echo:request" in text and not results:
        return _echo(request, messages, authorized)
    wanted = request.get("response_format")
    kind = wanted.get("type") if isinstance(wanted, dict) else None
    if isinstance(wanted, dict) and kind == "json_schema":
        described = wanted.get("json_schema")
        schema = described.get("schema") if isinstance(described, dict) else None
        return json.dumps(plausible(schema or {"type": "object"}, words=text), ensure_ascii=False)
    if kind == "json_object":
        outputs = [text_of(message.get("content")) for message in results]
        return json.dumps({"demo": True, "you_said": text[:QUOTED_CHARACTERS], "outputs": outputs}, ensure_ascii=False)
    tag = _TAG.search(text)
    opening = f"[{tag[1]}] " if tag else ""
    return opening + (_about_results(results, after) if results else _plain(request, text, messages))


def _plain(request: Mapping[str, Any], text: str, messages: list[dict[str, Any]]) -> str:
    told = f"You said: “{_quoted(text, QUOTED_CHARACTERS)}”" if text.strip() else "You said nothing that I could read."
    asked = [message for message in messages if message.get("role") == "user"]
    pictures = pictures_in(asked[-1].get("content")) if asked else 0
    seen = f" You also sent {pictures} picture{'s' * (pictures > 1)}, but I do not see." if pictures else ""
    offered = _offered(request)
    missing = [name for name in dict.fromkeys(name for name, _ in _CALL.findall(text)) if name not in offered]
    uncalled = (
        f" I cannot call {_quoted(', '.join(missing), QUOTED_CHARACTERS)}: "
        f"the request offers {_quoted(', '.join(offered), QUOTED_CHARACTERS) or 'no functions'}."
        if missing
        else ""
    )
    earlier = len(asked) - 1
    remembered = (
        f" Before that I was sent {earlier} earlier message{'s' * (earlier > 1)} of yours." if earlier > 0 else ""
    )
    return (
        f"This is Holdfast's built-in demo model; it understands nothing and only shows that everything works. "
        f"{told}{seen}{uncalled}{remembered}\n\n"
        "To get real answers, set OPENAI_BASE_URL and OPENAI_API_KEY to any OpenAI-compatible provider and restart, "
        "or add a provider for your tenant in the admin."
    )


def _about_results(results: list[dict[str, Any]], after: list[dict[str, Any]]) -> str:
    names = {str(call.get("id")): str(call["function"].get("name")) for message in after for call in _calls_in(message)}
    if set(names.values()) == {SEARCH} and (found := _about_passages(results)):
        return found
    lines = [
        f"- {names.get(str(result.get('tool_call_id')), 'a tool')}: "
        f"{_quoted(text_of(result.get('content')), QUOTED_OUTPUT_CHARACTERS)}"
        for result in results
    ]
    return "The demo model called tools and got these outputs:\n\n" + "\n".join(lines)


def _about_passages(results: list[dict[str, Any]]) -> str:
    """The beginnings of the first passages, each cited by its marker; nothing if none were found."""
    passages = [passage for result in results for passage in _PASSAGE.findall(text_of(result.get("content")))]
    lines = [
        f"- {_quoted(' '.join(words.split()), CITED_CHARACTERS)}{marker}" for marker, words in passages[:CITED_PASSAGES]
    ]
    return "The demo model found this in the files:\n\n" + "\n".join(lines) if lines else ""


def _quoted(text: str, characters: int) -> str:
    text = text.strip()
    return text if len(text) <= characters else text[: characters - 1] + "…"


def _echo(request: Mapping[str, Any], messages: list[dict[str, Any]], authorized: bool) -> str:
    seen = {key: value for key, value in request.items() if key != "messages"}
    seen |= {
        "authorization": "present" if authorized else "absent",  # never the credential itself: it may be the server's
        "message_count": len(messages),
        "messages": messages[-ECHOED_MESSAGES:],
    }
    return json.dumps(seen)
