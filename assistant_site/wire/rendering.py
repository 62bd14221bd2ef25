"""JSON as it goes out. Not in `rest`: DRF's settings import these classes while its views are being imported."""

import json
from typing import Any

import orjson
from rest_framework import parsers, renderers


def dumps(value: Any) -> bytes:
    """JSON on one line. Whatever a JSON column gave back goes out again, also numbers beyond 64 bits."""
    try:
        return orjson.dumps(value)
    except TypeError:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


class JSONBodyParser(parsers.JSONParser):
    """Named for the API description only: `WireView.parse` reads the body itself."""


class WireJSONRenderer(renderers.BaseRenderer):
    media_type = "application/json"
    format = "json"
    charset = None

    def render(self, data: Any, accepted_media_type: Any = None, renderer_context: Any = None) -> bytes:
        return dumps(data)
