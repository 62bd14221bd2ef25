"""Those who call the API in tests: a tenant with a token, in this process or over HTTP."""

import json
import secrets
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import requests
from django.test import Client
from urllib3.filepost import encode_multipart_formdata

from assistant_site.tests import official
from runs.machine import RESTING
from runs.models import Run
from tenants import routes, tokens
from tenants.models import ApiToken, Provider, Tenant

PATIENCE_SECONDS = 60


@dataclass(frozen=True)
class Answer:
    """`headers` by their names in lower case."""

    status: int
    headers: dict[str, str]
    body: Any

    @property
    def error(self) -> dict[str, Any]:
        error: dict[str, Any] = self.body["error"]
        return error

    def __getitem__(self, key: str) -> Any:
        assert self.status == 200, self.body
        return self.body[key]


@dataclass(frozen=True)
class Event:
    name: str
    data: Any
    position: int | None = None


def read_body(content_type: str, content: bytes) -> Any:
    """JSON as what it says, anything else as bytes."""
    return json.loads(content) if content_type == "application/json" else content


def lowered(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


class Caller:
    """A tenant of its own. Every answer is judged by the official schemas, if they are there."""

    def __init__(self, tenant: Tenant, token: str) -> None:
        self.tenant = tenant
        self.token = token

    def send(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        raise NotImplementedError

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        answer = self.send(method, path if path.startswith("/") else f"/v1/{path}", body, **headers)
        official.answer_conforms(method, path if path.startswith("/") else f"/v1/{path}", answer.status, answer.body)
        return answer

    def get(self, path: str) -> Answer:
        return self.call("GET", path)

    def post(self, path: str, body: Any = None) -> Answer:
        return self.call("POST", path, body)

    def delete(self, path: str) -> Answer:
        return self.call("DELETE", path)

    def post_form(self, path: str, file_field: str, name: str, content: bytes, **fields: str) -> Answer:
        """A multipart form with one file and some texts."""
        form, content_type = encode_multipart_formdata({**fields, file_field: (name, content)})
        return self.call("POST", path, form, **{"Content-Type": content_type})

    # --- Set-up in one word ---------------------------------------------------------------------------------------

    def assistant(self, **fields: Any) -> str:
        made = self.post("assistants", {"model": "demo-instant", "instructions": "Be brief.", **fields})
        return str(made["id"])

    def thread(self, *texts: str) -> str:
        messages = [{"role": "user", "content": text} for text in texts]
        return str(self.post("threads", {"messages": messages})["id"])

    def upload(self, name: str, content: bytes, purpose: str = "assistants") -> str:
        return str(self.post_form("files", "file", name, content, purpose=purpose)["id"])

    def store(self, **fields: Any) -> str:
        return str(self.post("vector_stores", fields)["id"])

    def indexed(self, store: str, file: str) -> dict[str, Any]:
        """The file of the store once its ingestion has ended, well or badly."""
        waiting = pauses()
        while True:
            found = self.get(f"vector_stores/{store}/files/{file}")
            if found["status"] != "in_progress":
                body: dict[str, Any] = found.body
                return body
            assert next(waiting, False), found.body

    def provided_by(self, base_url: str, embedding_model: str = "off") -> "Caller":
        """Sends this tenant's model calls to another server, by default not for embeddings."""
        fields = {"name": "test", "base_url": base_url, "embedding_model": embedding_model}
        Provider.objects.update_or_create(tenant=self.tenant, defaults=fields)
        return self


class LocalCaller(Caller):
    """Through Django's test client: quick, in the test's own transaction."""

    @staticmethod
    @cache
    def client() -> Client:
        """One for all: making it loads all middleware."""
        return Client(raise_request_exception=False)

    def send(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        sent = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json", **headers}
        content_type = sent.pop("Content-Type")
        response = self.client().generic(
            method, path, content, content_type=content_type, headers={k: v for k, v in sent.items() if v}
        )
        assert not getattr(response, "is_async", False), "streams of events need a live server"
        raw = b"".join(response) if response.streaming else response.content
        return Answer(response.status_code, lowered(response.headers), read_body(response["Content-Type"], raw))


class LiveCaller(Caller):
    """Over HTTP, against running processes."""

    def __init__(self, tenant: Tenant, token: str, url: str) -> None:
        super().__init__(tenant, token)
        self.url = url
        self.session = requests.Session()

    @property
    def base_url(self) -> str:
        return f"{self.url}/v1"

    def provided_by(self, base_url: str, embedding_model: str = "off") -> "Caller":
        """The same; where it had another server before, returns when no process can ask that any more."""
        had_another = Provider.objects.filter(tenant=self.tenant).exclude(base_url=base_url).exists()
        has_asked = Run.objects.of(self.tenant).exists()
        super().provided_by(base_url, embedding_model)
        if had_another or has_asked:
            time.sleep(routes.KEPT_SECONDS)
        return self

    def provided_by_nobody(self) -> None:
        """From now on the installation's server is asked, in every process."""
        self.tenant.providers.all().delete()
        time.sleep(routes.KEPT_SECONDS)

    def send(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        sent = {"Authorization": f"Bearer {self.token}", **headers}
        given = {"data": body} if isinstance(body, bytes) else {"json": body}
        response = self.session.request(method, self.url + path, headers=sent, timeout=PATIENCE_SECONDS, **given)
        kind = response.headers["content-type"]
        return Answer(response.status_code, lowered(response.headers), read_body(kind, response.content))

    def stream(self, path: str, body: dict[str, Any]) -> list[Event]:
        """All events of a streamed call, `done` included, each judged."""
        sent = {"Authorization": f"Bearer {self.token}"}
        with self.session.post(
            f"{self.base_url}/{path}",
            json={**body, "stream": True},
            headers=sent,
            stream=True,
            timeout=PATIENCE_SECONDS,
        ) as response:
            assert response.status_code == 200, response.text
            assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
            raw = b"".join(response.iter_content(None))
        return read_events(raw)

    def run(self, thread: str, assistant: str, **fields: Any) -> dict[str, Any]:
        """A run, at rest."""
        made = self.post(f"threads/{thread}/runs", {"assistant_id": assistant, **fields})
        return self.settled(thread, made["id"])

    def settled(self, thread: str, run: str, *, beyond: str = "") -> dict[str, Any]:
        """The run once it rests (in another state than `beyond`); AssertionError if that takes too long."""
        waiting = pauses()
        while True:
            found = self.get(f"threads/{thread}/runs/{run}")
            if found["status"] in RESTING and found["status"] != beyond:
                body: dict[str, Any] = found.body
                return body
            assert next(waiting, False), found.body

    def messages(self, thread: str) -> list[dict[str, Any]]:
        listed: list[dict[str, Any]] = self.get(f"threads/{thread}/messages?order=asc&limit=100")["data"]
        return listed

    def steps(self, thread: str, run: str) -> list[dict[str, Any]]:
        listed: list[dict[str, Any]] = self.get(f"threads/{thread}/runs/{run}/steps?order=asc&limit=100")["data"]
        return listed

    def last_text(self, thread: str) -> str:
        return str(self.messages(thread)[-1]["content"][0]["text"]["value"])


def pauses() -> Iterator[bool]:
    """Sleeps as long as a test has patience, after a second longer: who asks all the time takes time from others."""
    begun = time.monotonic()
    while (waited := time.monotonic() - begun) < PATIENCE_SECONDS:
        time.sleep(0.02 if waited < 1 else 0.2)
        yield True


def read_events(raw: bytes) -> list[Event]:
    """Server-sent events as the strictest published client takes them apart."""
    assert b"\r" not in raw
    assert raw.endswith(b"\n\n")
    events = []
    for block in raw[:-2].split(b"\n\n"):
        lines = block.split(b"\n")
        assert lines[0].startswith(b"event: "), block
        assert lines[-1].startswith(b"data: "), block
        assert len(lines) in (2, 3), block
        name, data = lines[0][7:].decode(), lines[-1][6:]
        position = int(lines[1].removeprefix(b"id: ")) if len(lines) == 3 else None
        if name == "done":
            assert data == b"[DONE]"
            events.append(Event(name, None))
        else:
            events.append(Event(name, json.loads(data), position))
            official.event_conforms(name, events[-1].data)
    return events


def new_tenant(name: str) -> tuple[Tenant, str]:
    """With a token that may do anything in it, and without an entry in the audit log."""
    tenant = Tenant.objects.create(name=f"{name} {secrets.token_hex(6)}")
    value = tokens.new_value()
    ApiToken.objects.create(
        tenant=tenant, name="test", digest=tokens.digest(value), hint=tokens.hint(value), scopes=["admin"]
    )
    return tenant, value
