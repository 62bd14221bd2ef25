"""Which method of OpenAI's Python SDK calls which endpoint: read out of the SDK that is installed."""

import ast
import re
from functools import cache
from pathlib import Path

_VERBS = {"_get": "get", "_get_api_list": "get", "_post": "post", "_delete": "delete"}


def _path_of(argument: ast.expr) -> str:
    """The path that a request is for: a text, an f-string, or the SDK's `path_template("/…/{id}", id=id)`."""
    if isinstance(argument, ast.Call) and argument.args:
        return _path_of(argument.args[0])
    if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
        return argument.value
    if isinstance(argument, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in argument.values)
    return ""


@cache
def methods() -> dict[tuple[str, str], str]:
    """Verb and path without the names of its parameters, as `("get", "/threads/{}")`, to `beta.threads.retrieve`."""
    import openai.resources

    folder = Path(str(openai.resources.__file__)).parent
    found: dict[tuple[str, str], str] = {}
    for file in sorted(folder.rglob("*.py")):
        parts = list(file.relative_to(folder).with_suffix("").parts)
        if len(parts) > 1 and parts[-1] == parts[-2]:
            parts.pop()
        for declared in ast.parse(file.read_text()).body:
            if not isinstance(declared, ast.ClassDef) or re.match("Async|.*With", declared.name):
                continue
            for method in (each for each in declared.body if isinstance(each, ast.FunctionDef)):
                for call in (each for each in ast.walk(method) if isinstance(each, ast.Call)):
                    if isinstance(call.func, ast.Attribute) and call.func.attr in _VERBS and call.args:
                        where = _VERBS[call.func.attr], re.sub(r"\{[^}]*\}", "{}", _path_of(call.args[0]))
                        found.setdefault(where, ".".join([*parts, method.name]))
    return found


def method_for(verb: str, path: str) -> str | None:
    """`client.` and what it returns for the endpoint; `path` as in OpenAPI, without its prefix."""
    found = methods().get((verb, re.sub(r"\{[^}]*\}", "{}", path)))
    return f"client.{found}" if found else None
