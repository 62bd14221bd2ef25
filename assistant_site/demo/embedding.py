"""The demo model's embeddings: a hashed bag of words. Texts that share words are near each other, always alike."""

import base64
import math
import re
import struct
import zlib
from collections.abc import Mapping
from typing import Any

from assistant_site.demo.script import BadRequest
from assistant_site.llm.tokens import estimate_text

DIMENSIONS = 256
MAX_DIMENSIONS = 4_096
MAX_INPUTS = 2_048


def embed(text: str, dimensions: int = DIMENSIONS) -> list[float]:
    """A vector of length 1."""
    vector = [0.0] * dimensions
    for word in re.findall(r"\w+", text.lower()):
        hashed = zlib.crc32(word.encode("utf-8", "replace"))
        vector[hashed % dimensions] += 1.0 if hashed & 0x80000000 else -1.0
    norm = math.sqrt(sum(value * value for value in vector))
    if not norm:
        vector[0] = norm = 1.0
    return [value / norm for value in vector]


def embeddings_of(request: Mapping[str, Any]) -> dict[str, Any]:
    """The answer to an embeddings body: texts, or lists of token numbers. Raises `BadRequest`."""
    given = request.get("input")
    if isinstance(given, list) and given and all(isinstance(item, int) for item in given):
        given = [given]
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not 0 < len(texts) <= MAX_INPUTS:
        raise BadRequest(f"'input' must be a text or a list of 1 to {MAX_INPUTS} texts.", "input")
    if not all(isinstance(text, str | list) for text in texts):
        raise BadRequest("'input' must hold texts or lists of token numbers.", "input")
    dimensions = request.get("dimensions") or DIMENSIONS
    if not isinstance(dimensions, int) or not 0 < dimensions <= MAX_DIMENSIONS:
        raise BadRequest(f"'dimensions' must be a whole number from 1 to {MAX_DIMENSIONS}.", "dimensions")
    plain = [text if isinstance(text, str) else " ".join(map(str, text)) for text in texts]
    packed = request.get("encoding_format") == "base64"
    vectors = (embed(text, dimensions) for text in plain)
    tokens = sum(estimate_text(text) for text in plain)
    return {
        "object": "list",
        "data": [
            {"object": "embedding", "index": index, "embedding": _packed(vector) if packed else vector}
            for index, vector in enumerate(vectors)
        ],
        "model": str(request.get("model") or "demo"),
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }


def _packed(vector: list[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
