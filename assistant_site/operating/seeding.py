"""Fills an installation with rows as they would be after months of work: for benchmarks of the admin, and for looks.

All is made by PostgreSQL itself, in batches, from numbered plans in temporary tables. The ids are in the order of their
moments like real ones. Nothing is made that an upstream or a storage would have to know: files have their bytes.
"""

# ruff: noqa: S608 the numbers and names in the texts of the statements are this module's own
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from functools import partial
from typing import Any

from django.db import connection, models, transaction
from django.utils import timezone

from assistant_site.wire.ids import ALPHABET
from assistants.models import Assistant
from audit.models import ActorKind, AuditEntry
from files import actions as file_actions
from metering.models import Balance, Budget, EntryKind, EntryState, LedgerEntry, Period, Price, Unit, UsageDay
from runs.machine import Status
from runs.models import Run, RunStep, StepStatus
from tenants.actions import issue_token
from tenants.models import EndUser, ModelAlias, Provider, Tenant
from threads.models import Message, MessageStatus, Thread
from vector_stores.models import VectorStore

BATCH = 50_000
RUNS_PER_THREAD = 2
END_USERS_PER_TENANT = 40
UNDER_WAY = 48  # runs that are at work when all is done, half of them waiting

NAMES = (
    *("Northwind", "Contoso", "Globex", "Initech", "Umbra Labs", "Acme", "Vandelay", "Hooli", "Stark & Daughters"),
    *("Wayne Logistics", "Tyrell", "Cyberdyne", "Soylent Foods", "Massive Dynamic", "Aperture", "Black Mesa"),
    *("Blue Sun", "Wonka", "Dunder Paper", "Sirius Cybernetics"),
)
MODELS = ("gpt-4o-mini", "qwen3:32b", "gpt-4.1", "llama3.3:70b")
QUESTIONS = (
    "Where is my order, and when will it be here?",
    "Summarise the attached contract in five points.",
    "How do I reset the password of my account?",
    "Translate this paragraph into Portuguese, please.",
    "What does error 4012 mean, and how do I get rid of it?",
)
ANSWERS = (
    "Your order left the warehouse this morning and will arrive on Thursday, before noon.",
    "The contract runs for twelve months, renews by itself, and can be ended with a notice of six weeks.",
    "Open the sign-in page, choose “Forgot password”, and follow the link in the message that you receive.",
    "Claro. Aqui está o parágrafo traduzido, no mesmo tom do original.",
    "Error 4012 means that the device lost its clock. Connect it for a minute, and the message goes away.",
)


@dataclass(frozen=True)
class Size:
    tenants: int = 20
    runs: int = 1_000_000
    messages: int = 10_000_000
    days: int = 90

    @property
    def threads(self) -> int:
        return max(1, self.runs // RUNS_PER_THREAD)

    @property
    def per_thread(self) -> int:
        """Messages of a thread; each run has a question and an answer."""
        return max(2 * RUNS_PER_THREAD, self.messages // self.threads)


def is_empty() -> bool:
    """Whether nobody has worked here yet."""
    return not (Run.objects.across_tenants().exists() or Thread.objects.across_tenants().exists())


def seed(size: Size, say: Callable[[str], None]) -> None:
    """Makes it all; `say` is told of the progress. Each batch is a transaction of its own."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT setseed(0.42)")
    tenants = _customers(size)
    say(f"{len(tenants)} tenants with tokens, end users, assistants, files and budgets")
    _plan(size)
    say("plans of all threads and runs")
    _each("threads", size.threads, partial(_threads, size), say)
    _each("runs", size.threads * RUNS_PER_THREAD, _runs, say)
    per_batch = max(1, BATCH // size.per_thread)
    _each("messages", size.threads, partial(_messages, size), say, per_batch, size.per_thread)
    _under_way()
    _usage()
    _balances()
    say("usage, balances and runs under way")
    _audit(size)
    with connection.cursor() as cursor:
        for table in ("seed_tenants", "seed_threads", "seed_runs"):
            cursor.execute(f"DROP TABLE {table}")
        for model in (Thread, Run, RunStep, Message, LedgerEntry, UsageDay, AuditEntry, EndUser):
            cursor.execute(f'ANALYZE "{model._meta.db_table}"')
    say("audit entries, statistics")


def _each(
    what: str,
    count: int,
    insert: Callable[[int, int], None],
    say: Callable[[str], None],
    size: int = BATCH,
    rows: int = 1,
) -> None:
    """Inserts in batches of numbers, both ends included; says each tenth of the way."""
    told = 0
    for first in range(0, count, size):
        last = min(first + size, count) - 1
        with transaction.atomic():
            insert(first, last)
        share = 10 * (last + 1) // count
        if share > told:
            told = share
            say(f"{(last + 1) * rows:,} {what}")


# --- Rows by SQL -----------------------------------------------------------------------------------------------------


def wire_id(prefix: str, moment: str) -> str:
    """SQL for an id of this moment (an expression in microseconds), as `assistant_site.wire.ids` makes them."""
    digits = "||".join(
        f"substr('{ALPHABET}', (({moment}) / {62**power} % 62 + 1)::int, 1)" for power in range(8, -1, -1)
    )
    return f"'{prefix}'||{digits}||substr(md5(random()::text), 1, 15)"


def at(moment: str) -> str:
    """SQL for a time of so many microseconds."""
    return f"(timestamptz 'epoch' + ({moment}) * interval '1 microsecond')"


def one_of(values: Iterable[str], number: str) -> str:
    texts = ",".join("'" + value.replace("'", "''") + "'" for value in values)
    return f"(ARRAY[{texts}])[({number})::int % {len(tuple(values))} + 1]"


def insert(model: type[models.Model], given: dict[str, str], source: str) -> None:
    """Inserts what `source` (from FROM on) yields: each column by its expression, the others as Django's defaults."""
    columns, expressions, parameters = [], [], []
    for field in model._meta.concrete_fields:
        expression = given.get(field.attname)
        if expression is None:
            if isinstance(field, models.AutoField):
                continue
            parameters.append(field.get_db_prep_save(field.get_default(), connection))
        columns.append(f'"{field.column}"')
        expressions.append("%s" if expression is None else expression.replace("%", "%%"))
    into = f'INSERT INTO "{model._meta.db_table}" ({", ".join(columns)})'
    sql = f"{into} SELECT {', '.join(expressions)} {source.replace('%', '%%')}"
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)


def run_sql(sql: str, *parameters: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters or None)


# --- Customers -------------------------------------------------------------------------------------------------------


def _customers(size: Size) -> list[Tenant]:
    """Tenants with what they have few of, made as the admin and the API make them; a plan of them in `seed_tenants`."""
    began = timezone.now() - timedelta(days=size.days + 30)
    for model, prompt, completion in zip(MODELS, (0.15, 0.08, 2, 0.1), (0.6, 0.24, 8, 0.4), strict=True):
        Price.objects.get_or_create(
            tenant=None,
            model=model,
            currency="USD",
            valid_from=began.date(),
            defaults={"prompt": Decimal(str(prompt)), "completion": Decimal(str(completion))},
        )
    now = timezone.now()
    Provider.objects.create(name="vLLM, Frankfurt", base_url="http://vllm.internal:8000/v1", succeeded_at=now)
    Provider.objects.create(
        name="Reserve",
        base_url="https://reserve.example.com/v1",
        priority=1,
        failed_at=now - timedelta(minutes=7),
        failure="HTTP 503: no healthy upstream",
        succeeded_at=now - timedelta(hours=3),
    )
    ModelAlias.objects.get_or_create(tenant=None, alias="gpt-4-1106-preview", defaults={"model": "qwen3:32b"})
    run_sql(
        "CREATE TEMP TABLE seed_tenants (n int PRIMARY KEY, id text, tokens text[], assistants text[], users text[])"
    )
    tenants = []
    for number in range(size.tenants):
        tenants.append(tenant := _tenant(number, began))
        tokens = [issue_token(tenant=tenant, name=name)[0].pk for name in ("production", "staging")]
        assistants = [_assistant(tenant, name).pk for name in ("Support", "Contracts", "Concierge")]
        users = EndUser.objects.insert(
            [EndUser(tenant=tenant, name=f"customer-{user:04}") for user in range(END_USERS_PER_TENANT)]
        )
        run_sql(
            "INSERT INTO seed_tenants VALUES (%s, %s, %s, %s, %s)",
            *(number, tenant.pk, tokens, assistants, [user.name for user in users]),
        )
        for name in ("Manuals", "Contracts 2026"):
            VectorStore.objects.create(tenant=tenant, name=name)
        for name in ("terms.md", "prices.md"):
            file_actions.create_file(tenant=tenant, filename=name, purpose="assistants", pieces=[b"# Seeded\n"])
        Budget.objects.create(tenant=tenant, unit=Unit.TOKENS, period=Period.MONTH, amount=Decimal(10**9))
    return tenants


def _tenant(number: int, began: Any) -> Tenant:
    name = NAMES[number % len(NAMES)]
    if number >= len(NAMES):
        name += f" {number // len(NAMES) + 1}"
    while Tenant.objects.filter(name=name).exists():
        name += " ′"
    return Tenant.objects.create(name=name, created_at=began + timedelta(days=number % 30), concurrent_runs=64)


def _assistant(tenant: Tenant, name: str) -> Assistant:
    made: Assistant = Assistant.objects.create(
        tenant=tenant,
        name=name,
        model=MODELS[len(name) % len(MODELS)],
        instructions=f"You are the {name.lower()} assistant of {tenant.name}. Answer briefly and kindly.",
        tools=[{"type": "file_search"}],
    )
    return made


# --- Threads, runs, messages -----------------------------------------------------------------------------------------

_SECOND = 1_000_000


def _plan(size: Size) -> None:
    """`seed_threads` and `seed_runs`: who, when and how, by number; the few largest tenants have most of it."""
    now = int(timezone.now().timestamp() * _SECOND)
    apart = 40 * _SECOND  # between two messages of a thread
    first = now - size.days * 86_400 * _SECOND
    step = (now - first - size.per_thread * apart - 600 * _SECOND) / size.threads
    run_sql(
        f"""
        CREATE TEMP TABLE seed_threads AS
        SELECT planned.n, us, {wire_id("thread_", "us")} AS id, tenant.id AS tenant_id,
               tenant.tokens[(planned.n % 7 = 0)::int + 1] AS token_id,
               tenant.assistants[planned.n % 3 + 1] AS assistant_id,
               CASE WHEN planned.n % 3 = 0 THEN tenant.users[planned.n % {END_USERS_PER_TENANT} + 1] ELSE '' END
                 AS end_user,
               {one_of(MODELS, "planned.n")} AS model
        FROM (
            SELECT n, ({first} + n * {step!r} + random() * {step!r} * 0.9)::bigint AS us,
                   floor({size.tenants} * power(random(), 2))::int AS tenant_n
            FROM generate_series(0, {size.threads - 1}) AS n OFFSET 0
        ) planned JOIN seed_tenants tenant ON tenant.n = planned.tenant_n
        """
    )
    run_sql("CREATE UNIQUE INDEX ON seed_threads (n)")
    last = size.per_thread - 1
    answer = f"{last} - 2 * ({RUNS_PER_THREAD - 1} - n % {RUNS_PER_THREAD})"  # which message of the thread
    run_sql(
        f"""
        CREATE TEMP TABLE seed_runs AS
        SELECT n, thread_n, us, {wire_id("run_", "us")} AS id, answer, luck,
               CASE WHEN luck < 0.945 THEN 'completed' WHEN luck < 0.97 THEN 'failed' WHEN luck < 0.98 THEN 'incomplete'
                    WHEN luck < 0.995 THEN 'cancelled' ELSE 'expired' END AS status,
               (200 + 3000 * power(size, 3))::int AS prompt_tokens, (20 + 400 * size)::int AS completion_tokens,
               (0.6 + 9 * power(size, 4))::float8 AS seconds
        FROM (
            SELECT planned.n, thread.n AS thread_n, planned.answer,
                   thread.us + planned.answer * {apart}::bigint - 12 * {_SECOND} AS us,
                   random() AS luck, random() AS size
            FROM (SELECT n, n / {RUNS_PER_THREAD} AS thread_n, ({answer}) AS answer
                  FROM generate_series(0, {size.threads * RUNS_PER_THREAD - 1}) AS n) planned
            JOIN seed_threads thread ON thread.n = planned.thread_n OFFSET 0
        ) made
        """
    )
    run_sql("CREATE UNIQUE INDEX ON seed_runs (n)")
    run_sql("CREATE INDEX ON seed_runs (thread_n)")
    for table in ("seed_threads", "seed_runs"):
        run_sql(f"ANALYZE {table}")


def _threads(size: Size, first: int, last: int) -> None:
    given = {name: name for name in ("id", "tenant_id", "end_user")} | {
        "created_at": at("us"),
        "message_count": str(size.per_thread),
    }
    insert(Thread, given, f"FROM seed_threads WHERE n BETWEEN {first} AND {last} ORDER BY n")


_USAGE = """jsonb_build_object('prompt_tokens', run.prompt_tokens, 'completion_tokens', run.completion_tokens,
    'total_tokens', run.prompt_tokens + run.completion_tokens,
    'prompt_token_details', jsonb_build_object('cached_tokens', 0),
    'completion_tokens_details', jsonb_build_object('reasoning_tokens', 0))"""
_ENDED = "run.us + (run.seconds * 1000000)::bigint"


def _runs(first: int, last: int) -> None:
    """Runs with a step and a ledger entry each."""
    source = (
        f"FROM seed_runs run JOIN seed_threads thread ON thread.n = run.thread_n "
        f"WHERE run.n BETWEEN {first} AND {last} ORDER BY run.n"
    )

    def when(*statuses: Status, then: str = at(_ENDED)) -> str:
        return f"CASE WHEN run.status IN ({', '.join(repr(str(status.value)) for status in statuses)}) THEN {then} END"

    insert(
        Run,
        {
            "id": "run.id",
            "tenant_id": "thread.tenant_id",
            "thread_id": "thread.id",
            "assistant_id": "thread.assistant_id",
            "token_id": "thread.token_id",
            "end_user": "thread.end_user",
            "status": "run.status",
            "model": "thread.model",
            "instructions": "'You are a helpful assistant. Answer briefly and kindly.'",
            "created_at": at("run.us"),
            "queued_at": at("run.us"),
            "started_at": at(f"run.us + {_SECOND // 20}"),
            "expires_at": at(f"run.us + {600 * _SECOND}"),
            "completed_at": when(Status.COMPLETED, Status.INCOMPLETE),
            "failed_at": when(Status.FAILED),
            "cancelled_at": when(Status.CANCELLED),
            "incomplete_reason": when(Status.INCOMPLETE, then="'max_completion_tokens'"),
            "last_error": when(
                Status.FAILED,
                then="""jsonb_build_object('code', 'server_error', 'message', 'The model server answered 503.')""",
            ),
            "spent": _USAGE,
            "turns": "1",
            "attempt": "1",
            "claimed_by": "'worker-1:4711'",
            "event_position": "9",
        },
        source,
    )
    insert(
        RunStep,
        {
            "id": wire_id("step_", f"run.us + {_SECOND // 2}"),
            "tenant_id": "thread.tenant_id",
            "run_id": "run.id",
            "thread_id": "thread.id",
            "assistant_id": "thread.assistant_id",
            "type": "'tool_calls'",
            "status": f"'{StepStatus.COMPLETED.value}'",
            "created_at": at(f"run.us + {_SECOND // 2}"),
            "completed_at": at(_ENDED),
            "run_expires_at": at(f"run.us + {600 * _SECOND}"),
            "spent": _USAGE,
            "turn": "1",
            "step_details": """jsonb_build_object('type', 'tool_calls', 'tool_calls', jsonb_build_array(
                jsonb_build_object('id', 'call_' || run.n, 'type', 'function', 'function', jsonb_build_object(
                'name', 'order_status', 'arguments', '{"order": 4711}', 'output', 'left the warehouse'))))""",
        },
        source,
    )
    insert(
        LedgerEntry,
        {
            "key": "run.id || '/1'",
            "tenant_id": "thread.tenant_id",
            "kind": f"'{EntryKind.RUN.value}'",
            "state": f"'{EntryState.SETTLED.value}'",
            "token_id": "thread.token_id",
            "end_user": "thread.end_user",
            "run_id": "run.id",
            "assistant_id": "thread.assistant_id",
            "model": "thread.model",
            "provider_model": "thread.model",
            "created_at": at("run.us"),
            "settled_at": at(_ENDED),
            "prompt_tokens": "run.prompt_tokens",
            "completion_tokens": "run.completion_tokens",
            "runs": "1",
            "cost": "(run.prompt_tokens * 0.15 + run.completion_tokens * 0.6) / 1000000",
            "is_rolled_up": "true",
        },
        source,
    )


def _messages(size: Size, first: int, last: int) -> None:
    """Questions and answers in turn; the last answers are those of the thread's runs."""
    moment = f"thread.us + number * {40 * _SECOND}::bigint"
    insert(
        Message,
        {
            "id": wire_id("msg_", f"({moment})"),
            "tenant_id": "thread.tenant_id",
            "thread_id": "thread.id",
            "created_at": at(f"({moment})"),
            "completed_at": at(f"({moment})"),
            "status": f"'{MessageStatus.COMPLETED.value}'",
            "role": "CASE WHEN number % 2 = 0 THEN 'user' ELSE 'assistant' END",
            "content": f"""jsonb_build_array(jsonb_build_object('type', 'text', 'text', jsonb_build_object('value',
                CASE WHEN number % 2 = 0 THEN {one_of(QUESTIONS, "thread.n + number / 2")}
                ELSE {one_of(ANSWERS, "thread.n + number / 2")} END, 'annotations', '[]'::jsonb)))""",
            "assistant_id": "CASE WHEN number % 2 = 1 THEN thread.assistant_id END",
            "run_id": "run.id",
        },
        f"FROM seed_threads thread CROSS JOIN generate_series(0, {size.per_thread - 1}) AS number "
        "LEFT JOIN seed_runs run ON run.thread_n = thread.n AND run.answer = number "
        f"WHERE thread.n BETWEEN {first} AND {last} ORDER BY thread.n, number",
    )


def _under_way() -> None:
    """A few runs at work, of the last minutes: queued ones, and ones that wait for their callers' functions."""
    now = int(timezone.now().timestamp() * _SECOND)
    run_sql(
        f"""
        CREATE TEMP TABLE seed_now AS
        SELECT planned.n, us, {wire_id("thread_", "us")} AS thread_id, {wire_id("run_", "us")} AS id,
               tenant.id AS tenant_id, tenant.assistants[1] AS assistant_id, tenant.tokens[1] AS token_id
        FROM (SELECT n, {now}::bigint - (({UNDER_WAY} - n) * 5 * {_SECOND})::bigint AS us,
              n % (SELECT count(*) FROM seed_tenants) AS tenant_n
              FROM generate_series(1, {UNDER_WAY}) AS n) planned
        JOIN seed_tenants tenant ON tenant.n = planned.tenant_n
        """
    )
    with transaction.atomic():
        given = {"id": "thread_id", "tenant_id": "tenant_id", "created_at": at("us"), "message_count": "1"}
        insert(Thread, given | {"active_run_id": "id"}, "FROM seed_now ORDER BY n")
        insert(
            Message,
            {
                "id": wire_id("msg_", "us"),
                "tenant_id": "tenant_id",
                "thread_id": "thread_id",
                "created_at": at("us"),
                "completed_at": at("us"),
                "role": "'user'",
                "content": """jsonb_build_array(jsonb_build_object('type', 'text', 'text', jsonb_build_object('value',
                    'And where is it now?', 'annotations', '[]'::jsonb)))""",
            },
            "FROM seed_now ORDER BY n",
        )
        insert(
            Run,
            {name: name for name in ("id", "tenant_id", "thread_id", "assistant_id", "token_id")}
            | {
                "status": f"CASE WHEN n % 2 = 0 THEN '{Status.QUEUED.value}' ELSE '{Status.REQUIRES_ACTION.value}' END",
                "model": one_of(MODELS, "n"),
                "created_at": at("us"),
                "queued_at": at("us"),
                "expires_at": at(f"us + {3600 * _SECOND}::bigint"),
                "event_position": "2",
            },
            "FROM seed_now ORDER BY n",
        )
    run_sql("DROP TABLE seed_now")


# --- Money, audit ----------------------------------------------------------------------------------------------------


def _usage() -> None:
    names = ("token_id", "model", "assistant_id", "end_user", "currency")
    sums = ("prompt_tokens", "cached_tokens", "completion_tokens", "runs", "tool_calls", "code_seconds", "cost")
    grouped = ", ".join(("tenant_id", "(settled_at AT TIME ZONE 'UTC')::date", "kind", *names))
    insert(
        UsageDay,
        {name: name for name in ("tenant_id", "kind", *names)}
        | {name: f"sum({name})" for name in sums}
        | {"day": "(settled_at AT TIME ZONE 'UTC')::date", "requests": "count(*)"},
        f"FROM \"{LedgerEntry._meta.db_table}\" WHERE state = '{EntryState.SETTLED.value}' AND is_rolled_up "
        f"AND (tenant_id) IN (SELECT id FROM seed_tenants) GROUP BY {grouped} ORDER BY 1",
    )


def _balances() -> None:
    """What the month's budgets have spent; the amounts are then set so that some are nearly used up."""
    month = timezone.now().date().replace(day=1)
    for number, budget in enumerate(
        Budget.objects.across_tenants().filter(unit=Unit.TOKENS, period=Period.MONTH, balances=None).order_by("pk")
    ):
        used = UsageDay.objects.across_tenants().filter(tenant_id=budget.tenant_id, day__gte=month)
        told = used.aggregate(spent=models.Sum(models.F("prompt_tokens") + models.F("completion_tokens")))
        spent = Decimal(told["spent"] or 0)
        Balance.objects.create(tenant_id=budget.tenant_id, budget=budget, began_on=month, spent=spent)
        share = (0.97, 0.42, 0.86, 0.6, 0.2)[number % 5]
        budget.change(amount=Decimal(max(1_000, math.ceil(float(spent) / share / 1_000) * 1_000)))


def _audit(size: Size) -> None:
    """Some entries a day."""
    count = size.tenants * size.days
    now = int(timezone.now().timestamp() * _SECOND)
    step = size.days * 86_400 * _SECOND // count
    insert(
        AuditEntry,
        {
            "id": wire_id("audit_", "us"),
            "at": at("us"),
            "tenant_id": "tenant.id",
            "actor_kind": f"'{ActorKind.STAFF.value}'",
            "actor_name": "'seed'",
            "address": "'192.0.2.' || planned.n % 250 + 1",
            "action": one_of(("token.created", "token.revoked", "tenant.changed", "budget.changed"), "planned.n"),
            "object_type": "'tenant'",
            "object_id": "tenant.id",
        },
        f"FROM (SELECT n, {now}::bigint - ({count} - n) * {step}::bigint AS us "
        f"FROM generate_series(1, {count}) AS n) planned "
        f"JOIN seed_tenants tenant ON tenant.n = planned.n % {size.tenants} ORDER BY planned.n",
    )
