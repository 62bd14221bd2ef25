"""A small server of embeddings and rankings for tests, whose answers can be bent."""

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from assistant_site.demo.embedding import embed

Answer = tuple[int, dict[str, str], bytes]


def embeddings(body: dict[str, Any]) -> Answer:
    """The right answer: hashed words, so that texts with the same words are near each other."""
    data = [
        {"object": "embedding", "index": index, "embedding": embed(text, body.get("dimensions") or 256)}
        for index, text in enumerate(body["input"])
    ]
    return answer({"object": "list", "data": data, "model": body["model"]})


def answer(body: object, status: int = 200, **headers: str) -> Answer:
    return status, headers, body if isinstance(body, bytes) else json.dumps(body).encode()


class EmbeddingServer:
    """`asked` holds the bodies it got; `reply` makes the answers."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.keys: list[str] = []
        self.paths: list[str] = []
        self.reply: Callable[[dict[str, Any]], Answer] = embeddings
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer.asked.append(body)
                outer.keys.append(self.headers.get("Authorization", ""))
                outer.paths.append(self.path)
                status, headers, content = outer.reply(body)
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name.replace("_", "-"), value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                with contextlib.suppress(ConnectionError):
                    self.wfile.write(content)

            def log_message(self, *arguments: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.base_url = f"http://127.0.0.1:{self._server.server_port}/v1"

    def then(self, *answers: Answer) -> None:
        """Gives these answers first, and right ones after them."""
        waiting = list(answers)
        self.reply = lambda body: waiting.pop(0) if waiting else embeddings(body)

    @contextlib.contextmanager
    def running(self) -> Iterator["EmbeddingServer"]:
        thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()
            thread.join()
