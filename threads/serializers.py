"""Threads and messages on the wire."""

import re
from typing import Any

from rest_framework import serializers

from assistant_site.wire import grammar
from assistant_site.wire.errors import InvalidRequest
from assistant_site.wire.fields import (
    Boolean,
    ByType,
    Constant,
    ListOf,
    Metadata,
    ObjectSerializer,
    OneOf,
    Plain,
    PlainList,
    PlainObject,
    RequestField,
    RequestSerializer,
    Text,
    Union,
    UnixTime,
)
from assistant_site.wire.tools import NewToolResourcesSerializer, ToolResourcesSerializer
from tenants.end_users import EndUserName
from threads.models import MAX_TITLE

MAX_TEXT = 256_000
IMAGE_EXTENSIONS = (".jpeg", ".jpg", ".png", ".gif", ".webp")
_EXTENSION = re.compile(r"\.[A-Za-z0-9]{1,5}$")


class MessageRequestContentTextSerializer(RequestSerializer):
    type = Text(required=True)
    text = Text(most=MAX_TEXT, required=True)

    def check_whole(self, checked: dict[str, Any]) -> dict[str, Any]:
        return text_part(checked["text"])


def text_part(text: str) -> dict[str, Any]:
    return {"type": "text", "text": {"value": text, "annotations": []}}


class ImageUrl(Text):
    """A web address or a data URL; an address that names another kind of file is refused."""

    def check(self, value: Any) -> str:
        url = super().check(value)
        if url.startswith("data:image/"):
            return url
        if not url.startswith(("http://", "https://")):
            raise grammar.invalid_value(
                lambda path: f"Invalid '{path}'. Expected a valid URL, but got a value with an invalid format."
            )
        extension = _EXTENSION.search(url.split("?")[0].split("#")[0].partition("://")[2].partition("/")[2])
        if extension and extension[0].lower() not in IMAGE_EXTENSIONS:
            raise grammar.invalid_value(lambda path: f"Invalid '{path}'. Expected url to end in a supported format.")
        return url


class ImageURLSerializer(RequestSerializer):
    url = ImageUrl(most=30_000_000, required=True)
    detail = OneOf("auto", "low", "high", default="auto")


class MessageContentImageUrlSerializer(RequestSerializer):
    type = Text(required=True)
    image_url = ImageURLSerializer(required=True)


class ImageFileSerializer(RequestSerializer):
    file_id = Text(least=1, required=True)
    detail = OneOf("auto", "low", "high", default="auto")


class MessageContentImageFileSerializer(RequestSerializer):
    type = Text(required=True)
    image_file = ImageFileSerializer(required=True)


_PARTS = ListOf(
    ByType(
        {
            "text": MessageRequestContentTextSerializer,
            "image_url": MessageContentImageUrlSerializer,
            "image_file": MessageContentImageFileSerializer,
        },
        required=True,
    )
)


class MessageContent(Union):
    """A string, or a list of parts; the result is the list of parts as it is stored and answered."""

    shapes = (Text(most=MAX_TEXT), _PARTS)

    def shape_of(self, value: Any) -> RequestField:
        if isinstance(value, str | list):
            return self.shapes[0 if isinstance(value, str) else 1]
        raise grammar.wrong_type("one of a string or array of objects", value)

    def check(self, value: Any) -> list[dict[str, Any]]:
        checked = super().check(value)
        parts = [text_part(checked)] if isinstance(checked, str) else checked
        if not any(part["type"] != "text" or part["text"]["value"] for part in parts):
            raise InvalidRequest("Message content must be non-empty.", param="content")
        return list(parts)


class AttachmentToolSerializer(RequestSerializer):
    type = OneOf("code_interpreter", "file_search", required=True)


class AttachmentSerializer(RequestSerializer):
    file_id = Text(least=1, required=True)
    tools = ListOf(AttachmentToolSerializer(required=True), default=list)


class CreateMessageRequestSerializer(RequestSerializer):
    role = OneOf("user", "assistant", required=True)
    content = MessageContent(required=True)
    attachments = ListOf(AttachmentSerializer(required=True), default=list)
    metadata = Metadata()


class ModifyMessageRequestSerializer(RequestSerializer):
    metadata = Metadata()


class ModifyThreadRequestSerializer(RequestSerializer):
    tool_resources = ToolResourcesSerializer(default=dict)
    metadata = Metadata()
    title = Text(most=MAX_TITLE, default="")
    archived = Boolean(default=False)


class CreateThreadRequestSerializer(RequestSerializer):
    messages = ListOf(CreateMessageRequestSerializer(required=True), default=list)
    tool_resources = NewToolResourcesSerializer(default=dict)
    metadata = Metadata()
    user = EndUserName()
    title = Text(most=MAX_TITLE, default="")
    archived = Boolean(default=False)


class ThreadObjectSerializer(ObjectSerializer):
    id = Plain()
    object = Constant("thread")
    created_at = UnixTime()
    metadata = PlainObject()
    tool_resources = PlainObject()

    @classmethod
    def of(cls, row: Any) -> dict[str, Any]:
        """With `user`, `title` and `archived`, which OpenAI's threads do not have, only if they were set."""
        wire = super().of(row)
        if row.end_user:
            wire["user"] = row.end_user
        if row.title:
            wire["title"] = row.title
        if row.is_archived:
            wire["archived"] = True
        return wire


class ListedThreadObjectSerializer(ThreadObjectSerializer):
    """A thread in our list of threads, with what a page shows of each. `shown_title` is set by `titles.entitle`."""

    title = Plain(source="shown_title")
    archived = serializers.BooleanField(source="is_archived")
    active_run_id = Plain(allow_null=True)


class MessageObjectSerializer(ObjectSerializer):
    id = Plain()
    object = Constant("thread.message")
    created_at = UnixTime()
    thread_id = Plain()
    status = Plain()
    incomplete_details = PlainObject(allow_null=True)
    completed_at = UnixTime(allow_null=True)
    incomplete_at = UnixTime(allow_null=True)
    role = Plain()
    content = PlainList()
    assistant_id = Plain(allow_null=True)
    run_id = Plain(allow_null=True)
    attachments = PlainList()
    metadata = PlainObject()
