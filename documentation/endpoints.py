"""The pages `reference/api/*.md`: every endpoint, out of the OpenAPI document that the server serves."""

import json
import re
from typing import Any

from documentation import sdk
from documentation.schemas import Property, Schemas

# Groups as OpenAI has them; of a path's first words the longest match counts.
GROUPS = {
    "Assistants": ("assistants",),
    "Threads": ("threads",),
    "Messages": ("threads/{}/messages",),
    "Runs": ("threads/{}/runs", "threads/runs", "runs"),
    "Run steps": ("threads/{}/runs/{}/steps",),
    "Files and uploads": ("files", "uploads"),
    "Vector stores": ("vector_stores",),
    "Vector store files": ("vector_stores/{}/files", "vector_stores/{}/file_batches"),
    "Models, chat, embeddings": ("models", "chat", "embeddings"),
    "Actions": ("actions",),
    "MCP": ("mcp", "assistants/{}/mcp"),
    "Tenants and tokens": ("tenants", "tokens"),
    "End users": ("end_users",),
    "Usage, prices, budgets, limits": ("usage", "prices", "budgets", "limits"),
    "Audit log": ("audit_log",),
}
SAMPLES = {
    "assistant_id": "asst_abc",
    "thread_id": "thread_abc",
    "message_id": "msg_abc",
    "run_id": "run_abc",
    "step_id": "step_abc",
    "file_id": "file-abc",
    "upload_id": "upload_abc",
    "vector_store_id": "vs_abc",
    "batch_id": "vsfb_abc",
    "model": "demo",
    "role": "user",
    "content": "Hello!",
    "query": "What does a boat cost?",
    "name": "Example",
    "purpose": "assistants",
    "filename": "handbook.md",
    "mime_type": "text/markdown",
    "bytes": 2048,
    "file_ids": ["file-abc"],
    "part_ids": ["part_abc"],
}


# Bodies that are handed on to a provider, so that no schema of ours describes them.
HANDED_ON: dict[str, dict[str, Any]] = {
    "createChatCompletion": {"model": "demo", "messages": [{"role": "user", "content": "Hello!"}]},
    "createEmbedding": {"model": "demo", "input": "Hello!"},
}


def document() -> dict[str, Any]:
    """The OpenAPI document. Needs Django to be set up."""
    from drf_spectacular.generators import SchemaGenerator

    made: dict[str, Any] = SchemaGenerator().get_schema(request=None, public=True)  # type: ignore[no-untyped-call]
    return json.loads(json.dumps(made, default=str))  # type: ignore[no-any-return]


def group_of(path: str) -> str:
    """Raises LookupError for a path that GROUPS does not know."""
    bare = re.sub(r"\{[^}]*\}", "{}", path.removeprefix("/v1/"))
    fitting = [
        (len(prefix), group)
        for group, prefixes in GROUPS.items()
        for prefix in prefixes
        if bare == prefix or bare.startswith(prefix + "/")
    ]
    if not fitting:
        raise LookupError(f"GROUPS in documentation/endpoints.py has no group for {path}.")
    return max(fitting)[1]


def file_of(group: str) -> str:
    return re.sub(r"\W+", "-", group.lower()).strip("-") + ".md"


def cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _rows(properties: list[Property], schemas: Schemas, *, requests: bool) -> str:
    lines = ["| property | type | |", "| --- | --- | --- |"]
    for each in properties:
        notes = [each.description] if each.description else []
        if limits := schemas.limits_of(each.schema):
            notes.append(limits)
        if requests and each.required:
            notes.insert(0, "**required**")
        lines.append(f"| `{each.path}` | {cell(each.type)} | {cell('; '.join(notes))} |")
    return "\n".join(lines)


def _folded(title: str, text: str) -> str:
    """A part that is opened by a click."""
    indented = "\n".join(f"    {line}" if line else "" for line in text.splitlines())
    return f'??? note "{title}"\n\n{indented}\n'


class Endpoints:
    """Writes the pages. `theirs`: the operations that are OpenAI's, by their ids."""

    def __init__(self, described: dict[str, Any], theirs: set[str]) -> None:
        self.described = described
        self.theirs = theirs
        self.schemas = Schemas(described)

    def sample(self, name: str, schema: dict[str, Any]) -> Any:
        if name in SAMPLES:
            return SAMPLES[name]
        variant = self.schemas.variants(schema)[0]
        if values := variant.get("enum"):
            return values[0]
        kind = variant.get("type")
        if kind == "array":
            return [self.sample(name.removesuffix("s"), variant.get("items", {}))]
        if kind == "object":
            return {
                key: self.sample(key, value)
                for key, value in variant.get("properties", {}).items()
                if key in variant.get("required", ())
            }
        return {"integer": variant.get("minimum", 1), "number": 1.0, "boolean": True}.get(str(kind), f"a {name}")

    def body_of(self, operation: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        """Media type and schema of the body; empty without one."""
        content = operation.get("requestBody", {}).get("content", {})
        for kind, given in content.items():
            return kind, given.get("schema", {})
        return "", {}

    def required_of(self, operation: dict[str, Any]) -> dict[str, Any]:
        """The smallest body that the operation takes: an example, or what is required with samples of its types."""
        _, schema = self.body_of(operation)
        for given in operation.get("requestBody", {}).get("content", {}).values():
            for example in given.get("examples", {}).values():
                return dict(example["value"])
        if not schema or operation["operationId"] in HANDED_ON:
            return dict(HANDED_ON.get(operation["operationId"], {}))
        _, whole = self.schemas.resolved(schema)
        found = whole.get("properties", {}).items()
        return {key: self.sample(key, value) for key, value in found if key in whole.get("required", ())}

    def curl(self, verb: str, path: str, operation: dict[str, Any]) -> str:
        filled = re.sub(r"\{(\w+)\}", lambda name: str(SAMPLES.get(name[1], f"{name[1]}_abc")), path)
        lines = [f"curl http://127.0.0.1:8086{filled}", '-H "Authorization: Bearer $HOLDFAST_TOKEN"']
        kind, _ = self.body_of(operation)
        given = self.required_of(operation)
        if verb == "delete":
            lines.insert(1, "-X DELETE")
        elif kind.startswith("multipart"):
            lines += [
                f"-F {key}={'@handbook.md' if key in ('file', 'data') else value}" for key, value in given.items()
            ]
        elif verb == "post":
            lines.append("-H 'Content-Type: application/json'")
            told = json.dumps(given, ensure_ascii=False).replace("'", "'\\''")
            lines.append(f"-d '{told}'")
        return " \\\n  ".join(lines)

    def python(self, verb: str, path: str, operation: dict[str, Any]) -> str | None:
        method = sdk.method_for(verb, path.removeprefix("/v1"))
        if method is None:
            return None
        # The SDK's id of the object itself comes by position, the ids above it by name.
        ids = re.findall(r"\{(\w+)\}", path)
        arguments = [repr(SAMPLES.get(name, f"{name}_abc")) for name in ids[-1:]]
        arguments += [f"{name}={SAMPLES.get(name, f'{name}_abc')!r}" for name in ids[:-1]]
        for key, value in self.required_of(operation).items():
            arguments.append(f"{key}=" + ('open("handbook.md", "rb")' if key in ("file", "data") else repr(value)))
        arguments = [re.sub(r"'([^'\"]*)'", r'"\1"', each) for each in arguments]
        return f"{method}({', '.join(arguments)})"

    def section(self, verb: str, path: str, operation: dict[str, Any]) -> str:
        name = operation["operationId"]
        is_theirs = name in self.theirs
        whose = "OpenAI's" if is_theirs else "An extension of Holdfast"
        parts = [f"## {operation['summary']}\n", f"`{verb.upper()} {path}`{{ .endpoint }} · {whose} · `{name}`\n"]
        if description := operation.get("description", "").strip():
            parts.append(
                description.removeprefix("An extension: ")[:1].upper()
                + description.removeprefix("An extension: ")[1:]
                + "\n"
            )
        parts.append(f"```bash\n{self.curl(verb, path, operation)}\n```\n")
        if python := self.python(verb, path, operation):
            parts.append(f"```python\n{python}\n```\n")
        parameters = operation.get("parameters", ())
        if parameters:
            lines = ["| parameter | in | type | |", "| --- | --- | --- | --- |"]
            for each in parameters:
                notes = [note for note in (each.get("description", ""), self.schemas.limits_of(each["schema"])) if note]
                kind = cell(self.schemas.type_of(each["schema"]))
                lines.append(f"| `{each['name']}` | {each['in']} | {kind} | {cell('; '.join(notes))} |")
            parts.append("\n".join(lines) + "\n")
        kind, schema = self.body_of(operation)
        if schema and (properties := list(self.schemas.properties(schema))):
            parts.append(_folded(f"Body ({kind})", _rows(properties, self.schemas, requests=True)))
        for status, answer in operation["responses"].items():
            parts.append(self._answer(status, answer))
        return "\n".join(parts)

    def _answer(self, status: str, answer: dict[str, Any]) -> str:
        if status == "default":
            return "Every failure has the form of [an error](../errors.md).\n"
        content = answer.get("content", {})
        schema: dict[str, Any] = next(
            (given["schema"] for kind, given in content.items() if "json" in kind and "schema" in given), {}
        )
        name = self.schemas.resolved(schema)[0] if schema else ""
        kinds = " or ".join(f"`{kind}`" for kind in content) or "no body"
        if properties := list(self.schemas.properties(schema)) if schema else []:
            title = f"Answer {status}" + (f": {name}" if name else "")
            found = _folded(title, _rows(properties, self.schemas, requests=False))
            if "text/event-stream" in content:
                found += "\nWith `stream`, the answer is a stream of [events](../events.md).\n"
            return found
        return f"Answer {status}: {kinds}. {answer.get('description', '')}".rstrip() + "\n"

    def pages(self) -> dict[str, str]:
        sections: dict[str, list[str]] = {group: [] for group in GROUPS}
        for path, operations in self.described["paths"].items():
            for verb, operation in operations.items():
                sections[group_of(path)].append(self.section(verb, path, operation))
        return {
            f"reference/api/{file_of(group)}": f"# {group}\n\n" + "\n".join(found) for group, found in sections.items()
        }
