"""One operation of an API: what a call needs, how each value of it is written, and how a model is told of it.

An `Operation` stands for itself: nothing of the document is needed to call it. It is stored as JSON.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any, Literal

from tools.openapi.schemas import Schema, is_file

Where = Literal["path", "query", "header", "cookie"]
BodyType = Literal["JSON", "FORM", "NONE"]

FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data"


@dataclass(frozen=True)
class Parameter:
    """A value in the path, the query, a header or a cookie. `argument` is its name in the function."""

    name: str
    where: Where
    argument: str
    required: bool
    schema: Schema
    style: str = "simple"
    explode: bool = False
    allow_reserved: bool = False
    is_json: bool = False  # written as JSON, whatever the style

    @property
    def is_fixed(self) -> bool:
        """Whether it has one possible value, so that nobody is asked for it."""
        return self.required and has_one_value(self.schema)


@dataclass(frozen=True)
class Field:
    """A property of the body that is an argument of its own."""

    name: str
    argument: str
    required: bool
    schema: Schema
    # How forms write it; without a style, lists are repeated and objects are JSON.
    style: str = ""
    explode: bool = True
    allow_reserved: bool = False
    content_type: str = ""

    @property
    def is_fixed(self) -> bool:
        return self.required and has_one_value(self.schema)

    @property
    def is_file(self) -> bool:
        items = self.schema.get("items")
        return is_file(self.schema) or (isinstance(items, dict) and is_file(items))


@dataclass(frozen=True)
class Body:
    """What is sent. Its properties are arguments of their own (`fields`), or it is one argument as a whole."""

    media_type: str
    required: bool
    schema: Schema
    argument: str = ""  # if it is one argument as a whole
    fields: tuple[Field, ...] = ()
    is_open: bool = False  # takes properties that the document does not name

    @property
    def kind(self) -> Literal["json", "form", "multipart", "text", "binary"]:
        essence = self.media_type.partition(";")[0].strip().lower()
        if essence.endswith(("/json", "+json")):
            return "json"
        if essence == FORM:
            return "form"
        if essence.startswith("multipart/"):
            return "multipart"
        return "text" if essence.startswith("text/") or essence.endswith(("/xml", "+xml", "/yaml")) else "binary"


@dataclass(frozen=True)
class SecurityScheme:
    """A way to say who calls. `name` is the document's name for it."""

    name: str
    type: str  # http, apiKey, oauth2, openIdConnect, mutualTLS
    scheme: str = ""  # of http: basic, bearer
    where: str = ""  # of apiKey: header, query, cookie
    key: str = ""  # of apiKey: the header's, parameter's or cookie's name
    token_url: str = ""  # of oauth2, for client credentials
    scopes: tuple[str, ...] = ()  # what this operation asks for


@dataclass(frozen=True)
class Operation:
    """`server` is an absolute URL without a slash at its end, `path` the template behind it."""

    operation_id: str
    method: str  # upper case
    server: str
    path: str
    description: str
    parameters: tuple[Parameter, ...] = ()
    body: Body | None = None
    # Any one of these ways will do; all schemes of a way are needed together. A way of none: anybody may call.
    security: tuple[tuple[SecurityScheme, ...], ...] = ()
    is_deprecated: bool = field(default=False)

    @property
    def url(self) -> str:
        return self.server + self.path

    @property
    def body_type(self) -> BodyType:
        if self.body is None:
            return "NONE"
        return "FORM" if self.body.kind in ("form", "multipart") else "JSON"

    @property
    def path_param_schema(self) -> dict[str, Any] | None:
        return self._param_schema("path")

    @property
    def query_param_schema(self) -> dict[str, Any] | None:
        return self._param_schema("query")

    @property
    def body_param_schema(self) -> dict[str, Any] | None:
        if self.body is None:
            return None
        if not self.body.fields:
            return {self.body.argument: self.body.schema | {"required": self.body.required}}
        return {each.name: each.schema | {"required": each.required} for each in self.body.fields}

    @property
    def file_arguments(self) -> tuple[str, ...]:
        """The arguments that `request_for` takes as `{"name", "type", "bytes"}`, or lists of these."""
        if self.body is None:
            return ()
        if self.body.kind == "binary" and not self.body.fields:
            return (self.body.argument,)
        return tuple(each.argument for each in self.body.fields if each.is_file and self.body.kind == "multipart")

    @cached_property
    def function_def(self) -> dict[str, Any]:
        """The function that a model is told of: name, description, and its arguments as one JSON schema."""
        properties: Schema = {}
        required: list[str] = []
        for each in self.parameters:
            if not each.is_fixed:
                properties[each.argument] = each.schema
                required += [each.argument] if each.required else []
        if self.body is not None and not self.body.fields:
            properties[self.body.argument] = self.body.schema
            required += [self.body.argument] if self.body.required else []
        elif self.body is not None:
            for each_field in self.body.fields:
                if not each_field.is_fixed:
                    properties[each_field.argument] = each_field.schema
                    required += [each_field.argument] if each_field.required else []
        parameters: Schema = {"type": "object", "properties": properties, "required": required}
        if self.body is None or not self.body.is_open:
            parameters["additionalProperties"] = False
        return {"name": self.operation_id, "description": self.description, "parameters": parameters}

    def _param_schema(self, where: Where) -> dict[str, Any] | None:
        found = [each for each in self.parameters if each.where == where]
        return {each.name: each.schema | {"required": each.required} for each in found} or None

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "Operation":
        """What `as_json` gave, also after it was stored as JSON."""
        values = dict(stored)
        values["parameters"] = tuple(Parameter(**each) for each in stored["parameters"])
        if (body := stored["body"]) is not None:
            values["body"] = Body(**body | {"fields": tuple(Field(**each) for each in body["fields"])})
        values["security"] = tuple(
            tuple(SecurityScheme(**scheme | {"scopes": tuple(scheme["scopes"])}) for scheme in way)
            for way in stored["security"]
        )
        return cls(**values)


def has_one_value(schema: Schema) -> bool:
    return "const" in schema or (isinstance(values := schema.get("enum"), list) and len(values) == 1)


def one_value(schema: Schema) -> Any:
    """The only value that the schema allows, where `has_one_value`."""
    return schema["const"] if "const" in schema else schema["enum"][0]
