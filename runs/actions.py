"""What callers do to runs: start, cancel, submit outputs, modify. One transaction each; events after the commit.

`move` is the only code that changes `Run.status`, but for the two moves that `moves` has written out.
"""

import contextlib
from datetime import timedelta
from functools import cache, partial
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import CharField, F
from django.db.models.expressions import RawSQL
from django.utils import timezone

from assistant_site import valkey
from assistant_site.db.afterwards import once_committed
from assistant_site.db.questions import Place, Question
from assistant_site.metrics import counted
from assistant_site.tracing import spans
from assistant_site.wire import grammar
from assistant_site.wire.errors import InvalidRequest, NotFound, RateLimited
from assistant_site.wire.tool_types import judge_tools
from assistants.models import Assistant
from metering import budgets, quotas
from metering.budgets import Spender
from runs import credentials, events, machine, moves
from runs.events import Telling, run_event
from runs.machine import Status
from runs.mending import mend
from runs.models import Run, RunStep, StepStatus
from runs.record import grown
from runs.serializers import RunObjectSerializer, step_object
from runs.tasks import enqueue_run
from runs.turn import DECIDED
from tenants import end_users
from tenants.capabilities import FIELDS, judge_model
from tenants.models import ApiToken, Tenant
from threads import actions as thread_actions
from threads.models import Message, MessageStatus, Thread
from threads.serializers import MessageObjectSerializer, ThreadObjectSerializer, text_part
from vector_stores.actions import stores_for_run
from vector_stores.resources import code_files_of, store_ids_of

EVENTS_OF_A_NEW_RUN = 2  # `created` and `queued`
NOT_APPROVED = "This call was not approved by the user, and not carried out."


class MovedMeanwhile(Exception):
    """The run was no longer what the mover had read: somebody else was first."""


for _status in machine.TERMINAL:
    counted.RUNS_ENDED.labels(_status.value)  # from zero, so that the first one of its kind is seen as one


def move(run: Run, new: Status, *, events_told: int = 1, **changes: Any) -> None:
    """Writes `Run.status`, as only `moves` does besides; in a transaction if more is written with it, or the run ends.

    Updates the row where status and claim are still those of `run`, gives out the positions of the events that go
    with it, and frees the thread when the run ends. `run` shows the new state. `MovedMeanwhile` if somebody was first.
    """
    machine.check(Status(run.status), new)
    same = Run.objects.across_tenants().filter(pk=run.pk, status=run.status, claim=run.claim)
    if run.claim is None:  # only this shows that it has not gone all the way round since it was read
        same = same.filter(event_position=run.event_position)
    if new not in machine.HELD:
        changes |= {"claim": None, "lease_until": None}
    if new in machine.TERMINAL:
        changes["required_action"] = None
        if run.sealed:
            changes["sealed"] = ""
    if events_told:
        changes.setdefault("event_position", run.event_position + events_told)
    if not same.update(status=new, **changes):
        raise MovedMeanwhile(run.pk)
    if new in machine.TERMINAL:
        counted.RUNS_ENDED.labels(new.value).inc()
    for name, value in (changes | {"status": new}).items():
        setattr(run, name, value)
    if new in machine.TERMINAL:
        Thread.objects.across_tenants().filter(pk=run.thread_id, active_run_id=run.pk).update(active_run_id=None)


def runs_of_thread(thread_id: str, lock: bool) -> list[str]:
    """The ids of the thread's runs, in one order and locked if told so; for who is going to delete the thread."""
    runs = Run.objects.across_tenants().filter(thread_id=thread_id).order_by("pk")
    return list((runs.select_for_update() if lock else runs).values_list("pk", flat=True))


# --- Starting --------------------------------------------------------------------------------------------------------


def new_run(assistant: Assistant, thread_id: str, body: dict[str, Any], token: ApiToken, user: str) -> Run:
    """An unsaved run: what the request says, else the assistant. The token must be allowed to use its model."""

    def chosen(name: str) -> Any:
        given = body.get(name)
        return getattr(assistant, name) if given is None else given

    instructions = chosen("instructions")
    if body.get("additional_instructions"):
        instructions = "\n".join(filter(None, [instructions, body["additional_instructions"]]))
    tools = chosen("tools")
    extra = body.get("extra_body") or {}
    check_tool_choice(body["tool_choice"], tools)
    token.require_model(chosen("model"))
    given = [name for name in FIELDS if body.get(name) is not None]
    if given:  # else it was judged with the assistant
        judge_model(assistant.tenant_id, **{name: chosen(name) for name in FIELDS}, given=given)
    now = timezone.now()
    return Run(
        tenant_id=assistant.tenant_id,
        thread_id=thread_id,
        assistant_id=assistant.pk,
        token_id=token.pk,
        end_user=user,
        created_at=now,
        queued_at=now,
        expires_at=now + timedelta(seconds=settings.RUN_SECONDS),
        instructions=instructions,
        tools=tools,
        **{name: chosen(name) for name in ("model", "temperature", "top_p", "reasoning_effort", "response_format")},
        **{
            name: body[name]
            for name in (
                "metadata",
                "max_prompt_tokens",
                "max_completion_tokens",
                "truncation_strategy",
                "tool_choice",
                "parallel_tool_calls",
            )
        },
        memory=assistant.memory,
        model_params=assistant.extra_body.get("model_params", {}) | (extra.get("model_params") or {}),
        sealed=credentials.sealed(extra),
        include=body.get("include", []),
        traceparent=spans.traceparent(),
    )


# Written out for its speed, like `thread_actions.OF_NOBODY_BLOCKED`.
_END_USER_OF_THREAD = f"(SELECT end_user FROM {Thread._meta.db_table} WHERE id = %s AND tenant_id = %s)"  # noqa: S608


@cache
def _assistants_with_user() -> Question[Assistant]:
    of_thread = RawSQL(_END_USER_OF_THREAD, (Place("thread"), Place("tenant")), output_field=CharField())  # noqa: S611
    found: Any = budgets.flagged(Assistant).filter(tenant_id=Place("tenant"), pk=Place("assistant"))
    return Question(found.annotate(end_user=of_thread)[:1])


def assistant_of(tenant: Tenant, assistant_id: str, thread_id: str = "") -> tuple[Assistant, str]:
    """The assistant, and the end user of that thread, empty if it has none; notes whether the tenant has budgets."""
    asked = {"tenant": tenant.pk, "assistant": assistant_id, "thread": thread_id}
    found: list[Any] = _assistants_with_user().ask(**asked) if "\x00" not in assistant_id else []
    if not found:
        raise NotFound.of(Assistant.wire_noun, assistant_id)
    [assistant] = found
    budgets.note(assistant.tenant_id, assistant.has_budgets)
    return assistant, assistant.end_user or ""


def check_tool_choice(choice: Any, tools: list[dict[str, Any]]) -> None:
    """A forced tool must be one the run has."""
    if not isinstance(choice, dict):
        return
    name = choice["function"]["name"] if choice["type"] == "function" else None
    for tool in tools:
        named = all(tool.get(key) == choice[key] for key in ("id", "server_label") if key in choice)
        if tool["type"] == choice["type"] and named and (name is None or tool["function"]["name"] == name):
            return
    wanted = f"function '{name}'" if name else f"tool '{choice['type']}'"
    raise grammar.invalid_value(lambda path: f"Invalid '{path}': the {wanted} is not among the run's tools.").under(
        "tool_choice"
    )


def judge_own_tools(tenant: Tenant, body: dict[str, Any]) -> None:
    """Refuses tools of the request that the tenant does not have; the assistant's were judged with it."""
    if body["tools"]:
        judge_tools(tenant, body["tools"])


def tools_with_resources(run: Run) -> set[str]:
    """Of the run's tools, the types that work with files or stores of its assistant and thread."""
    return {tool["type"] for tool in run.tools} & {"file_search", "code_interpreter"}


def set_resources(run: Run, tenant: Tenant, assistant: Assistant) -> None:
    """Notes what the run's tools work with: vector stores and files for code, its assistant's and its thread's."""
    wanted = tools_with_resources(run)
    if not wanted:
        return
    thread = Thread.objects.of(tenant).only("tool_resources").get(pk=run.thread_id)
    if "code_interpreter" in wanted:
        files = [*code_files_of(assistant.tool_resources), *code_files_of(thread.tool_resources)]
        run.code_files = list(dict.fromkeys(files))
    if "file_search" in wanted:
        run.assistant_stores = stores_for_run(tenant, store_ids_of(assistant.tool_resources))
        run.thread_stores = stores_for_run(tenant, store_ids_of(thread.tool_resources))


def start_run(*, tenant: Tenant, token: ApiToken, thread_id: str, body: dict[str, Any], user: str) -> Run:
    """Queues a run on a thread that has none. Of two at the same time exactly one wins.

    It is for the end user who is named, else for that of its thread.
    """
    assistant, of_thread = assistant_of(tenant, body["assistant_id"], thread_id)
    user = user or of_thread
    end_users.admit(tenant.pk, user, costs_tokens=True)
    run = new_run(assistant, thread_id, body, token, user)
    judge_own_tools(tenant, body)
    added = body["additional_messages"]
    if not added and run.instructions and tenant.queued_runs is None and not tools_with_resources(run):
        _refuse_if_exhausted(run)
        run.event_position = EVENTS_OF_A_NEW_RUN
        while not moves.start(run):
            refuse_run(Thread.objects.of(tenant).fetch(thread_id), 0)
        announce(run, [])
        return run
    with transaction.atomic():
        free = thread_actions.free_thread(tenant.pk, thread_id, room=len(added))
        while not free.update(active_run_id=run.pk, message_count=F("message_count") + len(added)):
            refuse_run(Thread.objects.of(tenant).fetch(thread_id), len(added))
        if added:
            thread_actions.take_in_files(tenant, thread_id, added)
            thread_actions.insert_messages(thread_id, tenant.pk, added)
        elif not run.instructions and not Message.objects.of(tenant).filter(thread_id=thread_id).exists():
            raise nothing_to_go_on()
        set_resources(run, tenant, assistant)
        refuse_if_too_many_wait(tenant)
        insert(run, told_before=0)
    announce(run, [])
    return run


def refuse_run(thread: Thread, added: int) -> None:
    """Says why this thread takes no run; returns if it does by now, because its run has just ended."""
    if thread.active_run_id:
        message = f"Thread {thread.pk} already has an active run {thread.active_run_id}."
        raise thread_actions.ThreadBusy(message, thread)
    thread_actions.refuse_if_full(thread, added)
    end_users.refuse_if_blocked(thread.tenant_id, thread.end_user)


def start_thread_and_run(*, tenant: Tenant, token: ApiToken, body: dict[str, Any], user: str) -> Run:
    """A new thread with a run on it, for one end user; nothing is made unless everything is right."""
    assistant, _ = assistant_of(tenant, body["assistant_id"])
    judge_own_tools(tenant, body)
    draft = body["thread"] or {"messages": [], "tool_resources": {}, "metadata": {}, "user": None}
    draft["tool_resources"] = draft["tool_resources"] | body["tool_resources"]
    draft["user"] = draft["user"] or user
    with transaction.atomic():
        thread = thread_actions.create_thread(tenant=tenant, costs_tokens=True, **draft)
        run = new_run(assistant, thread.pk, body, token, user or thread.end_user)
        if not run.instructions and not draft["messages"]:
            raise nothing_to_go_on()
        Thread.objects.of(tenant).filter(pk=thread.pk).update(active_run_id=run.pk)
        set_resources(run, tenant, assistant)
        refuse_if_too_many_wait(tenant)
        insert(run, told_before=1)
    announce(run, [("thread.created", ThreadObjectSerializer.of(thread))])
    return run


def refuse_if_too_many_wait(tenant: Tenant) -> None:
    """Part of the transaction that queues a new run: whether the tenant may have one more that waits for a worker."""
    if tenant.queued_runs is None:
        return
    most = max(1, tenant.queued_runs)  # the new one itself waits for a moment
    quotas.lock(tenant.pk, quotas.Of.QUEUE)
    waiting = Run.objects.of(tenant).filter(status=Status.QUEUED).count()
    if waiting >= most:
        raise RateLimited(
            f"Rate limit reached for queued runs in organization {tenant.pk}: Limit {most}, Used {waiting}, Requested "
            "1. Please try again when some of them have begun.",
            "requests",
            seconds=1,
        )


def nothing_to_go_on() -> InvalidRequest:
    return InvalidRequest(
        "Run creation requires a Thread with a user message or an assistant with instructions.", code="invalid_thread"
    )


def insert(run: Run, *, told_before: int) -> None:
    """Stores a new run; `told_before` events come before `created` and `queued`. Refused where a budget is used up."""
    _refuse_if_exhausted(run)
    run.event_position = told_before + EVENTS_OF_A_NEW_RUN
    run.save(force_insert=True)


def _refuse_if_exhausted(run: Run) -> None:
    budgets.refuse_if_exhausted(Spender(run.tenant_id, run.token_id, run.end_user))


def announce(run: Run, first: Telling) -> None:
    """Tells of a committed new run and asks for a worker."""
    shown = RunObjectSerializer.of(run)
    told = [*first, ("thread.run.created", shown), ("thread.run.queued", shown)]
    once_committed(lambda: enqueue_run(run.pk, run.tenant_id, told))


def tell(run: Run, after: int, told: Telling) -> None:
    """Appends the events of a move that is committed, and asks for a worker if the run was queued."""

    def now() -> None:
        events.append(run.pk, after, told)
        if run.status == Status.QUEUED:
            enqueue_run(run.pk, run.tenant_id)

    once_committed(now)


# --- Cancelling ------------------------------------------------------------------------------------------------------


def cancel_run(*, tenant: Tenant, thread_id: str, run_id: str) -> dict[str, Any]:
    """Asks for the end of a run; returns the run as the answer shows it (`cancelling`).

    A run that a worker holds is left to it. One that nobody holds is ended here, in the same transaction.
    """
    while True:
        run = Run.objects.of(tenant).filter(thread_id=thread_id).fetch(run_id)
        if Status(run.status) in machine.TERMINAL or run.status == Status.CANCELLING:
            raise InvalidRequest(f"Cannot cancel run with status '{run.status}'.")
        before, held = run.event_position, run.status == Status.IN_PROGRESS
        if not held:
            mend(run)
        try:
            with transaction.atomic():
                move(run, Status.CANCELLING, events_told=0 if held else 1, required_action=None)
                answer = RunObjectSerializer.of(run)
                if not held:
                    told = [run_event(run), *close_open_objects(run, StepStatus.CANCELLED)]
                    move(run, Status.CANCELLED, events_told=len(told), cancelled_at=timezone.now())
                    told.append(run_event(run))
        except MovedMeanwhile:
            continue
        if held:
            once_committed(partial(valkey.tell_workers_to_stop, run.pk))
        else:
            tell(run, before, told)
        return answer


def interrupt_run(tenant: Tenant, thread_id: str, run_id: str) -> None:
    """Cancels the run for somebody who wants its thread; it may be ending already."""
    with contextlib.suppress(InvalidRequest, NotFound):
        cancel_run(tenant=tenant, thread_id=thread_id, run_id=run_id)


_ENDED_AT = {
    StepStatus.COMPLETED: "completed_at",
    StepStatus.FAILED: "failed_at",
    StepStatus.CANCELLED: "cancelled_at",
    StepStatus.EXPIRED: "expired_at",
}
_MESSAGE_REASON = {
    StepStatus.FAILED: "run_failed",
    StepStatus.CANCELLED: "run_cancelled",
    StepStatus.EXPIRED: "run_expired",
}


def count_message(thread_id: str) -> None:
    """Counts a message that a run wrote, now that it has ended."""
    Thread.objects.across_tenants().filter(pk=thread_id).update(message_count=F("message_count") + 1)


def close_open_objects(
    run: Run,
    how: StepStatus,
    *,
    last_error: dict[str, Any] | None = None,
    content: list[dict[str, Any]] | None = None,
    contents: dict[str, list[dict[str, Any]]] | None = None,
    spent: dict[str, Any] | None = None,
    keeps_calls: bool = False,
) -> Telling:
    """Ends the run's open step and message badly; returns the events that tell of it, the message's first.

    `content` is what the message, or the step's calls, had got so far, if the caller knows; `contents` (by the ids of
    messages and steps) is what readers were told, for a caller who does not. `spent` is what the model turn had cost,
    if it is known. With `keeps_calls` a step whose calls are decided stays open, for the worker that comes next.
    """
    told: Telling = []
    now = timezone.now()
    for step in RunStep.objects.across_tenants().filter(run=run, status=StepStatus.IN_PROGRESS).order_by("pk"):
        if step.type == "message_creation":
            message = Message.objects.across_tenants().get(pk=step.step_details["message_creation"]["message_id"])
            message.status = MessageStatus.INCOMPLETE
            message.incomplete_reason = _MESSAGE_REASON[how]
            message.incomplete_at = now
            # Never empty: clients look for the part that they have heard of last.
            message.content = (contents or {}).get(message.pk, content) or [text_part("")]
            message.save(update_fields=["status", "incomplete_reason", "incomplete_at", "content"])
            count_message(run.thread_id)
            told.append(("thread.message.incomplete", MessageObjectSerializer.of(message)))
        elif calls := (contents or {}).get(step.pk, content):
            if DECIDED in step.carry:
                calls = grown(step.step_details["tool_calls"], calls)
            step.step_details = {"type": "tool_calls", "tool_calls": calls}
        if keeps_calls and DECIDED in step.carry:
            step.save(update_fields=["step_details"])
            continue
        step.status = how
        setattr(step, _ENDED_AT[how], now)
        step.last_error = last_error if how == StepStatus.FAILED else None
        step.spent = spent or step.spent
        step.save(update_fields=["status", "step_details", "last_error", "spent", _ENDED_AT[how]])
        told.append((f"thread.run.step.{how.value}", step_object(step, run.include)))
    return told


# --- Tool outputs, metadata ------------------------------------------------------------------------------------------


def submit_tool_outputs(
    *,
    tenant: Tenant,
    thread_id: str,
    run_id: str,
    outputs: list[dict[str, str]],
    approvals: list[dict[str, Any]],
) -> tuple[Run, int]:
    """Takes the outputs, and the approvals, of all pending calls and queues the run again.

    With approved calls the step stays open: the next worker carries them out.

    Returns the run and the position behind which the events of this submission come.
    """
    with transaction.atomic():
        run = Run.objects.of(tenant).filter(thread_id=thread_id).select_for_update().fetch(run_id)
        if run.status != Status.REQUIRES_ACTION:
            raise InvalidRequest(f'Runs in status "{run.status}" do not accept tool outputs.')
        check_answers("outputs", run.required_action["submit_tool_outputs"], outputs)
        check_answers("approvals", run.required_action.get("submit_tool_approval", {"tool_calls": []}), approvals)
        mend(run)
        spans.present().link(run.traceparent)  # in which the run goes on
        step = RunStep.objects.of(tenant).get(run=run, status=StepStatus.IN_PROGRESS)
        is_over = answer_calls(
            step,
            {output["tool_call_id"]: output["output"] for output in outputs},
            {approval["tool_call_id"]: approval["approve"] for approval in approvals},
        )
        if is_over:
            step.status = StepStatus.COMPLETED
            step.completed_at = timezone.now()
        step.save(update_fields=["status", "completed_at", "step_details", "carry"])
        before = run.event_position
        told = [("thread.run.step.completed", step_object(step, run.include))] if is_over else []
        move(run, Status.QUEUED, events_told=len(told) + 1, required_action=None, queued_at=timezone.now(), attempt=0)
    tell(run, before, [*told, run_event(run)])
    return run, before


def check_answers(what: str, asked: dict[str, Any], answers: list[dict[str, Any]]) -> None:
    """Refuses answers to anything but the calls that are asked about, and answers to only some of them."""
    pending = [call["id"] for call in asked["tool_calls"]]
    given = [answer["tool_call_id"] for answer in answers]
    if sorted(pending) != sorted(given):
        raise InvalidRequest(f"Expected tool {what} for call_ids {pending}, got {given}")


def answer_calls(step: RunStep, outputs: dict[str, str], approvals: dict[str, bool]) -> bool:
    """Writes the caller's answers into the step; whether none of its calls is left to be carried out."""
    is_over = True
    for index, call in enumerate(step.step_details["tool_calls"]):
        if call["id"] in outputs:
            call["function"]["output"] = outputs[call["id"]]
        elif approvals.get(call["id"]):
            step.carry["served"][str(index)]["approved"] = True
            is_over = False
        elif call["id"] in approvals:
            step.carry["served"][str(index)]["output"] = call["function"]["output"] = NOT_APPROVED
    if is_over:
        step.carry.pop(DECIDED, None)
    return is_over


def modify_run(*, tenant: Tenant, thread_id: str, run_id: str, metadata: dict[str, str] | None) -> Run:
    """New metadata for a run that no worker holds."""
    with transaction.atomic():
        run: Run = Run.objects.of(tenant).filter(thread_id=thread_id).select_for_update().fetch(run_id)
        if Status(run.status) in machine.HELD:
            raise InvalidRequest(f"Cannot update run with status '{run.status}'.")
        if metadata is not None:
            run.metadata = metadata
            run.save(update_fields=["metadata"])
    return run
