"""The run inspector: what each turn was asked, called and cost; and the buttons that cancel a run and start it anew."""

from typing import Any

import pytest
from django.test import Client

from assistant_site.llm.chat import ChatRequest
from assistant_site.operating.tests.planted import WORD, plant
from assistant_site.operating.tests.staff import member, text_of
from assistant_site.tests.callers import LiveCaller, LocalCaller
from runs import sent_prompts
from runs.models import Run, SentPrompt

SURE = {"_form_submitted": "on"}


@pytest.fixture
def operator(db: None) -> Client:
    return member("operator")


def test_a_run_with_tools_is_told_turn_by_turn(operator: Client, alice: LocalCaller) -> None:
    planted = plant(alice)
    run = planted["runs.run"]
    page = text_of(operator, f"/admin/runs/run/{run.pk}/change/")
    for told in (
        f"A {WORD} question",  # the prompt, rebuilt
        f"Be {WORD}.",
        "rebuilt from the rows as they are now",
        f"{WORD} passage",
        "page 3",
        "score 0.750",
        "&quot;for&quot;: &quot;zaphodical&quot;",
        f"a {WORD} output",
        f"A {WORD} ans",
        f"The model said {WORD}.",
        "0.75 USD",  # both entries
        "200 in, 20 out",
        "gpt-4.1-2026",
        "worker-7:1",
        'title="until its first word: 1.0 s"',
        'title="answering: 2.0 s"',
        'title="tools at work: 2.0 s"',
        "Manuals",
    ):
        assert told in page, told
    hidden = text_of(member("support"), f"/admin/runs/run/{run.pk}/change/")
    assert WORD not in hidden
    for told in ("file_search", "score 0.750", "tools at work: 2.0 s", "0.75 USD", "are hidden from you"):
        assert told in hidden, told


def test_prompts_that_are_kept_are_shown_as_they_were_sent(operator: Client, alice: LocalCaller, settings: Any) -> None:
    run = plant(alice)["runs.run"]
    settings.KEEP_PROMPTS_HOURS = 1
    run.turns = 0
    request = ChatRequest(
        model="gpt-4.1", messages=[{"role": "user", "content": "Exactly this."}], tools=[], options={"temperature": 0.5}
    )
    sent_prompts.keep(run, request)
    page = text_of(operator, f"/admin/runs/run/{run.pk}/change/")
    assert "as it was sent" in page
    assert "Exactly this." in page
    assert "&quot;temperature&quot;: 0.5" in page
    assert "Exactly this." not in text_of(member("support"), f"/admin/runs/run/{run.pk}/change/")
    assert sent_prompts.forget_old() == 0
    settings.KEEP_PROMPTS_HOURS = 0
    sent_prompts.forget_old()
    assert not SentPrompt.objects.of(alice.tenant).exists()


def test_a_run_is_cancelled_and_started_again(lena: LiveCaller) -> None:
    operator = member("operator")
    assistant = lena.assistant(tools=[{"type": "function", "function": {"name": "look"}}], metadata={"a": "b"})
    thread = lena.thread('call:look {"at": "it"}')
    made = lena.run(thread, assistant, temperature=0.25)
    assert made["status"] == "requires_action"
    at = f"/admin/runs/run/{made['id']}"
    page = text_of(operator, f"{at}/change/")
    assert "It waits for its caller" in page
    assert "thread.run.requires_action" in page, "the events, as they are in Valkey"
    assert "/cancel/" in page
    busy = operator.post(f"{at}/retry/", SURE, follow=True).content.decode()
    assert "already has an active run" in busy

    operator.post(f"{at}/cancel/", SURE)
    assert lena.get(f"threads/{thread}/runs/{made['id']}")["status"] == "cancelled"
    again = operator.post(f"{at}/retry/", SURE)
    assert again.status_code == 302
    new = Run.objects.of(lena.tenant).exclude(pk=made["id"]).get()
    assert again.headers["Location"] == f"/admin/runs/run/{new.pk}/change/"
    told = lena.settled(thread, new.pk)
    assert told["status"] == "requires_action"
    for name in ("assistant_id", "model", "instructions", "tools", "temperature"):
        assert told[name] == made[name], name
    operator.post(f"/admin/runs/run/{new.pk}/cancel/", SURE)
