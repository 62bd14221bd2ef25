"""Pictures as text, by a model that sees (`IMAGE_TEXT=vision`)."""

import base64
from typing import Any

from django.conf import settings

from assistant_site.llm.tokens import estimate_request
from vector_stores import upstream
from vector_stores.extraction import CannotExtract

WHAT = "vision model"
ANSWER_TOKENS = 2_000  # of a page full of text; for the tenant's budgets
INSTRUCTION = (
    "Write down all text in this picture, in its language and reading order, tables as Markdown. Then describe in a "
    "few sentences what else can be seen. Answer with nothing but that."
)


def describe(tenant_id: str, picture: bytes, mime_type: str) -> str:
    """What is written and shown in the picture; `CannotExtract` says why it cannot be told."""
    url = f"data:{mime_type};base64,{base64.b64encode(picture).decode()}"
    content = [{"type": "text", "text": INSTRUCTION}, {"type": "image_url", "image_url": {"url": url}}]
    body: dict[str, Any] = {"messages": [{"role": "user", "content": content}], "stream": False}
    tokens = {"prompt": estimate_request(body["messages"]), "completion": ANSWER_TOKENS}
    answer = upstream.post(tenant_id, "chat/completions", WHAT, model=settings.VISION_MODEL, **tokens, json=body)
    text = _text_of(answer)
    if not text:
        raise CannotExtract("server_error", f"The {WHAT} gave no text.")
    return text


def _text_of(answer: dict[str, Any]) -> str:
    try:
        text = answer["choices"][0]["message"]["content"]
    except (KeyError, IndexError, TypeError):
        return ""
    return text.strip() if isinstance(text, str) else ""
