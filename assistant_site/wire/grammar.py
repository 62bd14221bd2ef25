"""The grammar of validation errors: every sentence, code and param, in one place.

Texts and codes as measured on the hosted API. A `Fault` knows what is wrong; where it is wrong (its path) grows while
it rises through the containers that hold the value.
"""

from collections.abc import Callable, Iterable
from typing import Any

from assistant_site.wire.errors import InvalidRequest


class Fault(Exception):
    """A value that breaks the grammar. `sentence` gets the finished path, such as `messages[0].role`."""

    def __init__(
        self, code: str, sentence: Callable[[str], str], key: str | None = None, param: str | None = None
    ) -> None:
        super().__init__(code)
        self.code = code
        self.sentence = sentence
        self.path = key or ""
        self.param = param

    def under(self, key: str | int) -> "Fault":
        """The same fault, one container further out."""
        prefix = f"[{key}]" if isinstance(key, int) else key
        self.path = prefix + (self.path if self.path.startswith("[") or not self.path else f".{self.path}")
        return self

    def error(self) -> InvalidRequest:
        return InvalidRequest(
            self.sentence(self.path), code=self.code, param=self.param if self.param is not None else self.path
        )


def type_word(value: object) -> str:
    """A JSON value's type in the words of the error messages."""
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int():
            return "an integer"
        case float():
            return "a decimal number"
        case str():
            return "a string"
        case list():
            return "an array"
        case _:
            return "an object"


def listing(words: Iterable[str]) -> str:
    """`'a' and 'b'`, or `'a', 'b', and 'c'`."""
    quoted = [f"'{word}'" for word in words]
    if len(quoted) < 3:
        return " and ".join(quoted)
    return ", ".join(quoted[:-1]) + f", and {quoted[-1]}"


def missing(key: str) -> Fault:
    return Fault("missing_required_parameter", lambda path: f"Missing required parameter: '{path}'.", key)


def unknown(key: str) -> Fault:
    return Fault("unknown_parameter", lambda path: f"Unknown parameter: '{path}'.", key)


def duplicate(key: str) -> Fault:
    return Fault(
        "duplicate_parameter",
        lambda path: (
            f"Duplicate parameter: '{path}'. You provided multiple values for this parameter, whereas only one is "
            "allowed. If you are trying to provide a list of values, use the array syntax instead e.g. "
            f"'{path}[]=<value>'."
        ),
        key,
    )


def wrong_type(expected: str, value: object) -> Fault:
    got = type_word(value)
    tail = "null instead" if got == "null" else f"{got} instead"
    return Fault("invalid_type", lambda path: f"Invalid type for '{path}': expected {expected}, but got {tail}.")


def not_supported(value: object, supported: Iterable[str]) -> Fault:
    words = listing(supported)
    return Fault("invalid_value", lambda path: f"Invalid value: '{value}'. Supported values are: {words}.")


def too_long(value: str, most: int) -> Fault:
    return Fault(
        "string_above_max_length",
        lambda path: (
            f"Invalid '{path}': string too long. Expected a string with maximum length {most}, but got a string with "
            f"length {len(value)} instead."
        ),
    )


def too_short(value: str, least: int) -> Fault:
    if not value:
        return Fault(
            "empty_string",
            lambda path: (
                f"Invalid '{path}': empty string. Expected a string with minimum length {least}, but got an empty "
                "string instead."
            ),
        )
    return Fault(
        "string_below_min_length",
        lambda path: (
            f"Invalid '{path}': string too short. Expected a string with minimum length {least}, but got a string "
            f"with length {len(value)} instead."
        ),
    )


def no_match(pattern: str) -> Fault:
    return Fault(
        "invalid_value",
        lambda path: (
            f"Invalid '{path}': string does not match pattern. Expected a string that matches the pattern '{pattern}'."
        ),
    )


def unstorable() -> Fault:
    """NUL cannot be stored in PostgreSQL; better refused here than lost or answered with a 500."""
    return Fault(
        "invalid_value", lambda path: f"Invalid '{path}': string contains the character U+0000, which is not allowed."
    )


def too_deep(most: int) -> Fault:
    return Fault(
        "invalid_value", lambda path: f"Invalid '{path}': nested too deeply. Expected at most {most} levels of nesting."
    )


def _plain(number: Any) -> str:
    return str(int(number)) if float(number).is_integer() else str(number)


def above_max(kind: str, value: Any, most: Any) -> Fault:
    """`kind` is `integer` or `decimal`."""
    return Fault(
        f"{kind}_above_max_value",
        lambda path: (
            f"Invalid '{path}': {kind} above maximum value. Expected a value <= {_plain(most)}, but got "
            f"{_plain(value)} instead."
        ),
    )


def below_min(kind: str, value: Any, least: Any) -> Fault:
    return Fault(
        f"{kind}_below_min_value",
        lambda path: (
            f"Invalid '{path}': {kind} below minimum value. Expected a value >= {_plain(least)}, but got "
            f"{_plain(value)} instead."
        ),
    )


def too_many(items: int, most: int) -> Fault:
    return Fault(
        "array_above_max_length",
        lambda path: (
            f"Invalid '{path}': array too long. Expected an array with maximum length {most}, but got an array with "
            f"length {items} instead."
        ),
    )


def too_few(items: int, least: int) -> Fault:
    if not items:
        return Fault(
            "empty_array",
            lambda path: (
                f"Invalid '{path}': empty array. Expected an array with minimum length {least}, but got an empty "
                "array instead."
            ),
        )
    return Fault(
        "array_below_min_length",
        lambda path: (
            f"Invalid '{path}': array too short. Expected an array with minimum length {least}, but got an array with "
            f"length {items} instead."
        ),
    )


def too_many_properties(count: int, most: int) -> Fault:
    return Fault(
        "object_above_max_properties",
        lambda path: (
            f"Invalid '{path}': too many properties. Expected an object with at most {most} properties, but got an "
            f"object with {count} properties instead."
        ),
    )


def property_name_too_long(name: str, most: int) -> Fault:
    shown = f"{name[:3]}...{name[-3:]}"

    def sentence(path: str) -> str:
        holder = path.removesuffix(f".{name}")
        return (
            f"Invalid property name in '{holder}': '{shown}' is too long. Expected a string with maximum length "
            f"{most}, but got a string with length {len(name)} instead."
        )

    return Fault("property_name_above_max_length", sentence)


def wrong_id(value: str, word: str) -> Fault:
    """`word` is the beginning of the right ids, without their separator."""
    return Fault(
        "invalid_value", lambda path: f"Invalid '{path}': '{value}'. Expected an ID that begins with '{word}'."
    )


def invalid_value(sentence: Callable[[str], str], code: str = "invalid_value") -> Fault:
    """For rules of one field only."""
    return Fault(code, sentence)
