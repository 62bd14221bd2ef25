"""PostgreSQL or Valkey away: clear errors, nothing hangs, nothing is lost, and all is well once it is back."""

import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from django.conf import settings
from django.db import connection

from assistant_site.llm.tests.quirk_server import HANG, Answer, QuirkServer, delta, said, streaming
from assistant_site.tests.cable import Cable
from assistant_site.tests.callers import LiveCaller, new_tenant
from assistant_site.tests.stack import Stack
from runs.models import Run
from runs.taking import LOST_AFTER_SECONDS
from runs.tests.folding import Folded
from runs.tests.test_endings import Background, run_of

pytestmark = pytest.mark.slow
HALF_THEN_SILENCE = Answer((*streaming(delta(role="assistant", content="Half"), done=False).pieces, HANG))


class Wired(Stack):
    """A stack whose database and Valkey hang on cables."""

    def __init__(self, folder: Path) -> None:
        found = connection.settings_dict
        self.database = Cable(f"{found['HOST']}/.s.PGSQL.5432")
        self.valkey = Cable(f"{settings.EMBEDDED_SOCKET_DIR}/valkey.sock")
        login = f"{found['USER']}:{quote(found['PASSWORD'], safe='')}"
        super().__init__(
            folder=folder,
            env={
                "DATABASE_URL": f"postgres://{login}@127.0.0.1:{self.database.port}/{found['NAME']}",
                "REDIS_URL": f"redis://127.0.0.1:{self.valkey.port}/1",  # its own queue, beside the session's stack
                "RUN_LEASE_SECONDS": "3",
                "WORKER_DRAIN_SECONDS": "1",
            },
        )


@pytest.fixture(scope="module")
def wired(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wired]:
    """While it is there the session's own worker rests: it looks after every run in the database."""
    stack.stop("worker-1")
    alone = Wired(tmp_path_factory.mktemp("wired"))
    with alone:
        yield alone
    alone.database.close()
    alone.valkey.close()
    stack.start("worker-1")
    stack.wait_ready()


@pytest.fixture
def wanda(live: Stack, wired: Wired) -> LiveCaller:
    """A caller of the wired stack. (`live` gives the test access to the database.)"""
    return LiveCaller(*new_tenant("Wanda"), wired.url)


def ready(caller: LiveCaller) -> bool:
    return caller.send("GET", "/readyz").status == 200


def wait_ready(caller: LiveCaller) -> None:
    deadline = time.monotonic() + 60
    while not ready(caller):
        assert time.monotonic() < deadline, caller.send("GET", "/readyz").body
        time.sleep(0.1)


def test_without_the_database_the_answer_says_so(wired: Wired, wanda: LiveCaller) -> None:
    thread = wanda.thread("Hello")
    wired.database.pull()
    try:
        started = time.monotonic()
        for _ in range(3):
            refused = wanda.get(f"threads/{thread}")
            assert (refused.status, refused.error["type"]) == (503, "server_error")
            assert "database" in refused.error["message"]
        assert time.monotonic() - started < 30
        state = wanda.send("GET", "/readyz")
        assert state.status == 503
        assert "DATABASE_URL" in state.body["postgresql"]
        assert wanda.send("GET", "/healthz").body == {"status": "ok"}
    finally:
        wired.database.plug()
    for _ in range(30):  # every thread of the web process finds a good connection at once
        assert wanda.get(f"threads/{thread}").status == 200
    wait_ready(wanda)
    assert wanda.run(thread, wanda.assistant())["status"] == "completed"


def test_a_run_survives_the_loss_of_the_database(wired: Wired, wanda: LiveCaller) -> None:
    slow = Answer((*streaming(delta(role="assistant", content="Half"), done=False).pieces, 1.5, *said(" a").pieces))
    with QuirkServer(slow, said("Whole")) as provider:
        wanda.provided_by(provider.base_url)
        thread = wanda.thread("Hello")
        stream = Background(wanda, f"threads/{thread}/runs", {"assistant_id": wanda.assistant()})
        run = run_of(wanda, thread, "in_progress")
        while not wanda.get(f"threads/{thread}/messages?run_id={run}")["data"]:
            time.sleep(0.01)
        wired.database.pull()
        time.sleep(2)  # the model's answer ends meanwhile, and cannot be stored
        wired.database.plug()
        ended = wanda.settled(thread, run)
        folded = Folded(stream.ended())
    assert ended["status"] == folded.run["status"] == "completed"
    folded.equals_rest(wanda)
    texts = [(m["status"], "".join(p["text"]["value"] for p in m["content"])) for m in wanda.messages(thread)[1:]]
    assert texts == [
        ("incomplete", "Half a"),
        ("completed", "Whole"),
    ]
    assert [step["status"] for step in wanda.steps(thread, run)] == ["failed", "completed"]


def test_without_valkey_runs_are_slower_but_whole(wired: Wired, wanda: LiveCaller) -> None:
    thread = wanda.thread("Hello")
    assistant = wanda.assistant()
    wired.valkey.pull()
    try:
        state = wanda.send("GET", "/readyz")
        assert state.status == 503
        assert "REDIS_URL" in state.body["valkey"]
        assert wanda.run(thread, assistant)["status"] == "completed"  # a ticker found the row
        second = wanda.thread("Hello")
        folded = Folded(wanda.stream(f"threads/{second}/runs", {"assistant_id": assistant}))
        assert folded.run["status"] == "completed"
        assert wanda.last_text(second)
    finally:
        wired.valkey.plug()
    wait_ready(wanda)
    third = wanda.thread("Hello")
    folded = Folded(wanda.stream(f"threads/{third}/runs", {"assistant_id": assistant}))
    assert folded.messages
    folded.equals_rest(wanda)


def test_a_cancel_without_valkey_is_noticed_by_the_heartbeat(wired: Wired, wanda: LiveCaller) -> None:
    with QuirkServer(HALF_THEN_SILENCE) as provider:
        wanda.provided_by(provider.base_url)
        thread = wanda.thread("Hello")
        wanda.post(f"threads/{thread}/runs", {"assistant_id": wanda.assistant()})
        run = run_of(wanda, thread, "in_progress")
        wired.valkey.pull()
        try:
            wanda.post(f"threads/{thread}/runs/{run}/cancel")
            assert wanda.settled(thread, run)["status"] == "cancelled"
        finally:
            wired.valkey.plug()
    wait_ready(wanda)


def test_a_killed_worker_loses_nothing(wired: Wired, wanda: LiveCaller) -> None:
    with QuirkServer(HALF_THEN_SILENCE, said("Whole")) as provider:
        thread, run, stream = half_a_run(wanda, provider)
        wired.kill("worker-1")
        wired.start("worker-1")
        assert wanda.settled(thread, run)["status"] == "completed"
        Folded(stream.ended()).equals_rest(wanda)
    texts = [(m["status"], "".join(p["text"]["value"] for p in m["content"])) for m in wanda.messages(thread)]
    assert texts in (
        [("completed", "Hello"), ("incomplete", "Half"), ("completed", "Whole")],
        [("completed", "Hello"), ("incomplete", ""), ("completed", "Whole")],  # killed before it was told
    )
    wait_ready(wanda)


def test_a_stopped_worker_hands_its_runs_back(wired: Wired, wanda: LiveCaller) -> None:
    with QuirkServer(HALF_THEN_SILENCE, said("Whole")) as provider:
        thread, run, stream = half_a_run(wanda, provider)
        wired.stop("worker-1")
        assert wanda.get(f"threads/{thread}/runs/{run}")["status"] == "queued"
        wired.start("worker-1")
        assert wanda.settled(thread, run)["status"] == "completed"
        Folded(stream.ended()).equals_rest(wanda)
    wait_ready(wanda)


def test_the_successor_of_a_killed_worker_is_brought_its_runs_by_the_queue(wired: Wired, wanda: LiveCaller) -> None:
    """Nothing the dead left behind stands in its way; else runs would wait for the ticker."""
    wired.kill("worker-1")
    wired.start("worker-1")  # as `up`, systemd or a container would
    wait_ready(wanda)
    assistant = wanda.assistant()
    waited = []
    for _ in range(5):
        run = Run.objects.of(wanda.tenant).get(pk=wanda.run(wanda.thread("Hello"), assistant)["id"])
        assert run.status == "completed"
        waited.append((run.started_at - run.queued_at).total_seconds())
    assert min(waited) < LOST_AFTER_SECONDS


def half_a_run(wanda: LiveCaller, provider: QuirkServer) -> tuple[str, str, Background]:
    """A streamed run whose model has said something and then nothing more: its thread, its id, its reader."""
    wanda.provided_by(provider.base_url)
    thread = wanda.thread("Hello")
    stream = Background(wanda, f"threads/{thread}/runs", {"assistant_id": wanda.assistant()})
    run = run_of(wanda, thread, "in_progress")
    while not wanda.get(f"threads/{thread}/messages?run_id={run}")["data"]:
        time.sleep(0.01)
    return thread, run, stream
