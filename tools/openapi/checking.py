"""Whether a document is OpenAPI at all, and if not, where it stops being so.

The structure is judged by the schemas of `openapi-spec-validator`. Its walk over schemas and parameters behind that is
not used: it compares each schema with a list of all before it, collects the properties of combined schemas anew at each
level, which a small document can make endless, and has no place for its errors.
"""

import re
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any, cast

from tools.openapi.faults import BadDocument, Place
from tools.openapi.reading import Members

if TYPE_CHECKING:
    from jsonschema.exceptions import ValidationError
    from jsonschema.protocols import Validator

CONSIDERED = 50  # faults of which the first is told
# References followed in the judging schema: GitHub's 1,223 operations take 130,000. 3.1 takes longer for each.
MAX_STEPS = {"2.0": 500_000, "3.0": 500_000, "3.1": 150_000}

_KINDS = {"object": "an object", "array": "an array", "string": "a text", "boolean": "true or false"} | {
    "integer": "a whole number",
    "number": "a number",
    "null": "null",
}
_FOLLOWED = ("$ref", "$dynamicRef")
_FAULTS_IN_ORDER = ("items", "patternProperties", "additionalProperties")
# Not read, and of any depth: pieces of other APIs' requests.
_UNREAD = ("callbacks", "webhooks", "links")


def version_of(document: Members) -> str:
    """One of "2.0", "3.0" and "3.1". Puts right what YAML makes of unquoted versions. Raises `BadDocument`."""
    name = "swagger" if "swagger" in document else "openapi"
    if name not in document:
        raise BadDocument("", "The document has neither `openapi` nor `swagger`, so it is no OpenAPI document.")
    text = str(document[name]).strip()
    found = re.match(r"(2(\.0)?|3\.[01](\.\d+)?)(-\S+)?\Z", text)
    if not found or (text[0] == "2") != (name == "swagger"):
        raise BadDocument(name, f"Version “{text[:20]}” is not known here; OpenAPI 3.0 and 3.1 and Swagger 2.0 are.")
    version = "2.0" if text[0] == "2" else text[:3]
    document[name] = version if version == "2.0" else (text if text.count(".") > 1 else f"{text}.0")
    info = document.get("info")
    if isinstance(info, Members) and isinstance(info.get("version"), int | float):
        info["version"] = str(info["version"])
    return version


def check_structure(document: Members, version: str) -> None:
    """Raises `BadDocument` for the first fault in the document's order."""
    judged = _without_unread(document)
    faults = [_deepest(fault) for fault in islice(_judge(version).iter_errors(judged), CONSIDERED)]
    if faults:
        first = min(faults, key=lambda fault: _position(document, fault))
        raise BadDocument(tuple(first.absolute_path), _sentence(first))


def _judge(version: str) -> "Validator":
    """One that gives up before its work takes minutes, and does not collect faults by the thousand."""
    # Loaded by the process that reads a document; most never do, and these take memory.
    from jsonschema.validators import extend, validator_for
    from openapi_spec_validator.schemas import schema_v2, schema_v30, schema_v31

    schemas: dict[str, Mapping[str, Any]] = {"2.0": schema_v2, "3.0": schema_v30, "3.1": schema_v31}
    schema = dict(schemas[version])
    original = validator_for(schema)
    left = MAX_STEPS[version]

    def counted(rule: Any) -> Any:
        def judge(*given: Any) -> Any:
            nonlocal left
            left -= 1
            if left < 0:
                raise BadDocument("", "The document is too large to be judged.")
            return rule(*given)

        return judge

    def few(rule: Any) -> Any:
        return lambda *given: islice(rule(*given) or (), CONSIDERED)

    rules = {name: counted(original.VALIDATORS[name]) for name in _FOLLOWED if name in original.VALIDATORS}
    rules |= {name: few(original.VALIDATORS[name]) for name in _FAULTS_IN_ORDER}
    # Two equal entries do no harm, and looking for them takes a time that grows with the square of their number.
    rules["uniqueItems"] = lambda *_: None
    judge: Any = extend(original, rules)  # type: ignore[no-untyped-call]
    return cast("Validator", judge(schema))


def _without_unread(document: Members) -> Members:
    judged = Members(document)
    judged.pop("webhooks", None)
    if isinstance(components := judged.get("components"), Members):
        judged["components"] = Members({k: v for k, v in components.items() if k not in _UNREAD})
    if isinstance(paths := judged.get("paths"), Members):
        judged["paths"] = Members({path: _item_without_unread(item) for path, item in paths.items()})
    return judged


def _item_without_unread(item: Any) -> Any:
    if not isinstance(item, Members):
        return item
    return Members(
        {
            name: Members({k: v for k, v in member.items() if k not in _UNREAD})
            if isinstance(member, Members)
            else member
            for name, member in item.items()
        }
    )


def _deepest(fault: "ValidationError") -> "ValidationError":
    """What is wrong in the one of several forms that was most likely meant."""
    while fault.context:
        if choice := _choice(fault):
            return choice
        forms: dict[Any, list[ValidationError]] = {}
        for each in fault.context:
            forms.setdefault(each.schema_path[0] if each.schema_path else None, []).append(each)
        is_reference = isinstance(fault.instance, dict) and "$ref" in fault.instance
        likeliest = min(
            forms.values(),
            key=lambda faults: (
                any(map(_wants_reference, faults)) != is_reference,
                any(map(_is_of_another_kind, faults)),
                -max(len(each.absolute_path) for each in faults),
            ),
        )
        fault = max(likeliest, key=lambda each: len(each.absolute_path))
    return fault


def _choice(fault: "ValidationError") -> "ValidationError | None":
    """The place where no form has what is there, told with what each of them would have there."""
    wanted: dict[tuple[str | int, ...], list[ValidationError]] = {}
    forms = set()
    for each in fault.context or ():
        forms.add(each.schema_path[0])
        if each.validator in ("enum", "const"):
            wanted.setdefault(tuple(each.absolute_path), []).append(each)
    for faults in wanted.values():
        if len(forms) > 1 and {each.schema_path[0] for each in faults} == forms:
            choice = faults[0]
            choices: list[Any] = []
            for each in faults:
                value: Any = each.validator_value
                choices += value if each.validator == "enum" else [value]
            choice.validator, choice.validator_value = "enum", choices
            return choice
    return None


def _wants_reference(fault: "ValidationError") -> bool:
    return fault.validator == "required" and "'$ref'" in fault.message


def _is_of_another_kind(fault: "ValidationError") -> bool:
    """Whether the form is for another `in` or `type`, such as that of parameters in the path for one in the query."""
    place = fault.absolute_path
    return fault.validator in ("enum", "const") and bool(place) and place[-1] in ("in", "type")


def _position(document: Any, fault: "ValidationError") -> tuple[int, ...]:
    """Sorts faults in the order of the document; of two in one place the outer comes first."""
    return tuple(_positions(document, tuple(fault.absolute_path)))


def _positions(value: Any, place: Place) -> Iterator[int]:
    for step in place:
        if isinstance(value, dict):
            yield list(value).index(str(step)) if step in value else len(value)
            value = value.get(str(step))
        elif isinstance(value, list) and isinstance(step, int) and step < len(value):
            yield step
            value = value[step]


def _sentence(fault: "ValidationError") -> str:
    wanted: Any = fault.validator_value
    instance: Any = fault.instance
    if fault.validator == "type":
        kinds = [wanted] if isinstance(wanted, str) else list(wanted)
        return f"This must be {' or '.join(_KINDS.get(kind, kind) for kind in kinds)}, and is {_kind_of(instance)}."
    if fault.validator == "required" and isinstance(instance, dict):
        missing = [name for name in wanted if name not in instance]
        return f"“{missing[0]}” is missing." if missing else "Something is missing."
    if fault.validator in ("enum", "const"):
        values = wanted if isinstance(wanted, list) else [wanted]
        return f"This must be {' or '.join(f'“{value}”' for value in values)}, and is “{str(instance)[:100]}”."
    if fault.validator in ("additionalProperties", "unevaluatedProperties") and isinstance(instance, dict):
        names = re.findall(r"'([^']{1,100})'", fault.message)
        if names:
            return f"“{names[0]}” is nothing that OpenAPI knows here."
    if fault.validator == "pattern":
        return f"{str(instance)[:100]!r} does not have the form that is wanted here."
    return f"{fault.message[:300].rstrip('.')}."


def _kind_of(value: Any) -> str:
    if value is None:
        return "null"
    kinds = {bool: "boolean", int: "integer", float: "number", str: "string"}
    kind = kinds.get(type(value), "object" if isinstance(value, dict) else "array")
    return _KINDS[kind]
