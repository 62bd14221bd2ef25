"""`{"type": "web_search"}` in the tools of an assistant or run, with the options that OpenAI gives it elsewhere."""

from typing import Any

from assistant_site.wire.fields import Boolean, ListOf, OneOf, RequestSerializer, Text

DOMAIN = r"^([a-zA-Z0-9_]([a-zA-Z0-9_-]{0,61}[a-zA-Z0-9_])?\.)+[a-zA-Z][a-zA-Z0-9-]{1,62}$"
TYPES = ("web_search", "web_search_2025_08_26", "web_search_preview", "web_search_preview_2025_03_11")


def _given(checked: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in checked.items() if value is not None}


class WebSearchFiltersSerializer(RequestSerializer):
    allowed_domains = ListOf(Text(most=253, pattern=DOMAIN, required=True), most=100)

    def check_whole(self, checked: dict[str, Any]) -> dict[str, Any]:
        return _given(checked)


class WebSearchLocationSerializer(RequestSerializer):
    type = OneOf("approximate", default="approximate")
    country = Text(most=2, least=2, pattern="^[a-zA-Z]{2}$")
    region = Text(most=100)
    city = Text(most=100)
    timezone = Text(most=64, pattern=r"^[a-zA-Z0-9_+-]+(/[a-zA-Z0-9_+-]+)*$")

    def check_whole(self, checked: dict[str, Any]) -> dict[str, Any]:
        return _given(checked)


class WebSearchToolSerializer(RequestSerializer):
    """Comes back as it was given."""

    type = Text(required=True)
    filters = WebSearchFiltersSerializer()
    search_context_size = OneOf("low", "medium", "high")
    user_location = WebSearchLocationSerializer()
    external_web_access = Boolean()
    search_content_types = ListOf(OneOf("text", "image", required=True), most=2)

    def check_whole(self, checked: dict[str, Any]) -> dict[str, Any]:
        return _given(checked)
