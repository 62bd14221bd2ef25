"""The page `reference/errors.md`: every failure that the code knows, read out of the places that raise it."""

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache

from documentation.contents import PROJECT

PACKAGES = "assistant_site assistants audit erasure files metering runs tenants threads tools vector_stores".split()  # noqa: SIM905
_INTERNAL = ("assistant_site/demo/", "/tests/", "/migrations/")


@dataclass(frozen=True)
class Failure:
    """`message` with `…` for what differs; None where it is put together elsewhere."""

    kind: str
    code: str | None
    message: str | None


@dataclass
class Kind:
    """A class of failures with the status and type that its answers have."""

    name: str
    status: int
    type: str
    meaning: str
    failures: list[Failure] = field(default_factory=list)


@cache
def sources() -> list[tuple[str, ast.Module]]:
    """Path and tree of each module that may raise something at callers."""
    return list(_read())


def _read() -> Iterator[tuple[str, ast.Module]]:
    for package in PACKAGES:
        for file in sorted((PROJECT / package).rglob("*.py")):
            where = file.relative_to(PROJECT).as_posix()
            if not any(each in where for each in _INTERNAL):
                yield where, ast.parse(file.read_text())


def text_of(value: ast.expr | None, constants: dict[str, str]) -> str | None:
    """A text or f-string with `…` for what is computed; None if it is neither."""
    if isinstance(value, ast.Constant) and isinstance(value.value, str):
        return value.value
    if isinstance(value, ast.JoinedStr):
        parts = [str(part.value) if isinstance(part, ast.Constant) else "…" for part in value.values]
        return "".join(parts)
    if isinstance(value, ast.BinOp) and isinstance(value.op, ast.Add):
        sides = text_of(value.left, constants), text_of(value.right, constants)
        return "".join(side or "…" for side in sides)
    if isinstance(value, ast.Name):
        return constants.get(value.id)
    return None


def name_of(function: ast.expr) -> str:
    """The last name of what is called; for `NotFound.of` the class's."""
    if isinstance(function, ast.Attribute):
        return function.value.id if function.attr == "of" and isinstance(function.value, ast.Name) else function.attr
    return function.id if isinstance(function, ast.Name) else ""


def kinds() -> dict[str, Kind]:
    """The classes by name, with what is raised of each. Needs Django to be set up."""
    from assistant_site.wire import errors

    found: dict[str, Kind] = {}
    parsed = sources()
    _imported(parsed)

    def add(declared: type[errors.WireError]) -> None:
        meaning = (declared.__doc__ or "").strip() if declared.__doc__ != (declared.__base__.__doc__ or "") else ""
        kind = "of what there was too much" if declared is errors.RateLimited else f"`{declared.type}`"
        found.setdefault(declared.__name__, Kind(declared.__name__, declared.status, kind, meaning))
        for below in declared.__subclasses__():
            if below.__module__.split(".")[0] in PACKAGES:
                add(below)

    add(errors.WireError)
    said = _said_by_classes(parsed)
    for name, (code, message) in said.items():
        if name in found and message:  # it is raised without a word more
            found[name].failures.append(Failure(name, code, message))
    for _, module in parsed:
        constants = _constants(module)
        for call in (each for each in ast.walk(module) if isinstance(each, ast.Call)):
            kind = name_of(call.func)
            if kind not in found:
                continue
            given = {word.arg: word.value for word in call.keywords}
            message = text_of(call.args[0] if call.args else given.get("message"), constants)
            if isinstance(call.func, ast.Attribute) and call.func.attr == "of":
                message = f"No {message or '…'} found with id '…'."
            of_class = said.get(kind, (None, None))
            code = text_of(given.get("code"), constants) or of_class[0]
            found[kind].failures.append(Failure(kind, code, message or of_class[1]))
    return found


def _constants(module: ast.Module) -> dict[str, str]:
    """The module's names for texts."""
    return {
        target.id: value
        for statement in module.body
        if isinstance(statement, ast.Assign)
        for target in statement.targets
        if isinstance(target, ast.Name) and (value := text_of(statement.value, {})) is not None
    }


def _said_by_classes(parsed: list[tuple[str, ast.Module]]) -> dict[str, tuple[str | None, str | None]]:
    """Code and message that a class of failures gives itself, in what it hands to `super().__init__`."""
    found = {}
    for where, module in parsed:
        for declared in (each for each in ast.walk(module) if isinstance(each, ast.ClassDef)):
            for call in (each for each in ast.walk(declared) if isinstance(each, ast.Call)):
                if isinstance(call.func, ast.Attribute) and call.func.attr == "__init__" and call.args:
                    code = next((word.value for word in call.keywords if word.arg == "code"), None)
                    loaded = vars(sys.modules[_module(where)]) if _module(where) in sys.modules else {}
                    constants = {name: value for name, value in loaded.items() if isinstance(value, str)}
                    found[declared.name] = text_of(code, constants), text_of(call.args[0], constants)
    return found


def _module(where: str) -> str:
    return where.removesuffix(".py").replace("/", ".")


def _imported(parsed: list[tuple[str, ast.Module]]) -> None:
    """Loads the modules that declare failures, so that their classes are known."""
    import importlib

    names = {"WireError", "InvalidRequest", "ServerError", "Unavailable", "NotFound", "PermissionDenied"}
    for where, module in parsed:
        for declared in module.body:
            if isinstance(declared, ast.ClassDef) and any(name_of(base) in names for base in declared.bases):
                importlib.import_module(_module(where))


def grammar() -> list[tuple[str, str]]:
    """Code and sentence of each failure of the grammar: what is wrong with a value that was sent."""
    path = "assistant_site/wire/grammar.py"
    found = []
    for call in (each for each in ast.walk(ast.parse((PROJECT / path).read_text())) if isinstance(each, ast.Call)):
        if name_of(call.func) != "Fault" or len(call.args) < 2:
            continue
        code, sentence = call.args[:2]
        message = text_of(sentence.body, {}) if isinstance(sentence, ast.Lambda) else None
        if told := text_of(code, {}):
            found.append((told, message or "…"))
    return found


def of_runs() -> list[tuple[str, str]]:
    """Code and sentence of what stands in a run's `last_error`."""
    found = set()
    for where, module in sources():
        if not where.startswith(("runs/", "assistant_site/llm/")):
            continue
        constants = _constants(module)
        for each in ast.walk(module):
            code = message = None
            if isinstance(each, ast.Call) and name_of(each.func) in ("ModelFailed", "failed") and len(each.args) > 1:
                code, message = (text_of(argument, constants) for argument in each.args[:2])
            elif isinstance(each, ast.Dict):
                given = {text_of(key, {}): value for key, value in zip(each.keys, each.values, strict=True)}
                if set(given) == {"code", "message"}:
                    code, message = (text_of(given[key], constants) for key in ("code", "message"))
            if code and message:
                found.add((code, message))
    return sorted(found)


def _sentence(text: str | None) -> str:
    return "" if text is None else " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


def _table(rows: list[tuple[str, str]], heads: tuple[str, str] = ("code", "message")) -> str:
    lines = [f"| {heads[0]} | {heads[1]} |", "| --- | --- |"]
    lines += [f"| {f'`{code}`' if code else 'null'} | {_sentence(message)} |" for code, message in sorted(set(rows))]
    return "\n".join(lines) + "\n"


INTRODUCTION = """# Errors

A failure is answered with a status, and with this as its body. `code` and `param` may be null. `…` in the sentences
below stands for what differs from case to case.

```json
{
  "error": {
    "message": "No thread found with id 'thread_abc'.", "type": "invalid_request_error", "param": null, "code": null
  }
}
```

SDKs choose their exception class by the status alone, and try 408, 409, 429 and 5xx again by themselves. A conflict of
states is therefore a 400, as on the hosted API. A 429 says in `Retry-After` how long to wait. In streams that have
begun, a failure is the event [`error`](events.md), with the same words.
"""


def page() -> str:
    """The whole page."""
    parts = [INTRODUCTION]
    by_status: dict[int, list[Kind]] = {}
    for kind in kinds().values():
        by_status.setdefault(kind.status, []).append(kind)
    for status, found in sorted(by_status.items()):
        parts.append(f"## {status}\n")
        for kind in found:
            if not kind.failures and kind.name != "MethodNotAllowed":
                continue
            parts.append(f"### {kind.name}\n\nType: {kind.type}. {' '.join(kind.meaning.split())}\n")
            rows = [(each.code or "", each.message) for each in kind.failures if each.message]
            if kind.name == "MethodNotAllowed":
                rows = [("method_not_supported", "Not allowed to … on ….")]
            if rows:
                parts.append(_table([(code, message or "") for code, message in rows]))
        if status == 400:
            parts.append("### Values that break the grammar\n\n`param` is the place of the value.\n")
            parts.append(_table(grammar()))
    parts.append(
        "## Failed runs\n\nA run that fails answers no status: it ends `failed`, with one of these in its "
        "`last_error`, or with what the provider said of the request.\n\n" + _table(of_runs())
    )
    return "\n".join(parts)
