"""`code_interpreter` call by call: what is told and stored, what the model reads, and what happens when it breaks."""

import asyncio
import json
from typing import Any

import pytest
from django.conf import settings

from files.models import File
from metering.models import LedgerEntry
from sandbox.protocol import (
    Done,
    Error,
    Event,
    Health,
    Image,
    NoRoom,
    Reason,
    Result,
    SandboxUnavailable,
    SessionKey,
    Stderr,
    Stdout,
)
from tenants.models import Tenant
from tools.code_interpreter import opening, outputs
from tools.code_interpreter.outputs import Outputs
from tools.tests.coding import CODE, EMPTY, TOOL, Called, Coder
from tools.texts import cut
from tools.tool import Briefed, ToolContext

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256))


def shown(*events: Event) -> str:
    """Code that shows these events."""
    return f"from sandbox.protocol import *\nfor event in {list(events)!r}:\n    show(event)"


def test_variables_survive_and_outputs_are_told_as_they_are_stored(cora: Coder) -> None:
    first = cora.run("x = 40")
    assert first.details == {"input": "x = 40", "outputs": []}
    assert first.result.output == outputs.NO_OUTPUT
    second = cora.run("print(x + 2); print('é🐈')")
    assert second.details == {"input": "print(x + 2); print('é🐈')", "outputs": [logs("42\né🐈\n")]}
    assert second.told == second.details
    assert second.result.output == "42\né🐈"
    assert second.growths == [
        {"input": "print(x + 2); print('é🐈')"},
        {"outputs": [{"index": 0, "type": "logs", "logs": "42\n"}]},
        {"outputs": [{"index": 0, "type": "logs", "logs": "é🐈\n"}]},
    ]


def logs(text: str) -> dict[str, Any]:
    return {"type": "logs", "logs": text}


def test_texts_of_one_stretch_are_one_entry_and_images_are_files(cora: Coder) -> None:
    call = cora.run(
        shown(Stdout("a"), Stderr("b"), Image("image/png", PNG), Result("7"), Image("image/jpeg", b"\xff\xd8\xff"))
    )
    kinds = [entry["type"] for entry in call.details["outputs"]]
    assert kinds == ["logs", "image", "logs", "image"]
    assert call.logs == "ab7"
    assert call.told == call.details
    files = [File.objects.of(cora.tenant).get(pk=id) for id in call.result.images]
    assert [(file.filename, file.purpose) for file in files] == [
        ("image-1.png", "assistants_output"),
        ("image-2.jpg", "assistants_output"),
    ]
    assert cora.content(files[0].pk) == PNG
    assert f"[image {files[0].pk} shown to the user]" in call.result.output


def test_what_stands_on_a_line_of_its_own_does(cora: Coder) -> None:
    call = cora.run(
        shown(Stdout("a"), Result("1"), Result("0\n"), Result("2"), Stdout("b"), Error("E", "Traceback\nE: no"))
    )
    assert call.logs == "a\n10\n2\nb\nTraceback\nE: no\n"


def test_an_error_is_a_traceback_in_the_logs(cora: Coder) -> None:
    call = cora.run("1 / 0")
    assert call.logs == "ZeroDivisionError: division by zero\n"
    assert call.result.output == "ZeroDivisionError: division by zero"


def test_what_postgresql_cannot_store_is_replaced(cora: Coder) -> None:
    assert cora.run(shown(Stdout("a\x00b"), Stdout("\udc00"))).logs == "a\ufffdb\ufffd"


@pytest.mark.parametrize("reason", ["timeout", "memory", "disk", "output", "died"])
def test_a_session_that_ends_is_told_and_the_next_call_has_a_new_one(cora: Coder, reason: str) -> None:
    cora.run("files['a.txt'] = b'a'; x = 1")
    call = cora.run(f"print('here'); die({reason!r})")
    assert call.logs == f"here\nThe session ended: {reason}.\n"
    after = cora.run("print('x' in globals(), files)")
    assert after.logs == (
        "[This is a new session: the variables and imports of earlier calls are gone. 1 file was put back into "
        "/mnt/data.]\nFalse {'a.txt': b'a'}\n"
    )
    assert cora.run("print(2)").logs == "2\n"


def test_the_first_session_of_a_thread_needs_no_remark(cora: Coder) -> None:
    assert cora.run("print(1)").logs == "1\n"


def test_a_long_output_is_cut_in_the_middle_for_the_model_only(cora: Coder) -> None:
    cora.tenant.code_output_kb = 1
    cora.tenant.save()
    call = cora.run("print('a' * 700 + 'é' * 700)")
    assert call.logs == "a" * 700 + "é" * 700 + "\n"
    assert call.result.output.startswith("a" * 512 + "\n[… ")
    assert call.result.output.endswith(" characters are not shown here …]\n" + "é" * 256)


def test_a_model_with_a_small_window_gets_less(cora: Coder) -> None:
    call = cora.run("print('a' * 5_000)", result_tokens=200)
    assert len(call.result.output) < 800


@pytest.mark.parametrize("most", range(40))
def test_a_cut_keeps_whole_characters_and_counts_the_rest(most: int) -> None:
    text = "aé🐈中" * 5
    kept = cut(text, most)
    if len(text.encode()) <= most:
        assert kept == text
    else:
        head, _, tail = kept.split("\n")
        assert text.startswith(head)
        assert text.endswith(tail)
        assert f"[… {len(text) - len(head) - len(tail)} characters" in kept


# --- Another worker goes on ------------------------------------------------------------------------------------------

EVENTS: list[Event] = [
    Stdout("on"),
    Stdout("e\n"),
    Image("image/png", PNG),
    Stdout("two\n"),
    Image("image/png", PNG),
    Result("3"),
]


@pytest.mark.parametrize("after", range(8))
def test_another_worker_tells_only_what_was_not_told(cora: Coder, after: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first worker dies when so many growths were told; what readers then have together is what is stored."""
    monkeypatch.setattr(outputs, "PACE_SECONDS", 0.0)
    cora.run("x = 1")
    cora.lose_session()  # so that the logs begin with a note
    first = cora.run(shown(*EVENTS))
    told = folded(first, after)
    second = cora.run(first.details["input"], resumed=first, told=told)
    assert cora.sandbox.runs == 2
    assert second.told == second.details
    images = [entry["image"]["file_id"] for entry in told["outputs"] if entry["type"] == "image"]
    assert list(second.result.images)[: len(images)] == images
    assert second.logs == first.logs
    assert [each["type"] for each in second.details["outputs"]] == ["logs", "image", "logs", "image", "logs"]
    new = File.objects.of(cora.tenant).filter(filename__startswith="image-").count()
    assert new == 2 + 2 - len(images)


def folded(call: Called, growths: int) -> dict[str, Any]:
    """The details as they are after so many growths."""
    details: dict[str, Any] = json.loads(json.dumps(EMPTY))
    for growth in call.growths[:growths]:
        details["input"] += growth.get("input", "")
        for entry in growth.get("outputs", []):
            entry = dict(entry)
            index = entry.pop("index")
            if index == len(details["outputs"]):
                details["outputs"].append(entry)
            else:
                details["outputs"][index]["logs"] += entry["logs"]
    return details


def test_many_pieces_are_told_together_and_a_pause_tells_what_there_is() -> None:
    growths: list[dict[str, Any]] = []

    async def pieces() -> None:
        told = Outputs(EMPTY, growths.append)
        for number in range(1_000):
            told.text(f"{number} ")
        assert len(growths) < 10
        await asyncio.sleep(3 * outputs.PACE_SECONDS)
        assert "".join(growth["outputs"][0]["logs"] for growth in growths) == told.logs
        told.text("x" * 2 * outputs.MOST_TOLD)
        told.text("y")
        told.tell()
        assert [growth["outputs"][0]["logs"][:1] for growth in growths[-3:]] == ["x", "x", "y"]
        told.text("z")
        told.stop()
        await asyncio.sleep(2 * outputs.PACE_SECONDS)
        assert growths[-1]["outputs"][0]["logs"] == "y"

    asyncio.run(pieces())


def test_what_was_told_in_the_middle_of_a_text_is_not_told_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outputs, "PACE_SECONDS", 0.0)
    growths: list[dict[str, Any]] = []
    again = Outputs({"input": "co", "outputs": [logs("hel")]}, growths.append)
    again.told_input("code")
    again.text("he")
    again.text("llo")
    again.text(" you")
    assert growths == [
        {"input": "de"},
        {"outputs": [{"index": 0, "type": "logs", "logs": "lo"}]},
        {"outputs": [{"index": 0, "type": "logs", "logs": " you"}]},
    ]
    assert again.details == {"input": "code", "outputs": [logs("hello you")]}


def test_code_whose_session_is_gone_is_not_run_again_by_another_worker(cora: Coder) -> None:
    first = cora.run("print('one')")
    cora.lose_session()
    second = cora.run("print('one')", resumed=first, told=first.details)
    assert cora.sandbox.runs == 1
    assert second.logs.startswith("one\n[The connection to the sandbox was lost")
    assert "may have run in part" in second.result.output
    assert second.told == second.details


def test_a_lost_connection_is_told_and_the_code_is_not_run_again(cora: Coder) -> None:
    cora.sandbox.cut_after = 1
    call = cora.run("print('one'); print('two'); files['a.txt'] = b'a'")
    assert cora.sandbox.runs == 1
    assert call.logs.startswith("one\n[The connection to the sandbox was lost")
    assert cora.kept == {"a.txt": b"a"}  # the session is still there, and what it had written


def test_a_session_that_is_gone_before_anything_began_is_opened_again(cora: Coder) -> None:
    cora.run("files['a.txt'] = b'a'")
    key = SessionKey(cora.tenant.id, cora.thread.id)

    def lose_once() -> None:
        cora.sandbox.sessions.pop(key)
        cora.sandbox.before_execute = lambda: None

    cora.sandbox.before_execute = lose_once
    call = cora.run("print(files)")
    assert call.logs.startswith("[This is a new session")
    assert call.logs.endswith("{'a.txt': b'a'}\n")


# --- No session to be had --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("problem", [SandboxUnavailable("The sandbox is down."), NoRoom("Too many sessions.")])
def test_no_session_is_a_text_for_the_model(cora: Coder, problem: Any) -> None:
    cora.sandbox.refuses = [problem]
    cora.sandbox.state = Health(is_available=False, reason="It is off.")
    call = cora.run("print(1)")
    assert call.result.output == str(problem)
    assert call.logs == f"{problem}\n"
    assert call.told == call.details
    assert cora.sandbox.runs == 0
    assert cora.run("print(1)").logs == "1\n"


def test_a_sandbox_that_was_just_starting_is_asked_again(cora: Coder) -> None:
    cora.sandbox.refuses = [SandboxUnavailable("It is starting.")]
    assert cora.run("print(1)").logs == "1\n"


def test_a_sandbox_that_is_being_prepared_is_waited_for(cora: Coder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "LOOK_SECONDS", 0.01)
    cora.sandbox.state = Health(is_available=False, is_preparing=True)
    cora.sandbox.refuses = [SandboxUnavailable("Not yet.")] * 3
    assert cora.run("print(1)").logs == "1\n"
    monkeypatch.setattr(opening, "PREPARING_SECONDS", 0.05)
    cora.sandbox.refuses = [SandboxUnavailable("Not yet.")] * 100
    assert cora.run("print(1)").logs == f"{opening.PREPARING}\n"


def test_a_fault_of_the_server_is_told_and_logged(cora: Coder, caplog: pytest.LogCaptureFixture) -> None:
    cora.sandbox.refuses = [ValueError("secret")]
    call = cora.run("print(1)")
    assert "fault of the server" in call.result.output
    assert "secret" not in str(call.result)
    assert "could be opened" in caplog.text


def test_a_thread_that_was_deleted_meanwhile(cora: Coder) -> None:
    cora.thread.delete()
    assert "deleted" in cora.run("print(1)").result.output
    assert cora.sandbox.runs == 0


def test_arguments_without_code_run_nothing(cora: Coder) -> None:
    context = ToolContext(tenant_id=cora.tenant.id, turn=1, options={}, thread_id=cora.thread.id, told=EMPTY)
    result = cora.awaited(TOOL.call(context, "{}"))
    assert "no text under `code`" in result.output
    assert result.details == EMPTY
    assert cora.sandbox.runs == 0


# --- The tool itself -------------------------------------------------------------------------------------------------


def test_the_run_fails_only_if_no_code_can_be_run_here(cora: Coder) -> None:
    for state, sentence in [
        (Health(is_available=True), ""),
        (Health(is_available=False, is_preparing=True, reason="Preparing."), ""),
        (Health(is_available=False, reason="No bwrap.", remedy="Install it."), "No bwrap. Install it."),
    ]:
        cora.sandbox.state = state
        assert cora.awaited(TOOL.hindrance()) == sentence


def test_health_is_asked_for_now_and_then(cora: Coder) -> None:
    asked = []

    async def health() -> Health:
        asked.append(1)
        return Health(is_available=True)

    cora.sandbox.health = health

    async def thrice() -> None:
        await asyncio.gather(TOOL.hindrance())
        await TOOL.hindrance()
        await TOOL.hindrance()

    cora.awaited(thrice())
    assert len(asked) == 1


def test_off_is_not_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    assert TOOL.is_offered()
    monkeypatch.setattr(settings, "CODE_INTERPRETER", "off")
    assert not TOOL.is_offered()


def test_the_model_is_told_of_limits_and_files(cora: Coder) -> None:
    file = cora.upload("über data.csv", b"x" * 1_234)
    cora.tenant.code_seconds = 7
    cora.tenant.save()
    cora.run("files['own.txt'] = b'1'")
    briefing = TOOL.brief(CODE, Briefed(cora.tenant.id, cora.thread.id, cora.files))
    assert briefing == (
        f"A call may take 7 seconds. Files in /mnt/data:\n- über data.csv ← {file} (1.2 kB)\n- own.txt (1 byte)"
    )
    [offer] = TOOL.offers(CODE, briefing)
    assert offer.name == "code_interpreter"
    assert offer.description.endswith(briefing)
    assert offer.parameters["required"] == ["code"]


def test_a_briefing_is_bounded(cora: Coder) -> None:
    cora.run("files.update({f'{n:03}.txt': b'1' for n in range(60)})")
    lines = TOOL.brief(CODE, Briefed(cora.tenant.id, cora.thread.id, [])).splitlines()
    assert (len(lines), lines[-1]) == (52, "- and 10 more")


def test_a_tenant_may_have_less_but_not_more(cora: Coder) -> None:
    cora.tenant.code_seconds, cora.tenant.code_data_mb = 5, 10_000
    cora.tenant.code_memory_mb, cora.tenant.code_sessions = 100, 1
    cora.tenant.save()
    cora.run("1")
    limits = cora.session.limits
    assert (limits.seconds, limits.memory_bytes, limits.sessions) == (5.0, 100 * 2**20, 1)
    assert limits.data_bytes == 512 * 2**20


def test_abandoning_interrupts_and_never_raises(cora: Coder) -> None:
    context = ToolContext(tenant_id=cora.tenant.id, turn=1, options={}, thread_id=cora.thread.id)
    cora.awaited(TOOL.abandon(context))
    assert cora.sandbox.interrupted == [SessionKey(cora.tenant.id, cora.thread.id)]

    async def fail(key: SessionKey) -> None:
        raise OSError

    cora.sandbox.interrupt = fail
    cora.awaited(TOOL.abandon(context))


def test_every_way_to_end_is_known() -> None:
    assert {reason.value for reason in Reason} == {
        "completed", "timeout", "interrupted", "memory", "disk", "output", "died"
    }  # fmt: skip
    assert Done(True, Reason.COMPLETED).message == ""


def test_what_the_tenant_may_use_of_code_and_storage(cora: Coder) -> None:
    """The model is told, and the run goes on; what ran is counted, whether or not there is a limit."""
    cora.run("x = 1")
    entries = LedgerEntry.objects.of(cora.tenant).filter(kind="code", state="settled")
    assert entries.get().code_seconds > 0
    Tenant.objects.filter(pk=cora.tenant.pk).update(code_seconds_per_month=1, storage_mb=0)
    call = cora.run("files['a.txt'] = b'a'; touch('a.txt')")
    assert "a.txt is not kept beyond this session" in call.result.output
    assert "This organization is limited to 0 MB of files" in call.result.output
    assert entries.count() == 2
    entries.update(code_seconds=1)
    refused = cora.run("print(1)")
    assert refused.result.output.startswith(
        "The code was not run: this organization may run code for 1 seconds a month"
    )
    assert (cora.sandbox.runs, entries.count()) == (2, 2)
