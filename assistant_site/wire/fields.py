"""Serializer fields for requests (strict, first fault wins) and for objects (plain reading of attributes).

Request fields never coerce: the hosted API did not take `"1"` for 1. They are DRF fields, so that drf-spectacular
describes them, but raise `grammar.Fault` instead of DRF's validation errors.
"""

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from operator import attrgetter
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.fields import empty

from assistant_site.wire import grammar
from assistant_site.wire.grammar import Fault

JSON = Any  # JSON as it comes in and goes out


class RequestField:
    """What request fields share. `null` in a body means "not given" unless the field is required."""

    required: bool
    allow_null: bool

    def value_if_absent(self) -> JSON:
        default = getattr(self, "default", empty)
        if default is empty:
            return None
        return default() if callable(default) else default

    def run_validation(self, data: JSON = empty) -> JSON:
        if data is None and self.allow_null:
            return self.value_if_absent()
        return self.check(data)

    def check(self, value: JSON) -> JSON:
        raise NotImplementedError


def _options(options: dict[str, Any]) -> dict[str, Any]:
    """DRF's keyword arguments: optional fields take null, required ones do not."""
    options.setdefault("required", False)
    options.setdefault("allow_null", not options["required"])
    if options["required"]:
        options.pop("default", None)
    return options


def storable(value: str) -> str:
    if "\x00" in value:
        raise grammar.unstorable()
    return value


class Text(RequestField, serializers.CharField):
    def __init__(
        self, *, most: int | None = None, least: int = 0, pattern: str | None = None, id_word: str = "", **options: Any
    ) -> None:
        self.most, self.least, self.pattern, self.id_word = most, least, pattern, id_word
        super().__init__(allow_blank=not least, max_length=most, trim_whitespace=False, **_options(options))

    def check(self, value: JSON) -> str:
        if not isinstance(value, str):
            raise grammar.wrong_type("a string", value)
        if self.most is not None and len(value) > self.most:
            raise grammar.too_long(value, self.most)
        if len(value) < self.least:
            raise grammar.too_short(value, self.least)
        if not value.startswith(self.id_word):
            raise grammar.wrong_id(value, self.id_word)
        if self.pattern and not re.fullmatch(self.pattern.strip("^$"), value):
            raise grammar.no_match(self.pattern)
        return storable(value)


class Integer(RequestField, serializers.IntegerField):
    def __init__(self, *, low: int | None = None, high: int | None = None, **options: Any) -> None:
        self.low, self.high = low, high
        super().__init__(min_value=low, max_value=high, **_options(options))

    def check(self, value: JSON) -> int:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise grammar.wrong_type("an integer", value)
        if isinstance(value, float) and not value.is_integer():
            raise grammar.wrong_type("an integer", value)
        if self.high is not None and value > self.high:
            raise grammar.above_max("integer", value, self.high)
        if self.low is not None and value < self.low:
            raise grammar.below_min("integer", value, self.low)
        if abs(value) >= 2**63:
            raise grammar.above_max("integer", value, 2**63 - 1)
        return int(value)


class Decimal(RequestField, serializers.FloatField):
    def __init__(self, *, low: float | None = None, high: float | None = None, **options: Any) -> None:
        self.low, self.high = low, high
        super().__init__(min_value=low, max_value=high, **_options(options))

    def check(self, value: JSON) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise grammar.wrong_type("a decimal number", value)
        if self.high is not None and value > self.high:
            raise grammar.above_max("decimal", value, self.high)
        if self.low is not None and value < self.low:
            raise grammar.below_min("decimal", value, self.low)
        return float(value)


class Boolean(RequestField, serializers.BooleanField):
    def __init__(self, **options: Any) -> None:
        super().__init__(**_options(options))

    def check(self, value: JSON) -> bool:
        if not isinstance(value, bool):
            raise grammar.wrong_type("a boolean", value)
        return value


class OneOf(RequestField, serializers.ChoiceField):
    """A string out of a fixed set."""

    def __init__(self, *values: str, **options: Any) -> None:
        self.values = values
        super().__init__(choices=list(values), **_options(options))

    def check(self, value: JSON) -> str:
        if not isinstance(value, str):
            raise grammar.wrong_type(f"one of {grammar.listing(self.values)}", value)
        if value not in self.values:
            raise grammar.not_supported(value, self.values)
        return value


class ListOf(RequestField, serializers.ListField):
    def __init__(self, child: serializers.Field, *, most: int | None = None, least: int = 0, **options: Any) -> None:  # type: ignore[type-arg]
        self.most, self.least = most, least
        super().__init__(child=child, max_length=most, min_length=least or None, **_options(options))

    def check(self, value: JSON) -> list[JSON]:
        if not isinstance(value, list):
            raise grammar.wrong_type("an array", value)
        if self.most is not None and len(value) > self.most:
            raise grammar.too_many(len(value), self.most)
        if len(value) < self.least:
            raise grammar.too_few(len(value), self.least)
        checked = []
        for index, item in enumerate(value):
            try:
                checked.append(self.child.run_validation(item))
            except Fault as fault:
                raise fault.under(index) from None
        return checked


@extend_schema_field({"type": "object", "additionalProperties": {"type": "string", "maxLength": 512}})
class Metadata(RequestField, serializers.JSONField):
    """Up to 16 pairs of strings, keys up to 64 and values up to 512 characters."""

    def __init__(self, **options: Any) -> None:
        options.setdefault("default", dict)
        super().__init__(**_options(options))

    def check(self, value: JSON) -> dict[str, JSON]:
        if not isinstance(value, dict):
            raise grammar.wrong_type("an object", value)
        if len(value) > 16:
            raise grammar.too_many_properties(len(value), 16)
        for key, item in value.items():
            try:
                if len(key) > 64:
                    raise grammar.property_name_too_long(key, 64)
                self.check_value(item)
                storable(key)
            except Fault as fault:
                raise fault.under(key) from None
        return value

    def check_value(self, item: JSON) -> None:
        if not isinstance(item, str):
            raise grammar.wrong_type("a string", item)
        if len(item) > 512:
            raise grammar.too_long(item, 512)
        storable(item)


MAX_DEPTH = 100  # of free JSON; what reads it later must not run out of stack


def check_free(value: JSON) -> None:
    """Refuses what could not be stored or answered: U+0000, and nesting without end."""
    level = [value]
    for _ in range(MAX_DEPTH):
        inner: list[JSON] = []
        for item in level:
            if isinstance(item, str):
                storable(item)
            elif isinstance(item, list):
                inner += item
            elif isinstance(item, dict):
                for key in item:
                    storable(key)
                inner += item.values()
        if not inner:
            return
        level = inner
    raise grammar.too_deep(MAX_DEPTH)


@extend_schema_field({"type": "object", "additionalProperties": True})
class FreeObject(RequestField, serializers.JSONField):
    """An object whose inside is not ours to judge, such as a JSON schema."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**_options(options))

    def check(self, value: JSON) -> dict[str, JSON]:
        if not isinstance(value, dict):
            raise grammar.wrong_type("an object", value)
        check_free(value)
        return value


class Union(RequestField, serializers.JSONField):
    """A value of one of several shapes: `shape_of` returns the one that is to check it, or raises."""

    shapes: tuple[RequestField, ...] = ()

    def __init__(self, **options: Any) -> None:
        super().__init__(**_options(options))

    def shape_of(self, value: JSON) -> RequestField:
        raise NotImplementedError

    def check(self, value: JSON) -> JSON:
        return self.shape_of(value).run_validation(value)


class RequestSerializer(RequestField, serializers.Serializer):  # type: ignore[type-arg]
    """An object in a request: required keys first, then unknown keys, then each value; the first fault wins.

    The result holds every declared field: what was not given has its default (None unless declared). With
    `partial=True` only what was given is there, and null stands for the default (it clears).
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **_options(options))

    def check(self, value: JSON) -> dict[str, JSON]:
        if not isinstance(value, dict):
            raise grammar.wrong_type("an object", value)
        fields: Mapping[str, Any] = self.fields
        if not self.partial:
            for name, field in fields.items():
                if field.required and name not in value:
                    raise grammar.missing(name)
        for key in value:
            if key not in fields:
                raise grammar.unknown(key)
        checked: dict[str, JSON] = {}
        for name, field in fields.items():
            if name not in value:
                if not self.partial and not field.required:
                    checked[name] = field.value_if_absent()
                continue
            try:
                checked[name] = field.run_validation(value[name])
            except Fault as fault:
                raise fault.under(name) from None
        return self.check_whole(checked)

    def check_whole(self, checked: dict[str, JSON]) -> dict[str, JSON]:
        """For rules that concern several fields."""
        return checked


class ByType(RequestField, serializers.JSONField):
    """An object whose `type` says which serializer describes it."""

    def __init__(self, shapes: Mapping[str, type[RequestSerializer]], **options: Any) -> None:
        self.shapes = {name: shape() for name, shape in shapes.items()}
        super().__init__(**_options(options))

    def check(self, value: JSON) -> JSON:
        if not isinstance(value, dict):
            raise grammar.wrong_type("an object", value)
        if "type" not in value:
            raise grammar.missing("type")
        kind = value["type"]
        if not isinstance(kind, str):
            raise grammar.wrong_type("a string", kind).under("type")
        if kind not in self.shapes:
            raise grammar.not_supported(kind, self.shapes).under("type")
        return self.shapes[kind].run_validation(value)


# --- What goes out ---------------------------------------------------------------------------------------------------


class Constant(serializers.CharField):
    """A fixed text, such as an object's `object`."""

    def __init__(self, value: str, **options: Any) -> None:
        self.value = value
        super().__init__(read_only=True, **options)

    def get_attribute(self, instance: object) -> str:
        return self.value

    def to_representation(self, value: str) -> str:
        return value


class Plain(serializers.CharField):
    """A string, or null, as it is."""

    def to_representation(self, value: Any) -> Any:
        return value


class OneUnlessSet(serializers.FloatField):
    """A sampling setting: 1.0 when nobody set it. The row keeps null then, so that it is not sent to the model."""

    def get_attribute(self, instance: Any) -> float:
        value: float | None = super().get_attribute(instance)
        return 1.0 if value is None else value


class UnixTime(serializers.IntegerField):
    """A moment in whole seconds since 1970."""

    def to_representation(self, value: datetime) -> int:  # type: ignore[override]
        return int(value.timestamp())


class FineTime(serializers.FloatField):
    """A moment in seconds since 1970, with milliseconds."""

    def to_representation(self, value: datetime) -> float:  # type: ignore[override]
        return round(value.timestamp(), 3)


@extend_schema_field({"type": "object", "additionalProperties": True})
class PlainObject(serializers.JSONField):
    """JSON as it is stored: an object."""

    def to_representation(self, value: Any) -> Any:
        return value


@extend_schema_field({"type": "array", "items": {"type": "object", "additionalProperties": True}})
class PlainList(serializers.JSONField):
    """JSON as it is stored: a list of objects."""

    def to_representation(self, value: Any) -> Any:
        return value


class ObjectSerializer(serializers.Serializer):  # type: ignore[type-arg]
    """An object of the wire, read from a row. `of(row)` is the one way to make its JSON, for answers and events alike.

    How each field is read is found out once a class: DRF copies all of them for each serializer instance, and asks
    each value what it is, which costs more than reading the row.
    """

    _readers: tuple[tuple[str, Callable[[Any], JSON]], ...]

    @classmethod
    def of(cls, row: object) -> dict[str, JSON]:
        readers = cls.__dict__.get("_readers")
        if readers is None:
            readers = cls._readers = tuple((name, reader_of(field)) for name, field in cls().fields.items())
        return {name: read(row) for name, read in readers}

    def to_representation(self, instance: object) -> dict[str, JSON]:
        return self.of(instance)


def reader_of(field: Any) -> Callable[[Any], JSON]:
    """A function of a row (or a dict) that gives what the field shows of it."""
    kind = type(field)
    is_attribute = kind.get_attribute is serializers.Field.get_attribute and len(field.source_attrs) == 1
    take = attrgetter(field.source) if is_attribute else field.get_attribute
    shown_as_it_is = (Plain.to_representation, PlainObject.to_representation, PlainList.to_representation)
    show = None if kind.to_representation in shown_as_it_is else field.to_representation

    def read(row: Any) -> JSON:
        try:
            value = take(row)
        except AttributeError:  # a dict, or something that is null where it is not there
            value = field.get_attribute(row)
        return value if value is None or show is None else show(value)

    return read
