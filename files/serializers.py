"""Files and uploads on the wire."""

import re
from datetime import datetime
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from assistant_site.wire import grammar
from assistant_site.wire.errors import InvalidRequest
from assistant_site.wire.fields import (
    Constant,
    Integer,
    ListOf,
    ObjectSerializer,
    OneOf,
    Plain,
    RequestSerializer,
    Text,
    UnixTime,
)
from assistant_site.wire.rest import prepared
from files.uploads import MAX_BYTES, file_expiry

PURPOSES = ("fine-tune", "assistants", "batch", "user_data", "vision", "evals")  # in the order of the error's text


class FileExpirationAfterSerializer(RequestSerializer):
    anchor = OneOf("created_at", required=True)
    seconds = Integer(low=3_600, high=2_592_000, required=True)


@extend_schema_field({"type": "string", "format": "binary"})
class Bytes(serializers.CharField):
    """The description of a file in a form."""


class CreateFileRequestSerializer(serializers.Serializer):  # type: ignore[type-arg]
    """The form of `POST /files`; `file_fields` judges it."""

    file = Bytes()
    purpose = serializers.ChoiceField(choices=sorted(PURPOSES))
    expires_after = FileExpirationAfterSerializer()


class AddUploadPartRequestSerializer(serializers.Serializer):  # type: ignore[type-arg]
    data = Bytes()  # type: ignore[assignment]  # DRF takes declared fields out of the class


def file_fields(texts: dict[str, str], now: datetime) -> dict[str, Any]:
    """Purpose and expiry of a new file, from the texts of its form, in the words of the hosted API's file service."""
    given = dict(texts)
    if "purpose" not in given:
        raise InvalidRequest("'purpose' is a required property", param="purpose")
    purpose = given.pop("purpose")
    expiry = {key: given.pop(f"expires_after[{key}]", None) for key in ("anchor", "seconds")}
    for name in given:
        raise grammar.unknown(name)
    if purpose not in PURPOSES:
        raise InvalidRequest(f"{purpose!r} is not one of {list(PURPOSES)} - 'purpose'", param="purpose")
    return {"purpose": purpose, "expires_at": file_expiry(now, purpose, _after_seconds(expiry))}


def _after_seconds(expiry: dict[str, str | None]) -> int | None:
    """The seconds of `expires_after`, whose values come as texts in a form."""
    given: dict[str, Any] = {key: value for key, value in expiry.items() if value is not None}
    if not given:
        return None
    if re.fullmatch(r"-?[0-9]{1,18}", given.get("seconds", "")):
        given["seconds"] = int(given["seconds"])
    try:
        checked = prepared(FileExpirationAfterSerializer, False).run_validation(given)
    except grammar.Fault as fault:
        raise fault.under("expires_after") from None
    return int(checked["seconds"])


class Never(serializers.CharField):
    """A text that is always null here: nothing is checked after the upload."""

    def __init__(self) -> None:
        super().__init__(allow_null=True, read_only=True)

    def get_attribute(self, instance: object) -> None:
        return None


class OpenAIFileSerializer(ObjectSerializer):
    id = Plain()
    object = Constant("file")
    purpose = Plain()
    filename = Plain()
    bytes = serializers.IntegerField()
    created_at = UnixTime()
    expires_at = UnixTime(allow_null=True)
    status = Constant("processed")
    status_details = Never()


class CreateUploadRequestSerializer(RequestSerializer):
    filename = Text(least=1, required=True)
    purpose = OneOf("assistants", "batch", "fine-tune", "vision", "user_data", "evals", required=True)
    bytes = Integer(low=1, high=MAX_BYTES, required=True)
    mime_type = Text(most=256, required=True)
    expires_after = FileExpirationAfterSerializer()


class CompleteUploadRequestSerializer(RequestSerializer):
    part_ids = ListOf(Text(required=True), least=1, required=True)
    md5 = Text(pattern="^[0-9a-fA-F]{32}$")


class UploadSerializer(ObjectSerializer):
    id = Plain()
    object = Constant("upload")
    created_at = UnixTime()
    filename = Plain()
    bytes = serializers.IntegerField()
    purpose = Plain()
    status = Plain()
    expires_at = UnixTime()
    file = OpenAIFileSerializer(allow_null=True)


class UploadPartSerializer(ObjectSerializer):
    id = Plain()
    object = Constant("upload.part")
    created_at = UnixTime()
    upload_id = Plain()
