"""What of an error goes to Sentry: where it happened and to whom, and nothing that anybody wrote."""

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import sentry_sdk
from sentry_sdk.envelope import Envelope
from sentry_sdk.transport import Transport

from assistant_site import logs, reporting
from assistant_site.db import scope

logger = logging.getLogger("runs.execution")


class Kept(Transport):
    """Keeps what would be sent."""

    def __init__(self, options: dict[str, Any]) -> None:
        super().__init__(options)
        self.envelopes: list[Envelope] = []

    def capture_envelope(self, envelope: Envelope) -> None:
        self.envelopes.append(envelope)

    @property
    def bytes(self) -> bytes:
        return b"".join(envelope.serialize() for envelope in self.envelopes)

    @property
    def event(self) -> dict[str, Any]:
        [item] = [item for envelope in self.envelopes for item in envelope.items if item.type == "event"]
        return dict(json.loads(item.get_bytes()))


@pytest.fixture
def sent(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Kept]:
    settings.SENTRY_DSN = "http://key@127.0.0.1:1/1"
    real = sentry_sdk.init
    monkeypatch.setattr(sentry_sdk, "init", lambda **options: real(**options, transport=Kept))
    with sentry_sdk.isolation_scope():
        reporting.start("worker")
        transport = sentry_sdk.get_client().transport
        assert isinstance(transport, Kept)
        yield transport
    sentry_sdk.get_global_scope().set_client(None)


def broken(prompt: str) -> None:
    secret = prompt + " with marzipan"
    raise ValueError(f"cannot read {secret!r}")


def test_an_error_is_told_without_what_anybody_wrote(sent: Kept) -> None:
    with scope.of_tenant("ten_1"):
        noted = logs.note({"run_id": "run_1"})
        logger.info("a quince passes by")
        try:
            broken("nougat")
        except ValueError:
            logger.exception("%s failed of %s.", "run_1", "sorbet", extra={"body": "praline"})
        logs.forget(noted)
    words = ("marzipan", "quince", "nougat", "sorbet", "praline")
    assert [word for word in words if word.encode() in sent.bytes] == []
    event = sent.event
    assert event["tags"] == {"role": "worker", "run_id": "run_1", "tenant_id": "ten_1"}
    assert event["logentry"] == {"message": "%s failed of %s."}
    [value] = event["exception"]["values"]
    assert value["type"] == "ValueError"
    assert [frame["function"] for frame in value["stacktrace"]["frames"]][-1] == "broken"
    assert event["release"].startswith("holdfast@")


def test_of_a_librarys_line_only_the_place_is_told(sent: Kept) -> None:
    logging.getLogger("asyncio").error("Task exception was never retrieved: marzipan")
    assert b"marzipan" not in sent.bytes
    assert sent.event["logger"] == "asyncio"


def test_warnings_are_not_reported(sent: Kept) -> None:
    logger.warning("The provider is slow.")
    assert sent.envelopes == []
