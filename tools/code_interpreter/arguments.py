"""The code of a call, out of whatever a model writes as its arguments, also while it still writes.

Asked for is `{"code": "print(1)"}`. That text is told as it comes. What many models write instead (plain Python, a
fence, another key, the object as a string) is only understood when it is whole, and is told then. In every case what is
told is a beginning of what is run.
"""

import ast
import json
import re
from typing import Any

from tools.texts import storable

KEY = "code"
OTHER_KEYS = ("input", "python", "source", "script")
HOW = 'Send a JSON object with the code as a string, such as {"code": "print(1)"}.'

MOST_BEFORE_CODE = 10_000  # characters of other members; if there are more, nothing is told until the end
_OPENING = re.compile(r"\s*\{")
_MEMBER = re.compile(r'[\s,]*"((?:[^"\\]|\\.)*)"\s*:\s*(?=\S)', re.S)
_PLAIN_VALUE = re.compile(r'"(?:[^"\\]|\\.)*"(?=\s*[,}])|[^\s,{}\[\]"]+(?=\s*[,}])', re.S)
_UNIT = re.compile(
    r"(?P<plain>[^\"\\]+)"
    r"|\\u(?P<high>[dD][89abAB][0-9a-fA-F]{2})\\u(?P<low>[dD][c-fC-F][0-9a-fA-F]{2})"
    r"|\\u(?P<code>[0-9a-fA-F]{4})"
    r"|\\(?P<escaped>.)",
    re.S,
)
# An escape, or the first half of a pair, of which more may come.
_CUT = re.compile(
    r"\\(?:u[0-9a-fA-F]{0,3})?\Z"
    r"|\\u[dD][89abAB][0-9a-fA-F]{2}(?:\\(?:u(?:[dD](?:[c-fC-F][0-9a-fA-F]?)?)?)?)?\Z"
)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "/": "/", "\\": "\\", '"': '"', "'": "'"}
_FENCE = re.compile(r"\s*(`{3,}|~{3,})[ \t]*[\w.+-]*[ \t]*\r?\n(.*?)\r?\n?[ \t]*(?:\1[ \t]*\s*)?\Z", re.S)


class Listener:
    """Tells the code under `code` while its JSON is written, cut wherever it may be."""

    def __init__(self) -> None:
        self._rest = ""  # what came and is not understood yet
        self._is_inside = False  # the object
        self._is_lost = False  # the code is no longer looked for
        self._is_deaf = False
        self._blanks: str | None = ""  # those at the code's beginning, until it is seen to be no fence
        self.is_code = False  # the code's string has begun
        self.is_whole = False  # and ended
        self.after = ""  # what came behind it

    def feed(self, text: str) -> dict[str, Any]:
        told = self.hear(text)
        return {"input": told} if told else {}

    def hear(self, text: str) -> str:
        """The code in these characters, as far as it may be told."""
        decoded = self.decode(text)
        if self._blanks is None:
            return "" if self._is_deaf else decoded
        self._blanks += decoded
        begun = self._blanks.lstrip()
        if not begun:
            return ""
        self._is_deaf = begun[0] in "`~"  # a fence inside the string: what is in it is known at its end
        told, self._blanks = self._blanks, None
        return "" if self._is_deaf else told

    def decode(self, text: str) -> str:
        """The code in these characters, as the string has it."""
        if self.is_whole:
            self.after += text
            return ""
        if self._is_lost:
            return ""
        self._rest += text
        if not self.is_code and not self._has_found_code():
            return ""
        decoded, at = [], 0
        while at < len(self._rest):
            if self._rest[at] == '"':
                self.is_whole, self.after, at = True, self._rest[at + 1 :], len(self._rest)
                break
            if _CUT.match(self._rest, at):
                break
            unit = _UNIT.match(self._rest, at)
            assert unit is not None  # a quote and a backslash at the end are the only other characters
            decoded.append(_decoded(unit))
            at = unit.end()
        self._rest = self._rest[at:]
        return storable("".join(decoded))

    def _has_found_code(self) -> bool:
        """Reads on up to the string under `code`."""
        if not self._is_inside:
            opening = _OPENING.match(self._rest)
            if opening is None:
                return False
            self._is_inside, self._rest = True, self._rest[opening.end() :]
        while (member := _MEMBER.match(self._rest)) is not None:
            if member[1] == KEY and self._rest[member.end()] == '"':
                self.is_code, self._rest = True, self._rest[member.end() + 1 :]
                return True
            value = _PLAIN_VALUE.match(self._rest, member.end())
            if value is None:
                break
            self._rest = self._rest[value.end() :]
        self._is_lost = len(self._rest) > MOST_BEFORE_CODE
        return False


def _decoded(unit: re.Match[str]) -> str:
    if unit["plain"] is not None:
        return unit["plain"]
    if unit["high"] is not None:
        return chr(0x10000 + ((int(unit["high"], 16) - 0xD800) << 10) + (int(unit["low"], 16) - 0xDC00))
    if unit["code"] is not None:
        return chr(int(unit["code"], 16))
    # What JSON knows no escape for was most likely meant for Python, such as the \d of a pattern.
    return _ESCAPES.get(unit["escaped"], "\\" + unit["escaped"])


class Unreadable(Exception):
    """There is no code to be found in the arguments; the text says why, for the model."""


def code_of(arguments: str) -> str:
    """The code that is run and stored for a call with these arguments. Raises Unreadable."""
    code = storable(_found(arguments))
    if not code.strip():
        raise Unreadable(f"There was no code to run. {HOW}")
    return code


def flaw(arguments: str) -> str:
    """What is wrong with the arguments, for the model; empty: there is code in them."""
    try:
        code_of(arguments)
    except Unreadable as problem:
        return str(problem)
    return ""


def _found(arguments: str, *, may_be_a_string: bool = True) -> str:
    text = arguments.strip()
    listener = Listener()
    decoded = listener.decode(arguments)
    if listener.is_code:
        if not listener.is_whole:
            raise Unreadable(f"The arguments end in the middle of the code, so nothing was run. {HOW}")
        _check_after(listener.after)
        return unfenced(decoded)
    if text.startswith("{"):
        return unfenced(_under_any_key(text))
    if may_be_a_string and text.startswith('"'):
        try:
            inner = json.loads(text, strict=False)
        except ValueError:
            return text  # Python that begins with a string
        return _found(inner, may_be_a_string=False)
    if text in ("null", "[]", "None"):
        return ""
    return unfenced(text)


def _check_after(after: str) -> None:
    """A string that ends too early was code with quotes that are not escaped."""
    if after.strip() in ("", "}"):
        return
    try:
        json.loads('{"": 0' + after, strict=False)
    except (ValueError, RecursionError):
        begun = after.strip()[:40]
        raise Unreadable(
            f"The arguments are not valid JSON, so nothing was run: behind the code's closing quote stands {begun!r}. "
            f'Escape each quote inside the code, as in {{"code": "print(\\"hi\\")"}}, or use single quotes.'
        ) from None


def _under_any_key(text: str) -> str:
    for parse in (_json, ast.literal_eval):
        try:
            given = parse(text)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
        values = [given.get(key) for key in (KEY, *OTHER_KEYS)] if isinstance(given, dict) else []
        for value in values:
            if isinstance(value, str):
                return value
        raise Unreadable(f"The arguments have no text under `code`, so nothing was run. {HOW}")
    raise Unreadable(f"The arguments could not be read, so nothing was run. {HOW}")


def _json(text: str) -> Any:
    return json.loads(text, strict=False)


def unfenced(code: str) -> str:
    """The code without the Markdown fence around it."""
    fence = _FENCE.match(code)
    return fence[2] if fence else code
