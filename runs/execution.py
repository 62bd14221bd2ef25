"""One run, carried from its claim to its rest: the tool-calling loop as a list of named steps.

Everything here runs in the engine's event loop. Database work is a synchronous function of `holding`, `context` or
`actions`, and is never cut in two: a cancelled execution first lets its transaction and the telling of it end.
"""

import asyncio
import contextlib
import copy
import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

from django.conf import settings
from django.db import InterfaceError, OperationalError
from django.utils import timezone

from assistant_site import logs
from assistant_site.db import scope
from assistant_site.db.errors import first_line
from assistant_site.db.threads import DatabaseThreads
from assistant_site.llm.chat import ChatRequest, ModelFailed, Usage
from assistant_site.metrics import counted
from assistant_site.tracing import spans
from assistant_site.tracing.providers import asked_at
from metering.budgets import InsufficientQuota
from metering.calls import pauses
from metering.ledger import InFlight
from runs import asking, charging, flaws, holding, sent_prompts, serving
from runs.events import Appender, RunLog, Telling
from runs.hearing import Hearing
from runs.holding import AtLimit, CutOff, LostClaim
from runs.machine import Status
from runs.models import Run, RunStep
from runs.preparing import Prepared, prepare
from runs.serving import Serving
from runs.turn import DECIDED, Turn, carry_json, carry_of, usage_json
from runs.windows import profile_for
from tools.citations import Citations
from tools.links import Links
from tools.registry import refreshing

logger = logging.getLogger(__name__)

# Of a turn that waits until other calls have given back what they do not need of a budget.
IN_FLIGHT_SECONDS = 60.0
MAX_PAUSE_SECONDS = 2.0

SORRY = {"code": "server_error", "message": "Sorry, something went wrong."}


# The run, what is told of its claim, its first turn if that is prepared, and calls that another worker has begun.
Claimed = tuple[Run, Telling, Prepared | None, RunStep | None]


class Execution(Hearing):
    def __init__(self, run_id: str, tenant_id: str, owner: str, database: DatabaseThreads, appender: Appender) -> None:
        super().__init__(run_id, database)
        self.tenant_id = tenant_id
        self.is_limited = False  # whether its tenant may have only so many runs at work
        self.owner = owner
        self.appender = appender
        self.stop_reason = ""
        self.task: asyncio.Task[None] | None = None
        self._turn: Turn | None = None
        self._serving: Serving | None = None
        self._prepared: Prepared | None = None
        self._kept: RunStep | None = None

    # --- What the engine does with it -----------------------------------------------------------------------------

    def start(self) -> "asyncio.Task[None]":
        self.task = asyncio.create_task(self.carry(), name=self.run_id)
        return self.task

    def stop(self, reason: str) -> None:
        """Ends the work now: `cancelled` (by the caller), `lost` (somebody else's) or `handed_back` (shutdown)."""
        if not self.stop_reason:
            self.stop_reason = reason
            if self.task is not None:
                self.task.cancel()

    # --- The life of a run ------------------------------------------------------------------------------------------

    async def carry(self) -> None:
        try:
            claimed = await self.whole(self.claim())
            if not claimed:
                return
            scope.enter(self.held.tenant_id)  # whose runs there are, only the claim may ask
            logs.note({"run_id": self.run_id, "thread_id": self.held.thread_id})
            with self.traced():
                await self.until_rest()
        except LostClaim:
            await self.end_quietly()
        except AtLimit:
            self.is_limited = True
        except (OperationalError, InterfaceError) as error:
            # Nothing can be written: the lease runs out and a worker takes the run up when the database is back.
            logger.error("%s is left to the next attempt, the database failed: %s", self.run_id, first_line(error))
        except asyncio.CancelledError:
            await self.end_interrupted()

    @contextlib.contextmanager
    def traced(self) -> Iterator[None]:
        """A span for the time that this worker carries the run, and one for the time before it, that it waited."""
        run = self.held
        spans.past("queue", run.queued_at.timestamp(), parent=run.traceparent)
        span = spans.span(
            "invoke_agent",
            parent=run.traceparent,
            gen_ai__operation__name="invoke_agent",
            gen_ai__agent__id=run.assistant_id,
            gen_ai__conversation__id=run.thread_id,
            gen_ai__request__model=run.model,
            holdfast__run__id=run.pk,
            holdfast__run__attempt=run.attempt,
            holdfast__tenant__id=run.tenant_id,
        )
        try:
            with span.inside():  # that it is cancelled, or lost to another worker, is no failure of the span's
                yield
        finally:
            if span is not spans.NOTHING:
                self.tell_end(span)
            span.end()

    def tell_end(self, span: spans.Span) -> None:
        run = self.held
        span.set(
            **asked_at(run.route.endpoint.base_url if run.route is not None else ""),
            holdfast__run__status=str(run.status),
            holdfast__run__stopped=self.stop_reason or None,  # by whom it was ended, while it was at work
            gen_ai__usage__input_tokens=run.spent.get("prompt_tokens"),
            gen_ai__usage__output_tokens=run.spent.get("completion_tokens"),
        )
        if run.status == Status.FAILED:
            span.fail(str((run.last_error or {}).get("code", "server_error")))

    async def until_rest(self) -> None:
        """Turn after turn, until the run rests; every failure ends it with the right `last_error`."""
        assert self.run is not None
        seconds = (self.run.expires_at - timezone.now()).total_seconds()
        try:
            async with asyncio.timeout(max(0.0, seconds)) as limit:
                while await self.take_a_turn():
                    pass
        except TimeoutError:
            if not limit.expired():  # somebody else's time-out, which was not to come here
                logger.exception("%s failed.", self.run_id)
                await self.fail(SORRY)
                return
            await self.whole(self.end_badly(holding.expire, cut_off=self.cut_off()))
        except ModelFailed as failure:
            error = {"code": failure.code, "message": failure.message}
            await self.fail(error, spent=usage_json(failure.usage))
        except (LostClaim, OperationalError, InterfaceError):
            raise
        except Exception:
            logger.exception("%s failed.", self.run_id)
            await self.fail(SORRY)

    async def claim(self) -> bool:
        """Takes the run, and prepares its first turn in the same visit to the database."""
        found = await self.database.run(self.claim_and_prepare)
        if found is None:
            return False
        self.run, told, self._prepared, self._kept = found
        counted.QUEUE_SECONDS.observe((timezone.now() - self.run.queued_at).total_seconds())
        self.is_limited = holding.most_at_work(self.run) is not None
        self.log = RunLog(self.appender, self.run_id, self.run.event_position)
        self.tell_all(told)
        return True

    def claim_and_prepare(self) -> Claimed | None:
        found = holding.claim(self.run_id, self.owner, self.tenant_id)
        if found is None:
            return None
        run, told = found
        scope.enter(run.tenant_id)
        calls = holding.kept_calls(run)
        if calls is not None:
            return run, told, None, calls
        prepared = None
        if refreshing(run.tools):
            return run, told, None, None
        # A failure is met again, and told, when the turn prepares for itself: the claim stands.
        with contextlib.suppress(Exception):
            prepared = prepare(run)
        return run, told, prepared, None

    async def take_a_turn(self) -> bool:
        """One model turn and what follows from it; whether another one is to come."""
        if self._kept is not None:
            return await self.resume(self._kept)
        run = self.run
        assert run is not None
        if run.turns >= settings.RUN_TURNS:
            message = f"The run took {run.turns} model turns, which is this server's limit, without coming to an end."
            await self.fail({"code": "server_error", "message": message})
            return False
        if await self.out_of_tokens(run.turns):  # the turn before these outputs took the last ones
            return False
        if self._prepared is None:
            await serving.refresh(run)
            self._prepared = await self.database.run(prepare, run)
        prepared, self._prepared = self._prepared, None
        if sentence := await serving.hindrance(prepared.offered):
            await self.fail({"code": "server_error", "message": sentence})
            return False
        turn = self._turn = Turn(run.turns + 1, prepared.offered, prepared.brought.images)
        turn.window = prepared.profile.context_window
        if prepared.has_budgets:
            prepared = replace(prepared, request=await self.within_budgets(turn.number, prepared))
        turn.request = prepared.request
        self._files = prepared.brought.files
        self._links = Links(prepared.code_links | self._files.keys())
        if settings.KEEP_PROMPTS_HOURS:
            await self.database.run(sent_prompts.keep, run, prepared.request)
        sources = prepared.brought.sources
        self._citations = Citations(sources) if serving.gives_sources(prepared.offered) else None
        try:
            async with contextlib.aclosing(asking.events_of(prepared, turn)) as events:
                async for event in events:
                    await self.take_in(turn, event)
        finally:
            run.route = turn.route
        await self.take_rest(turn)
        again = await self.conclude(turn)
        self._turn = None
        return again

    async def resume(self, step: RunStep) -> bool:
        """Goes on with calls that another worker was carrying out; whether another turn is to come."""
        self._kept = None
        offering = await self.database.run(partial(serving.offering_of, self.held, even_if_off=True))
        turn = self._turn = Turn.kept(step, offering.tools)
        turn.window = (await self.database.run(profile_for, self.held)).context_window
        again = await self.conclude_calls(turn, step, step.carry[DECIDED]["spent"])
        self._turn = None
        return again

    async def within_budgets(self, turn: int, prepared: Prepared) -> ChatRequest:
        """Reserves what the turn may cost; the request with the longest answer that this allows.

        Waits a while for the reservations of others. Raises `ModelFailed` where a budget has nothing left.
        """
        run = self.held
        run.has_reserved = True  # from now on something may be
        for pause in pauses(IN_FLIGHT_SECONDS, longest=MAX_PAUSE_SECONDS):
            reserve = partial(
                charging.reserve, run, turn, prepared.request, prepared.profile, patient=pause is not None
            )
            try:
                allowed = await self.whole(self.database.run(reserve))
            except InFlight:
                await asyncio.sleep(pause or 0)
            except InsufficientQuota as refused:
                raise ModelFailed("rate_limit_exceeded", refused.message, status=refused.status) from None
            else:
                if allowed is None:
                    raise LostClaim(run.pk)
                return allowed
        raise AssertionError("an attempt that is not patient does not wait for others")

    # --- What follows from a turn -----------------------------------------------------------------------------------

    async def conclude(self, turn: Turn) -> bool:
        """Ends the run, gives it to the caller, or goes on; whether another turn is to come."""
        finished = turn.finished
        if finished is None:
            raise ModelFailed("server_error", "The model's answer ended too early.")
        spent = usage_json(finished.usage)
        if turn.calls_step is not None and finished.reason == "tool_calls":
            turn.carry = carry_of(finished)
            return await self.conclude_calls(turn, turn.calls_step, spent)
        await self.conclude_text(turn, finished.reason, spent)
        return False

    async def conclude_text(self, turn: Turn, reason: str, spent: dict[str, Any]) -> None:
        if turn.message is None and turn.calls_step is None:
            await self.whole(self.open_message(turn))  # a model may say nothing: that is an empty message
        if turn.message is not None and turn.images and not turn.parts:
            await self.show_text(turn, "")  # told, as its images were: deltas add up to all of the message
        incomplete = message_reason = None
        if reason == "length":
            incomplete, message_reason = "max_completion_tokens", "max_tokens"
        elif reason == "content_filter":
            error = {"code": "server_error", "message": "The model's answer was stopped by its content filter."}
            await self.fail(error, spent=spent)
            return
        if turn.calls_step is not None:  # calls that were cut off in their arguments are no calls
            await self.whole(self.tell(holding.complete_calls, turn.calls_step, turn.entries(), spent, turn.number))
            spent = usage_json(Usage())
        message = (*turn.message, turn.content()) if turn.message else None
        await self.whole(
            self.tell(
                holding.finish,
                turn.number,
                spent,
                message=message,
                incomplete=incomplete,
                message_reason=message_reason,
            )
        )

    async def conclude_calls(self, turn: Turn, step: RunStep, spent: dict[str, Any]) -> bool:
        for index in range(len(turn.calls)):
            self.answer_flaws(turn, index)

        async def keep() -> None:
            step.carry = carry_json(turn)
            entries = copy.deepcopy(turn.entries())  # they may grow meanwhile
            await self.whole(self.tell(holding.keep_calls, step, entries, spent, turn.flawed))

        self._serving = Serving(self.held, turn, tell=partial(self.grow_call, turn), keep=keep)
        await self._serving.serve()
        self._serving = None
        step.carry = carry_json(turn)
        if turn.flawed != "" and await self.database.run(flaws.had_one, self.held, turn.offered):
            await self.whole(self.tell(holding.complete_calls, step, turn.entries(), spent, turn.number))
            message = f"The model called '{turn.flawed}' with arguments that are not valid JSON, twice."
            await self.fail({"code": "server_error", "message": message})
            return False
        if any(call.output is None for call in turn.calls):
            approvals = turn.approvals()
            await self.whole(self.tell(holding.wait_for_outputs, step, turn.entries(), spent, turn.number, approvals))
            return False
        await self.whole(self.tell(holding.complete_calls, step, turn.entries(), spent, turn.number))
        return True

    async def out_of_tokens(self, turn: int) -> bool:
        """Ends the run if one of its token budgets is used up; whether it did."""
        run = self.held
        for name, limit in (("prompt", run.max_prompt_tokens), ("completion", run.max_completion_tokens)):
            if limit is not None and run.spent.get(f"{name}_tokens", 0) >= limit:
                nothing = usage_json(Usage())
                await self.whole(
                    self.tell(holding.finish, turn, nothing, message=None, incomplete=f"max_{name}_tokens")
                )
                return True
        return False

    # --- Bad ends ---------------------------------------------------------------------------------------------------

    async def fail(self, error: dict[str, str], *, spent: dict[str, Any] | None = None) -> None:
        self.held.route = getattr(self._turn, "route", None)
        await self.whole(self.end_badly(holding.fail, error, spent=spent))

    async def end_quietly(self) -> None:
        """The claim is gone: either the caller cancelled, which is ours to finish, or another worker goes on.

        Whole, because the word of that cancel may come only now.
        """
        if self.run is None:
            return
        try:
            await self.whole(self.end_badly(holding.finish_cancelled, cut_off=self.cut_off()))
        except LostClaim:
            logger.info("%s is not ours any more.", self.run_id)
        except (OperationalError, InterfaceError) as error:
            logger.error("%s could not be ended, the database failed: %s", self.run_id, first_line(error))

    async def end_interrupted(self) -> None:
        if self.run is None or self.stop_reason == "lost":
            return
        if self.stop_reason != "handed_back":
            await self.end_quietly()
            return
        try:
            await self.tell(holding.hand_back, content=self.content_so_far())
        except LostClaim:
            await self.end_quietly()
        except (OperationalError, InterfaceError) as error:
            logger.error("%s could not be handed back, the database failed: %s", self.run_id, first_line(error))

    def cut_off(self) -> CutOff:
        """The turn that ends before its time, and what it has cost so far."""
        turn = self._turn
        if turn is None:
            return self.held.turns + 1, None
        usage = turn.usage()
        return turn.number, None if usage is None else usage_json(usage)

    def content_so_far(self) -> list[dict[str, Any]] | None:
        """What was told of the open message, or of the open step's calls."""
        turn = self._turn
        if turn is not None and turn.calls_step is not None:
            return turn.entries()
        if turn is None:
            return None
        return turn.content() if turn.parts else turn.image_parts()

    async def end_badly(self, write: Callable[..., Telling], *args: Any, **options: Any) -> None:
        """Ends the run in a way that nobody goes on from, and then what its calls have started."""
        await self.tell(write, *args, content=self.content_so_far(), **options)
        if self._serving is not None:
            await self._serving.abandon()
