"""Whether a document is OpenAPI at all, and if not, where it stops being so.

The structure is judged by the schemas of `openapi-spec-validator`. Its walk over schemas and parameters behind that is
not used: it compares each schema with a list of all before it, collects the properties of combined schemas anew at each
level, which a small document can make endless, and has no place for its errors.
"""

import re
from collections.abc import Iterator, Mapping
from functools import cache
from itertools import islice
from typing import Any, cast

from jsonschema.exceptions import ValidationError
from jsonschema.protocols import Validator
from jsonschema.validators import extend, validator_for
from openapi_spec_validator.schemas import schema_v2, schema_v30, schema_v31

from tools.openapi.faults import BadDocument, Place
from tools.openapi.reading import Members

CONSIDERED = 100  # faults of which the first is told

_SCHEMAS: dict[str, Mapping[str, Any]] = {"2.0": schema_v2, "3.0": schema_v30, "3.1": schema_v31}
_KINDS = {"object": "an object", "array": "an array", "string": "a text", "boolean": "true or false"} | {
    "integer": "a whole number",
    "number": "a number",
    "null": "null",
}
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


@cache
def _judge(version: str) -> Validator:
    schema = dict(_SCHEMAS[version])
    # Two equal entries do no harm, and looking for them takes a time that grows with the square of their number.
    judge: Any = extend(validator_for(schema), {"uniqueItems": lambda *_: None})  # type: ignore[no-untyped-call]
    return cast(Validator, judge(schema))


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


def _deepest(fault: ValidationError) -> ValidationError:
    """What is wrong in the one of several forms that was most likely meant."""
    while fault.context:
        if len(values := _choices(fault)) > 1:
            chosen = fault.context[0]
            chosen.validator, chosen.validator_value = "enum", values
            return chosen
        forms: dict[Any, list[ValidationError]] = {}
        for each in fault.context:
            forms.setdefault(each.schema_path[0] if each.schema_path else None, []).append(each)
        is_reference = isinstance(fault.instance, dict) and "$ref" in fault.instance
        fault = min(
            (min(faults, key=lambda each: -len(each.absolute_path)) for faults in forms.values()),
            key=lambda each: (
                _wants_reference(each) != is_reference,
                each.validator in ("enum", "const"),
                -len(each.absolute_path),
            ),
        )
    return fault


def _choices(fault: ValidationError) -> list[Any]:
    """What may stand in a place, if the forms differ in nothing else."""
    values: list[Any] = []
    for each in fault.context or ():
        if each.validator not in ("enum", "const") or each.absolute_path != (fault.context or [each])[0].absolute_path:
            return []
        wanted: Any = each.validator_value
        values += wanted if each.validator == "enum" else [wanted]
    return values


def _wants_reference(fault: ValidationError) -> bool:
    return fault.validator == "required" and "'$ref'" in fault.message


def _position(document: Any, fault: ValidationError) -> tuple[int, ...]:
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


def _sentence(fault: ValidationError) -> str:
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
