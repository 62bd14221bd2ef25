"""An OpenAPI document read: its operations, in its order."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urljoin

from tools.openapi.checking import check_structure, version_of
from tools.openapi.faults import BadDocument, Place
from tools.openapi.functions import Allowance, operation_parts
from tools.openapi.operation import Operation, SecurityScheme
from tools.openapi.reading import Members, as_list, as_object, as_text, parsed
from tools.openapi.references import References
from tools.openapi.servers import server_url
from tools.openapi.swagger2 import METHODS, converted

MAX_OPERATIONS = 4_000
MAX_NAME = 128
MAX_DESCRIPTION = 512

_OPERATION_ID = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*\Z")
_TEMPLATE = re.compile(r"\{([^{}]*)\}")


@dataclass(frozen=True)
class Document:
    """`openapi` is the document as 3.x, references and all."""

    title: str
    version: str  # the API's own
    operations: tuple[Operation, ...]
    openapi: dict[str, Any] = field(repr=False)


def read_document(source: str | bytes | Mapping[str, Any], url: str = "") -> Document:
    """The document of this text, JSON or YAML, or of these values. Nothing is fetched.

    `url` is the address that it came from: relative servers count from there. Raises `BadDocument`.
    """
    document = parsed(source)
    version = version_of(document)
    _check_number(document)
    references = References(document)
    references.check()
    check_structure(document, version)
    if version == "2.0":
        document = converted(document, references)
        references = References(document)
        references.check()
    operations = tuple(_Reading(document, references, url).operations())
    if not operations:
        raise BadDocument("paths", "The document has no operations.")
    info = as_object(document.get("info", {}), ("info",))
    return Document(str(info.get("title", "")), str(info.get("version", "")), operations, document)


class _Reading:
    def __init__(self, document: Members, references: References, url: str) -> None:
        self._document = document
        self._references = references
        self._url = url
        self._allowance = Allowance()
        self._names: dict[str, int] = {}  # each with the highest number that it was given

    def operations(self) -> Iterator[Operation]:
        paths = as_object(self._document.get("paths", {}), ("paths",))
        for path, given in paths.items():
            if path.startswith("x-"):
                continue
            item, place = self._references.resolved(given, ("paths", path))
            item = as_object(item, place)
            for method in item:
                if method in METHODS:
                    yield self._operation(path, method, item, place)

    def _operation(self, path: str, method: str, item: dict[str, Any], item_place: Place) -> Operation:
        place = (*item_place, method)
        source = as_object(item[method], place)
        template = _template(path)
        parameters = self._parameters(source, place, item, item_place)
        _check_template(template, parameters, place)
        body = (
            self._references.resolved(source["requestBody"], (*place, "requestBody"))
            if source.get("requestBody")
            else None
        )
        described = _text(source, "description", place) or _text(source, "summary", place)
        told, body_told = operation_parts(self._references, parameters, body, place, self._allowance)
        return Operation(
            operation_id=self._name(_text(source, "operationId", place), method, path),
            method=method.upper(),
            server=self._server(source, place, item, item_place),
            path=template,
            description=_shortened(described or f"{method.upper()} {path}"),
            parameters=told,
            body=body_told,
            security=self._security(source, place),
            is_deprecated=source.get("deprecated") is True,
        )

    def _parameters(
        self, source: dict[str, Any], place: Place, item: dict[str, Any], item_place: Place
    ) -> list[tuple[dict[str, Any], Place]]:
        """The path's with the operation's own, which go before them."""
        found: dict[tuple[str, str], tuple[dict[str, Any], Place]] = {}
        for owner, owner_place in ((item, item_place), (source, place)):
            own: set[tuple[str, str]] = set()
            there = (*owner_place, "parameters")
            for number, each in enumerate(as_list(owner.get("parameters", []), there)):
                parameter, parameter_place = self._references.resolved(each, (*there, number))
                as_object(parameter, parameter_place)
                key = (
                    as_text(parameter.get("name"), (*parameter_place, "name")),
                    as_text(parameter.get("in"), (*parameter_place, "in")),
                )
                if key in own:
                    raise BadDocument((*there, number), f"There is a parameter “{key[0]}” in “{key[1]}” before this.")
                own.add(key)
                found[key] = (parameter, parameter_place)
        return list(found.values())

    def _server(self, source: dict[str, Any], place: Place, item: dict[str, Any], item_place: Place) -> str:
        for owner, there in ((source, place), (item, item_place), (self._document, ())):
            if servers := as_list(owner.get("servers", []), (*there, "servers")):
                return server_url(servers, (*there, "servers"), self._url)
        return server_url([], ("servers",), self._url)

    def _name(self, given: str, method: str, path: str) -> str:
        """The operation's id in the form that functions need, made where there is none, numbered if it is taken."""
        name = given if _OPERATION_ID.match(given) else _made(given or f"{method}_{path}")
        name = name[:MAX_NAME]
        free = name
        while free in self._names:
            self._names[name] += 1
            number = str(self._names[name])
            free = f"{name[: MAX_NAME - len(number) - 1]}_{number}"
        self._names[free] = 1
        return free

    def _security(self, source: dict[str, Any], place: Place) -> tuple[tuple[SecurityScheme, ...], ...]:
        owner, there = (source, place) if "security" in source else (self._document, ())
        ways = []
        for number, way in enumerate(as_list(owner.get("security", []), (*there, "security"))):
            way_place: Place = (*there, "security", number)
            schemes = [
                self._scheme(name, scopes, (*way_place, name)) for name, scopes in as_object(way, way_place).items()
            ]
            if None not in schemes:
                ways.append(tuple(scheme for scheme in schemes if scheme is not None))
        return tuple(ways)

    def _scheme(self, name: str, scopes: Any, place: Place) -> SecurityScheme | None:
        """None if the document does not say what it is."""
        components = as_object(self._document.get("components", {}), ("components",))
        schemes = as_object(components.get("securitySchemes", {}), ("components", "securitySchemes"))
        if name not in schemes:
            return None
        found, there = self._references.resolved(schemes[name], ("components", "securitySchemes", name))
        source = as_object(found, there)
        scheme = SecurityScheme(
            name=name,
            type=as_text(source.get("type"), (*there, "type")),
            scheme=_text(source, "scheme", there).lower(),
            where=_text(source, "in", there),
            key=_text(source, "name", there),
            scopes=tuple(as_text(scope, place) for scope in as_list(scopes, place)),
        )
        if scheme.type != "oauth2":
            return scheme
        flows = as_object(source.get("flows"), (*there, "flows"))
        flow = as_object(flows.get("clientCredentials", {}), (*there, "flows", "clientCredentials"))
        try:
            return replace(scheme, token_url=urljoin(self._url, _text(flow, "tokenUrl", there)))
        except ValueError:
            raise BadDocument((*there, "flows", "clientCredentials", "tokenUrl"), "This is not a valid URL.") from None


def _check_number(document: Members) -> None:
    paths = document.get("paths")
    items = paths.values() if isinstance(paths, dict) else ()
    if sum(method in item for item in items if isinstance(item, dict) for method in METHODS) > MAX_OPERATIONS:
        raise BadDocument("paths", f"The document has more than {MAX_OPERATIONS:,} operations.")


def _template(path: str) -> str:
    """Without a fragment, and with no more of a query than what is always the same: parameters add the rest."""
    path, _, query = path.partition("#")[0].partition("?")
    fixed = "&".join(pair for pair in query.split("&") if pair and "{" not in pair)
    return f"{path}?{fixed}" if fixed else path


def _check_template(path: str, parameters: list[tuple[dict[str, Any], Place]], place: Place) -> None:
    named = {parameter["name"] for parameter, _ in parameters if parameter["in"] == "path"}
    for name in _TEMPLATE.findall(path):
        if name not in named:
            raise BadDocument(place, f"The path has “{{{name}}}”, and no parameter in the path has that name.")
    # What the path has no room for is not asked for.
    parameters[:] = [each for each in parameters if each[0]["in"] != "path" or f"{{{each[0]['name']}}}" in path]


def _text(source: dict[str, Any], name: str, place: Place) -> str:
    return as_text(source[name], (*place, name)).strip() if source.get(name) is not None else ""


def _made(text: str) -> str:
    name = re.sub(r"[^a-zA-Z0-9]+", "_", text).strip("_")
    return f"_{name}" if not name or name[0].isdigit() else name


def _shortened(text: str) -> str:
    if len(text) <= MAX_DESCRIPTION:
        return text
    cut = text[: MAX_DESCRIPTION - 1]
    return cut[: max(cut.rfind(" "), cut.rfind("\n"), MAX_DESCRIPTION // 2)].rstrip() + "…"
