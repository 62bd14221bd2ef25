"""Swagger 2.0 in the shape of OpenAPI 3.0."""

from typing import Any

from tools.openapi.faults import Place
from tools.openapi.reading import Items, Members, as_list, as_object, as_text
from tools.openapi.references import References

METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")

FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data"

# `tabDelimited` is no style of OpenAPI 3; the encoder knows it.
_STYLES = {"csv": (None, False), "multi": ("form", True), "ssv": ("spaceDelimited", False)} | {
    "tsv": ("tabDelimited", False),
    "pipes": ("pipeDelimited", False),
}
# What stands at the parameter in 2.0, and in its schema in 3.
_OF_PARAMETERS = frozenset(("name", "in", "description", "required", "allowEmptyValue", "collectionFormat", "schema"))


def converted(document: Members, references: References) -> Members:
    """The document as OpenAPI 3.0. References are taken out of it, but those between schemas, which are renamed."""
    return _Conversion(document, references).document()


class _Conversion:
    def __init__(self, document: Members, references: References) -> None:
        self._old = document
        self._references = references

    def document(self) -> Members:
        old = self._old
        new = Members({"openapi": "3.0.3", "info": old.get("info", Members())})
        if "host" in old or "basePath" in old or "schemes" in old:
            new["servers"] = Items([Members({"url": self._server(old.get("schemes"))})])
        new["paths"] = Members({path: self._item(item, ("paths", path)) for path, item in old.get("paths", {}).items()})
        definitions = old.get("definitions", {})
        new["components"] = Members(
            {
                "schemas": Members({name: _schema(schema) for name, schema in definitions.items()}),
                "securitySchemes": Members(
                    {name: _scheme(scheme) for name, scheme in old.get("securityDefinitions", {}).items()}
                ),
            }
        )
        if "security" in old:
            new["security"] = old["security"]
        return new

    def _server(self, schemes: Any) -> str:
        host, base = self._old.get("host", ""), self._old.get("basePath", "")
        path = "/" + str(base).strip("/") if base and base != "/" else ""
        if not host:
            return path or "/"
        known = [scheme for scheme in schemes or [] if scheme in ("http", "https")]
        if schemes and not known:
            return f"{schemes[0]}://{host}{path}"
        # Where nothing is said, the document's own scheme counts.
        scheme = ("https:" if "https" in known else "http:") if known else ""
        return f"{scheme}//{host}{path}"

    def _item(self, item: Any, place: Place) -> Any:
        item, place = self._references.resolved(item, place)
        as_object(item, place)
        shared = self._parameters(item.get("parameters", []), (*place, "parameters"))
        new = Members({name: member for name, member in item.items() if name.startswith("x-")})
        for method in item:
            if method in METHODS:
                new[method] = self._operation(item[method], shared, (*place, method))
        return new

    def _parameters(self, parameters: Any, place: Place) -> list[tuple[Members, Place]]:
        found = []
        for number, each in enumerate(as_list(parameters, place)):
            parameter, there = self._references.resolved(each, (*place, number))
            for name in ("name", "in"):
                as_text(as_object(parameter, there).get(name), (*there, name))
            found.append((parameter, there))
        return found

    def _operation(self, old: Any, shared: list[tuple[Members, Place]], place: Place) -> Members:
        as_object(old, place)
        kept = ("operationId", "summary", "description", "deprecated", "tags", "security")
        new = Members({name: old[name] for name in old if name in kept or name.startswith("x-")})
        own = self._parameters(old.get("parameters", []), (*place, "parameters"))
        named = {(each["name"], each["in"]) for each, _ in own}
        given = [each for each, _ in shared if (each["name"], each["in"]) not in named] + [each for each, _ in own]
        new["parameters"] = Items(_parameter(each) for each in given if each["in"] not in ("body", "formData"))
        consumes = old.get("consumes", self._old.get("consumes", ()))
        bodies = [each for each in given if each["in"] == "body"]
        fields = [each for each in given if each["in"] == "formData"]
        if bodies:
            new["requestBody"] = _body(bodies[0], consumes)
        elif fields:
            new["requestBody"] = _form(fields, consumes)
        if old.get("schemes"):
            new["servers"] = Items([Members({"url": self._server(old["schemes"])})])
        new["responses"] = Members({"default": Members({"description": ""})})  # not read
        return new


def _parameter(old: Members) -> Members:
    new = Members({name: old[name] for name in ("name", "in", "description", "required") if name in old})
    if old.get("allowEmptyValue"):
        new["allowEmptyValue"] = True
    new["schema"] = _plain(old)
    new |= _style(old)
    return new


def _style(old: Members) -> dict[str, Any]:
    if old.get("type") != "array":
        return {}
    style, explode = _STYLES.get(old.get("collectionFormat", "csv"), (None, False))
    return {"explode": explode} | ({"style": style} if style else {})


def _plain(old: Members) -> Members:
    """The schema of a parameter that is no body: it stands at the parameter itself."""
    schema = Members({name: member for name, member in old.items() if name not in _OF_PARAMETERS})
    return _file(schema)


def _body(old: Members, consumes: Any) -> Members:
    content = Members({"schema": _schema(old.get("schema", Members()))})
    types = [each for each in consumes if each not in (FORM, MULTIPART)] or list(consumes) or ["application/json"]
    new = Members({"content": Members(dict.fromkeys(types, content))})
    new |= {name: old[name] for name in ("description", "required") if name in old}
    return new


def _form(fields: list[Members], consumes: Any) -> Members:
    has_file = any(each.get("type") == "file" for each in fields)
    media_type = MULTIPART if has_file or (MULTIPART in consumes and FORM not in consumes) else FORM
    properties, encoding = Members(), Members()
    for field in fields:
        schema = _plain(field)
        if "description" in field:
            schema["description"] = field["description"]
        properties[field["name"]] = schema
        if style := _style(field):
            encoding[field["name"]] = Members({"style": "form"} | style)
    required = Items(each["name"] for each in fields if each.get("required") is True)
    schema = Members({"type": "object", "properties": properties})
    if required:
        schema["required"] = required
    content = Members({"schema": schema} | ({"encoding": encoding} if encoding else {}))
    return Members({"required": bool(required), "content": Members({media_type: content})})


def _schema(value: Any) -> Any:
    """With references to `#/definitions/…` as those to `#/components/schemas/…`."""
    if isinstance(value, Items):
        return Items(_schema(item) for item in value)
    if not isinstance(value, Members):
        return value
    if isinstance(reference := value.get("$ref"), str):
        renamed = reference.replace("#/definitions/", "#/components/schemas/", 1)
        return Members({name: member for name, member in value.items() if name != "$ref"} | {"$ref": renamed})
    new = Members({name: _schema(member) for name, member in value.items()})
    if new.get("x-nullable") is True:
        new["nullable"] = True
    return _file(new)


def _file(schema: Members) -> Members:
    if schema.get("type") == "file":
        schema["type"], schema["format"] = "string", "binary"
    return schema


def _scheme(old: Any) -> Any:
    if not isinstance(old, Members):
        return old
    if old.get("type") == "basic":
        return Members({"type": "http", "scheme": "basic"})
    if old.get("type") != "oauth2":
        return old
    flows = {"application": "clientCredentials", "accessCode": "authorizationCode"}
    flow = {name: old[name] for name in ("authorizationUrl", "tokenUrl", "scopes") if name in old}
    name = flows.get(str(old.get("flow")), str(old.get("flow")))
    return Members({"type": "oauth2", "flows": Members({name: Members({"scopes": Members()} | flow)})})
