"""Which types of tools requests may name: the shapes of OpenAI's own, and of those that the app `tools` registers."""

from collections.abc import Callable
from typing import Any

from assistant_site.wire.fields import ByType, ListOf, PlainList, RequestSerializer, Text
from assistant_site.wire.tools import (
    NAME_PATTERN,
    AssistantToolsCodeSerializer,
    AssistantToolsFileSearchSerializer,
    AssistantToolsFunctionSerializer,
    BareToolSerializer,
    RetrievalSerializer,
)

SEALED = "sealed"  # the key under which a stored tool has its credentials, encrypted; never answered


class NamedFunctionSerializer(RequestSerializer):
    name = Text(most=64, least=1, pattern=NAME_PATTERN, required=True)


class NamedToolChoiceFunctionSerializer(RequestSerializer):
    type = Text(required=True)
    function = NamedFunctionSerializer(required=True)


class NamedServedToolSerializer(RequestSerializer):
    """One of the tools of which a run may have several, or which offer several functions."""

    type = Text(required=True)
    id = Text()
    server_label = Text()
    name = Text()

    def check_whole(self, checked: dict[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in checked.items() if value is not None}


# How each type of tool is written in `tools`, and in `tool_choice`.
_SHAPES: dict[str, type[RequestSerializer]] = {
    "code_interpreter": AssistantToolsCodeSerializer,
    "file_search": AssistantToolsFileSearchSerializer,
    "function": AssistantToolsFunctionSerializer,
    "retrieval": RetrievalSerializer,
}
_CHOICES: dict[str, type[RequestSerializer]] = {
    "function": NamedToolChoiceFunctionSerializer,
    "file_search": BareToolSerializer,
    "code_interpreter": BareToolSerializer,
}
Judge = Callable[[Any, list[dict[str, Any]]], None]  # of a tenant and tools
_judges: list[Judge] = []


def register(type: str, shape: type[RequestSerializer], judge: Judge | None = None) -> None:
    """Makes a type of tool known to requests; when Django starts, before any request is read.

    `judge` refuses tools whose shape is right but which a tenant does not have, by the error that the caller gets.
    """
    _SHAPES[type] = shape
    _CHOICES[type] = NamedServedToolSerializer
    if judge is not None and judge not in _judges:
        _judges.append(judge)


def tools_field(**options: Any) -> ListOf:
    return ListOf(ByType(_SHAPES, required=True), most=128, **options)


def choice_shape() -> ByType:
    return ByType(_CHOICES)


def judge_tools(tenant: Any, tools: list[dict[str, Any]]) -> None:
    """Refuses tools that this tenant does not have."""
    for judge in _judges:
        judge(tenant, tools)


class Tools(PlainList):
    """Tools as they are answered: without their credentials."""

    def to_representation(self, value: Any) -> Any:
        return [{key: tool[key] for key in tool if key != SEALED} for tool in value]


def keep_sealed(tools: list[dict[str, Any]], before: list[dict[str, Any]]) -> None:
    """Gives changed tools the credentials that they had, if they come without: clients send back what they have read.

    Only for the same server: for another address they must be given anew. An empty text says that there are none.
    """

    def place(tool: dict[str, Any]) -> tuple[Any, ...]:
        return tool["type"], tool.get("server_label"), tool.get("server_url")

    known = {place(tool): tool[SEALED] for tool in before if tool.get(SEALED)}
    for tool in tools:
        if SEALED not in tool and place(tool) in known:
            tool[SEALED] = known[place(tool)]
