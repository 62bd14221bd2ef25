"""Vectors without a model: texts that share words are near each other. And a server that gives them out."""

import hashlib
import json
import math
import re
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

DIMENSIONS = 384


def hashed(text: str) -> list[float]:
    """A bag of words (of pairs of characters in Chinese), each thrown at one of the dimensions."""
    vector = [0.0] * DIMENSIONS
    for word in re.findall(r"[a-z0-9_]+|[一-鿿]{2}", text.lower()):
        vector[int.from_bytes(hashlib.sha256(word.encode()).digest()[:4]) % DIMENSIONS] += 1.0
    length = math.sqrt(sum(x * x for x in vector))
    return [x / length for x in vector] if length else [1.0 / math.sqrt(DIMENSIONS)] * DIMENSIONS


def cosine(one: list[float], other: list[float]) -> float:
    return sum(x * y for x, y in zip(one, other, strict=True))


class EmbeddingServer:
    """`/v1/embeddings`. `is_down`: every request is refused; `pause`: seconds before an answer."""

    def __init__(self) -> None:
        self.is_down = False
        self.pause = 0.0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                time.sleep(outer.pause)
                outer._answer(self, body)

            def log_message(self, format: str, *arguments: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.base_url = f"http://127.0.0.1:{self._server.server_address[1]}/v1"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, handler: BaseHTTPRequestHandler, body: dict[str, Any]) -> None:
        texts = body["input"] if isinstance(body["input"], list) else [body["input"]]
        data = [{"object": "embedding", "index": n, "embedding": hashed(text)} for n, text in enumerate(texts)]
        usage = {"prompt_tokens": 1, "total_tokens": 1}
        answer: dict[str, Any] = {"object": "list", "model": body["model"], "data": data, "usage": usage}
        if self.is_down:
            answer = {"error": {"message": "nothing at 10.1.2.3:8000", "type": "server_error"}}
        raw = json.dumps(answer).encode()
        handler.send_response(503 if self.is_down else 200)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(raw)))
        handler.end_headers()
        handler.wfile.write(raw)
