"""Errors and last spans leave each of the processes: through real ones, to servers of the test's own."""

import gzip
import itertools
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from assistant_site.tests.callers import LiveCaller, new_tenant, pauses
from assistant_site.tests.stack import Stack
from assistant_site.tracing.tests.collector import Collector
from files import storage
from files.models import File
from tenants.models import Provider

pytestmark = pytest.mark.slow
SECRETS = ("marzipan", "quince", "nougat")


class Sentry:
    """Takes envelopes, and keeps what is in them."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        sentry = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                sentry.bodies.append(gzip.decompress(body) if self.headers["Content-Encoding"] == "gzip" else body)
                self.send_response(200)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.dsn = f"http://key@127.0.0.1:{self._server.server_port}/1"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def events(self) -> list[dict[str, Any]]:
        found = []
        for body in self.bodies:
            lines = body.splitlines()
            for head, item in itertools.pairwise(lines[1:]):
                if b'"type":"event"' in head.replace(b" ", b""):
                    found.append(json.loads(item))
        return found


@pytest.fixture
def sentry() -> Iterator[Sentry]:
    running = Sentry()
    yield running
    running.close()


def test_what_fails_in_any_process_is_reported_without_content(
    django_db_setup: None, django_db_blocker: Any, sentry: Sentry, tmp_path: Path
) -> None:
    env = {"SENTRY_DSN": sentry.dsn, "SENTRY_ENVIRONMENT": "test", "WEB_SERVER": "uvicorn", "WEB_PROCESSES": "2"}
    with (
        django_db_blocker.unblock(),
        Stack.workers_of_others_rest(),
        Collector() as collector,
        Stack(folder=tmp_path, env=env | {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url}) as stack,
    ):
        tenant, token = new_tenant("broken")
        lena = LiveCaller(tenant, token, stack.url)
        # In ingestion: the bytes of a file are gone.
        store, file = lena.store(), lena.upload("nougat.txt", b"nougat")
        storage.remove(File.objects.across_tenants().get(pk=file).blob)
        lena.post(f"vector_stores/{store}/files", {"file_id": file})
        lena.indexed(store, file)
        # In the web: the provider of a passed-through call is not there.
        lena.provided_by("http://127.0.0.1:9/v1")
        body = {"model": "m", "messages": [{"role": "user", "content": "marzipan"}]}
        refused = lena.call("POST", "chat/completions", body)
        assert refused.status == 503
        # In the worker: a provider's key cannot be read.
        other, token = new_tenant("unreadable")
        fields = {"base_url": "http://127.0.0.1:9/v1", "embedding_model": "off", "encrypted_key": "damaged"}
        Provider.objects.create(tenant=other, name="unreadable", **fields)
        lou = LiveCaller(other, token, stack.url)
        thread = lou.thread("quince")
        assert lou.run(thread, lou.assistant())["status"] == "failed"
        last = lou.get(f"threads/{thread}")
        for _ in pauses():
            if len({event["tags"]["role"] for event in sentry.events()}) == 3:
                break
        stack.stop()  # the last spans are sent before the collector would have been asked again
        told = [span for span in collector.spans() if span.attributes.get("holdfast.request.id")]
        assert last.headers["x-request-id"] in {span.attributes["holdfast.request.id"] for span in told}
    by_role = {event["tags"]["role"]: event for event in sentry.events()}
    assert by_role["ingestion"]["tags"]["tenant_id"] == by_role["web"]["tags"]["tenant_id"] == tenant.pk
    assert by_role["web"]["tags"]["request_id"] == refused.headers["x-request-id"]
    assert by_role["worker"]["tags"]["tenant_id"] == other.pk
    assert {event["environment"] for event in sentry.events()} == {"test"}
    everything = b"".join([*sentry.bodies, *collector.bodies])
    assert [word for word in SECRETS if word.encode() in everything] == []
