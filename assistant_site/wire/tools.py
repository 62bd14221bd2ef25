"""Shapes that assistants, threads and runs have in common: tools, their resources, response formats."""

from typing import Any

from assistant_site.wire import grammar
from assistant_site.wire.chunking import chunking_field
from assistant_site.wire.fields import (
    Boolean,
    ByType,
    Decimal,
    FreeObject,
    Integer,
    ListOf,
    Metadata,
    OneOf,
    RequestField,
    RequestSerializer,
    Text,
    Union,
)
from assistant_site.wire.filters import AttributeFilter

NAME_PATTERN = "^[a-zA-Z0-9_-]+$"
RANKERS = ("auto", "default_2024_08_21")
REASONING_EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")


# --- Tools -----------------------------------------------------------------------------------------------------------


class BareToolSerializer(RequestSerializer):
    """A tool without options of its own."""

    type = Text(required=True)


class AssistantToolsCodeSerializer(BareToolSerializer):
    pass


class RetrievalSerializer(BareToolSerializer):
    """The name of `file_search` in the first version of the API, which Open Assistant API takes too."""

    def check_whole(self, checked: dict[str, Any]) -> dict[str, Any]:
        return dict(AssistantToolsFileSearchSerializer().run_validation({"type": "file_search"}))


class HybridSearchSerializer(RequestSerializer):
    """How much vectors and words count when both find passages; OpenAI's later APIs have these."""

    embedding_weight = Decimal(low=0, required=True)
    text_weight = Decimal(low=0, required=True)

    def check_whole(self, checked: dict[str, Any]) -> dict[str, Any]:
        if not any(checked.values()):
            raise grammar.invalid_value(lambda path: f"Invalid '{path}': at least one weight must be above 0.")
        return checked


class FileSearchRankingOptionsSerializer(RequestSerializer):
    ranker = OneOf(*RANKERS)
    score_threshold = Decimal(low=0, high=1, required=True)
    hybrid_search = HybridSearchSerializer()

    def check_whole(self, checked: dict[str, Any]) -> dict[str, Any]:
        ranker = checked["ranker"] if checked["ranker"] not in (None, "auto") else "default_2024_08_21"
        kept = {"ranker": ranker, "score_threshold": checked["score_threshold"]}
        return kept | ({"hybrid_search": checked["hybrid_search"]} if checked["hybrid_search"] else {})


class FileSearchOptionsSerializer(RequestSerializer):
    max_num_results = Integer(low=1, high=50)
    ranking_options = FileSearchRankingOptionsSerializer()
    hybrid_search = FreeObject()  # comes back from clients that echo what the hosted API answered
    filters = AttributeFilter()

    def check_whole(self, checked: dict[str, Any]) -> dict[str, Any]:
        ranking = checked["ranking_options"] or {"ranker": "default_2024_08_21", "score_threshold": 0.0}
        limit = checked["max_num_results"]
        given = {"max_num_results": limit, "filters": checked["filters"]}
        return {"ranking_options": ranking} | {name: value for name, value in given.items() if value is not None}


class AssistantToolsFileSearchSerializer(RequestSerializer):
    type = Text(required=True)
    file_search = FileSearchOptionsSerializer()

    def check_whole(self, checked: dict[str, Any]) -> dict[str, Any]:
        return {
            "type": "file_search",
            "file_search": checked["file_search"] or FileSearchOptionsSerializer().run_validation({}),
        }


class FunctionObjectSerializer(RequestSerializer):
    name = Text(most=64, least=1, pattern=NAME_PATTERN, required=True)
    description = Text()
    parameters = FreeObject()
    strict = Boolean(default=False)

    def check_whole(self, checked: dict[str, Any]) -> dict[str, Any]:
        if checked["parameters"] is None:
            checked["parameters"] = {"type": "object", "properties": {}}
        check_function_schema(checked["name"], checked["parameters"], strict=checked["strict"])
        if checked["description"] is None:
            del checked["description"]
        return checked


class AssistantToolsFunctionSerializer(RequestSerializer):
    type = Text(required=True)
    function = FunctionObjectSerializer(required=True)


def check_function_schema(name: str, schema: dict[str, Any], *, strict: bool) -> None:
    """Refuses parameters that are no object schema and, for strict functions, what structured outputs do not take."""

    def refuse(what: str) -> grammar.Fault:
        return grammar.invalid_value(
            lambda path: f"Invalid schema for function '{name}': {what}", code="invalid_function_parameters"
        ).under("parameters")

    kind = schema.get("type")
    if kind is not None and kind != "object":
        raise refuse(f"schema must be a JSON Schema of 'type: \"object\"', got 'type: \"{kind}\"'.")
    if not strict:
        return
    waiting: list[tuple[tuple[str, ...], Any]] = [((), schema)]
    while waiting:
        context, part = waiting.pop()
        if not isinstance(part, dict):
            continue
        properties = part.get("properties")
        if part.get("type") == "object" or isinstance(properties, dict):
            if part.get("additionalProperties") is not False:
                raise refuse(
                    f"In context={context}, 'additionalProperties' is required to be supplied and to be false."
                )
            required = part.get("required")
            for key in properties if isinstance(properties, dict) else ():
                if not isinstance(required, list) or key not in required:
                    raise refuse(
                        f"In context={context}, 'required' is required to be supplied and to be an array including "
                        f"every key in properties. Missing '{key}'."
                    )
        for word in ("properties", "$defs", "definitions"):
            inner = part.get(word)
            if isinstance(inner, dict):
                waiting += [((*context, word, key), value) for key, value in inner.items()]
        for word in ("anyOf", "allOf", "oneOf"):
            inner = part.get(word)
            if isinstance(inner, list):
                waiting += [((*context, word, str(at)), value) for at, value in enumerate(inner)]
        waiting.append(((*context, "items"), part.get("items")))


# --- Tool resources --------------------------------------------------------------------------------------------------


class CodeInterpreterResourcesSerializer(RequestSerializer):
    file_ids = ListOf(Text(required=True), most=20, default=list)


class FileSearchResourcesSerializer(RequestSerializer):
    vector_store_ids = ListOf(Text(required=True), most=1)

    def check_whole(self, checked: dict[str, Any]) -> dict[str, Any]:
        return {"vector_store_ids": checked["vector_store_ids"] or []}


class NewVectorStoreSerializer(RequestSerializer):
    file_ids = ListOf(Text(least=1, required=True), most=10_000, default=list)
    chunking_strategy = chunking_field()
    metadata = Metadata()


class NewFileSearchResourcesSerializer(FileSearchResourcesSerializer):
    """Where an object is created, a store can be created with it: `vector_stores.resources` makes an id of it."""

    vector_stores = ListOf(NewVectorStoreSerializer(required=True), most=1)

    def check_whole(self, checked: dict[str, Any]) -> dict[str, Any]:
        asked_for = checked["vector_stores"]
        if asked_for and checked["vector_store_ids"]:
            raise grammar.invalid_value(
                lambda path: f"Invalid '{path}': give either 'vector_store_ids' or 'vector_stores', not both."
            )
        return super().check_whole(checked) | ({"vector_stores": asked_for} if asked_for else {})


class ToolResourcesSerializer(RequestSerializer):
    """Only the tools that were named are kept."""

    code_interpreter = CodeInterpreterResourcesSerializer()
    file_search = FileSearchResourcesSerializer()

    def check_whole(self, checked: dict[str, Any]) -> dict[str, Any]:
        return {tool: resources for tool, resources in checked.items() if resources is not None}


class NewToolResourcesSerializer(ToolResourcesSerializer):
    file_search = NewFileSearchResourcesSerializer()


# --- Response formats ------------------------------------------------------------------------------------------------


class PlainFormatSerializer(RequestSerializer):
    type = Text(required=True)


class JSONSchemaSerializer(RequestSerializer):
    name = Text(most=64, least=1, pattern=NAME_PATTERN, required=True)
    description = Text()
    schema = FreeObject()
    strict = Boolean()


class JSONSchemaFormatSerializer(RequestSerializer):
    type = Text(required=True)
    json_schema = JSONSchemaSerializer(required=True)


_FORMATS = ByType(
    {"text": PlainFormatSerializer, "json_object": PlainFormatSerializer, "json_schema": JSONSchemaFormatSerializer}
)


class ResponseFormat(Union):
    """`"auto"` or an object; echoed as it was sent."""

    shapes = (OneOf("auto"), _FORMATS)

    def shape_of(self, value: Any) -> RequestField:
        return self.shapes[0 if isinstance(value, str) else 1]

    def check(self, value: Any) -> Any:
        super().check(value)
        return value
