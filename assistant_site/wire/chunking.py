"""How a file is to be cut into passages, as requests say it; and the attributes of a file in a vector store."""

from dataclasses import dataclass
from typing import Any

from drf_spectacular.utils import extend_schema_field

from assistant_site.wire import grammar
from assistant_site.wire.fields import ByType, Integer, Metadata, RequestSerializer, Text


@dataclass(frozen=True)
class Chunking:
    """Sizes in tokens; the defaults are those of `auto`."""

    max_tokens: int = 800
    overlap_tokens: int = 400

    @property
    def wire(self) -> dict[str, Any]:
        """As it is answered: `auto` too is shown as the sizes that it stands for."""
        sizes = {"max_chunk_size_tokens": self.max_tokens, "chunk_overlap_tokens": self.overlap_tokens}
        return {"type": "static", "static": sizes}


class AutoChunkingStrategyRequestParamSerializer(RequestSerializer):
    type = Text(required=True)

    def check_whole(self, checked: dict[str, Any]) -> Any:
        return Chunking()


class StaticChunkingStrategySerializer(RequestSerializer):
    max_chunk_size_tokens = Integer(low=100, high=4096, required=True)
    chunk_overlap_tokens = Integer(low=0, required=True)

    def check_whole(self, checked: dict[str, Any]) -> dict[str, Any]:
        size, overlap = checked["max_chunk_size_tokens"], checked["chunk_overlap_tokens"]
        if overlap > size // 2:
            raise grammar.above_max("integer", overlap, size // 2).under("chunk_overlap_tokens")
        return checked


class StaticChunkingStrategyRequestParamSerializer(RequestSerializer):
    type = Text(required=True)
    static = StaticChunkingStrategySerializer(required=True)

    def check_whole(self, checked: dict[str, Any]) -> Any:
        sizes = checked["static"]
        return Chunking(sizes["max_chunk_size_tokens"], sizes["chunk_overlap_tokens"])


def chunking_field(**options: Any) -> ByType:
    """A field whose value is a `Chunking`, or None if it was not given."""
    return ByType(
        {
            "auto": AutoChunkingStrategyRequestParamSerializer,
            "static": StaticChunkingStrategyRequestParamSerializer,
        },
        **options,
    )


@extend_schema_field(
    {
        "type": "object",
        "maxProperties": 16,
        "additionalProperties": {
            "oneOf": [{"type": "string", "maxLength": 512}, {"type": "number"}, {"type": "boolean"}]
        },
    }
)
class Attributes(Metadata):
    """Like metadata, but that values may be numbers and booleans, too. Null always stands for none."""

    def __init__(self, **options: Any) -> None:
        options.setdefault("allow_null", True)
        super().__init__(**options)

    def value_if_absent(self) -> dict[str, Any]:
        return {}

    def check_value(self, item: Any) -> None:
        if isinstance(item, str):
            super().check_value(item)
        elif not isinstance(item, bool | int | float):
            raise grammar.wrong_type("one of a string, a number, or a boolean", item)
