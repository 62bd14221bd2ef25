"""What is told of the sandbox's health, wherever it is told: soon, without harm, and without a secret."""

import asyncio
import threading
import time

import pytest
from django.test import Client
from pytest_django import Settings

from assistant_site import code
from assistant_site.code import State, Watch
from assistant_site.embedded import screen
from assistant_site.embedded.nursery import Made

OFF = State("off", "bubblewrap is not installed. Debian: apt-get install bubblewrap")


class Told:
    """A sandbox that says `state` of itself."""

    def __init__(self, state: State) -> None:
        self.state, self.asked = state, 0

    async def __call__(self) -> State:
        self.asked += 1
        return self.state


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine is no reason for an answer that is not the sandbox's."""
    monkeypatch.setattr(code, "PATIENCE_SECONDS", 30.0)


@pytest.fixture
def says(monkeypatch: pytest.MonkeyPatch) -> Told:
    """The sandbox that this process asks."""
    told = Told(OFF)
    monkeypatch.setattr(code, "_watch", Watch(told))
    return told


def renew(monkeypatch: pytest.MonkeyPatch, told: Told) -> None:
    monkeypatch.setattr(code, "_watch", Watch(told))


def test_it_is_asked_once_in_some_seconds() -> None:
    told = Told(OFF)
    watch = Watch(told)

    assert [watch.state() for _ in range(5)] == [OFF] * 5
    assert told.asked == 1


def test_a_slow_sandbox_keeps_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(code, "PATIENCE_SECONDS", 0.5)
    answers = threading.Event()
    asked = []

    async def slow() -> State:
        asked.append(1)
        await asyncio.to_thread(answers.wait, 60)
        return State("available")

    watch = Watch(slow)
    started = time.monotonic()
    assert [watch.state(), watch.state()] == [code.UNKNOWN, code.UNKNOWN]
    assert time.monotonic() - started < 20  # two times half a second, on a busy machine
    answers.set()
    while watch.state() != State("available"):
        assert time.monotonic() - started < 40
    assert len(asked) == 1


def test_a_bug_is_logged_and_not_shown(caplog: pytest.LogCaptureFixture) -> None:
    async def broken() -> State:
        raise RuntimeError("a bug")

    assert Watch(broken).state() == code.UNKNOWN
    assert "a bug" in caplog.text


def test_switched_off_nobody_is_asked_and_nothing_is_said(says: Told, settings: Settings) -> None:
    settings.CODE_INTERPRETER = "off"

    assert code.state() == State("off")
    assert "code interpreter" not in Client().get("/").content.decode()
    assert "in a sandbox: off: CODE_INTERPRETER is off." in screen.welcome(Made(), "a key", "off")
    assert says.asked == 0


def test_health_tells_it_for_programs(says: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = Client().get("/health")
    told: dict[str, object] = {"state": "off", "reason": OFF.sentence, "tier": None, "notes": []}
    assert (answer.status_code, answer.json()) == (200, {"status": "ok", "code_interpreter": told})

    renew(monkeypatch, Told(State("available", tier="bubblewrap", notes=("There are no cgroups.",))))
    told = {"state": "available", "reason": None, "tier": "bubblewrap", "notes": ["There are no cgroups."]}
    assert Client().get("/health").json()["code_interpreter"] == told


@pytest.mark.parametrize(
    ("sentence", "plain"),
    [
        ("code_interpreter is off: bubblewrap is not installed.", "Bubblewrap is not installed."),
        ("The code interpreter is being prepared: its Python is installed.", "Its Python is installed."),
        ("The code interpreter cannot be reached.", "The code interpreter cannot be reached."),
    ],
)
def test_a_reason_does_not_repeat_that_it_is_off(sentence: str, plain: str) -> None:
    assert code._without_its_word(sentence) == plain


@pytest.mark.django_db
def test_readiness_tells_it_and_does_not_depend_on_it(says: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    ready = Client().get("/readyz")
    assert ready.json()["code_interpreter"] == f"off: {OFF.sentence}"

    renew(monkeypatch, Told(State("available")))
    assert Client().get("/readyz").json() == ready.json() | {"code_interpreter": "available"}


@pytest.mark.django_db
def test_the_page_and_the_admin_say_why_it_is_off(
    says: Told, admin_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    for page in (Client().get("/").content.decode(), admin_client.get("/admin/").content.decode()):
        assert "The code interpreter is off" in page
        assert OFF.sentence in page

    renew(monkeypatch, Told(State("preparing", "Its Python is being built.")))
    for page in (Client().get("/").content.decode(), admin_client.get("/admin/").content.decode()):
        assert "The code interpreter is being prepared" in page
        assert "Its Python is being built." in page

    renew(monkeypatch, Told(State("available")))
    for page in (Client().get("/").content.decode(), admin_client.get("/admin/").content.decode()):
        assert "code interpreter" not in page


@pytest.mark.parametrize(
    ("state", "shown"),
    [
        (OFF, f"off: {OFF.sentence}\n"),
        (State("preparing"), "being prepared; "),
        (State("available"), "ready\n"),
    ],
)
def test_the_first_screen_tells_it(state: State, shown: str) -> None:
    assert f"Code         python in a sandbox: {shown}" in screen.welcome(Made(), "a key", str(state))
