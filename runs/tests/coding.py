"""Callers whose runs have code, and the models that write it."""

import json
import time
from typing import Any

from assistant_site.llm.tests.quirk_server import Answer, called, delta, streaming
from assistant_site.tests.callers import LiveCaller
from runs.tests.clockwork.sandbox import Clockwork
from runs.tests.test_endings import Background
from tenants.models import Tenant

CODE = {"type": "code_interpreter"}


class CodingCaller(LiveCaller):
    def __init__(self, tenant: Tenant, token: str, url: str, clockwork: Clockwork) -> None:
        super().__init__(tenant, token, url)
        self.clockwork = clockwork

    def coder(self, *more: Any, **fields: Any) -> str:
        return self.assistant(tools=[CODE, *more], **fields)

    def streamed(self, thread: str, assistant: str, **fields: Any) -> Background:
        """A run that goes on while the test does something."""
        return Background(self, f"threads/{thread}/runs", {"assistant_id": assistant, **fields})

    def executions(self, thread: str) -> list[str]:
        """The code that was begun, each time it was."""
        return [each["code"] for each in self.clockwork.executions(thread)]

    def wait_for_executions(self, thread: str, count: int) -> None:
        deadline = time.monotonic() + 60
        while len(self.executions(thread)) < count:
            assert time.monotonic() < deadline, self.executions(thread)
            time.sleep(0.01)


def code(*lines: str) -> tuple[str, str]:
    """A call that runs these lines."""
    return "code_interpreter", json.dumps({"code": "\n".join(lines)}, ensure_ascii=False)


def writing(*calls: tuple[str, str], usage: tuple[int, int] = (7, 3)) -> Answer:
    """A turn of these calls that tells what it cost."""
    turn = called(*calls)
    numbers = {"prompt_tokens": usage[0], "completion_tokens": usage[1], "total_tokens": sum(usage)}
    told = streaming({"id": "c", "choices": [], "usage": numbers})
    return Answer((*turn.pieces[:-1], *told.pieces))


__all__ = ["CODE", "CodingCaller", "code", "delta", "writing"]
