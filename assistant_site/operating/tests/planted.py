"""Rows of a tenant with a word in each place where tenants and their users write."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from assistant_site.tests.callers import LocalCaller
from audit import log
from files.models import File
from metering.models import Balance, Budget, EntryKind, EntryState, LedgerEntry, UsageDay
from runs.models import Run, RunStep
from tenants.models import EndUser, ModelAlias, ModelProfile, Provider
from threads.models import Message, Thread
from tools.models import Action, CodeFile, CodeSpace, McpServer, SearchKey
from vector_stores.models import RetrievalServer, StoreFile, VectorStore

WORD = "zaphodical"  # in every text that is content, and nowhere else
BEGAN = datetime(2026, 5, 4, 12, 0, 0, tzinfo=UTC)


def usage(prompt: int, completion: int) -> dict[str, Any]:
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_token_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0},
    }


def plant(alice: LocalCaller) -> dict[str, Any]:
    """One row of each model that the admin has, by its label; what is written in them has the word."""
    tenant, said = alice.tenant, {"note": WORD}
    file = File.objects.of(tenant).get(pk=alice.upload(f"{WORD}.txt", b"bytes"))
    upload_id = alice.post(
        "uploads", {"filename": f"{WORD}.pdf", "purpose": "assistants", "bytes": 5, "mime_type": "text/plain"}
    )["id"]
    assistant_id = alice.assistant(
        name="Concierge",
        instructions=WORD,
        description=WORD,
        metadata=said,
        tools=[{"type": "function", "function": {"name": "look", "description": WORD}}],
    )
    thread = Thread.objects.of(tenant).get(
        pk=alice.post(
            "threads",
            {"messages": [{"role": "user", "content": f"A {WORD} question"}], "metadata": said, "title": f"On {WORD}"},
        )["id"]
    )
    store = VectorStore.objects.create(tenant=tenant, name="Manuals", description=WORD, metadata=said)
    kept = StoreFile.objects.create(tenant=tenant, file=file, vector_store=store, attributes=said)
    run = planted_run(alice, thread, assistant_id, store)
    made: dict[str, Any] = {
        "tenants.tenant": tenant,
        "tenants.apitoken": tenant.tokens.get(),
        "tenants.enduser": EndUser.objects.create(tenant=tenant, name="customer-1"),
        "tenants.provider": Provider.objects.create(tenant=tenant, name="vLLM", base_url="http://vllm/v1"),
        "tenants.modelalias": ModelAlias.objects.create(tenant=tenant, alias="gpt-4", model="qwen3"),
        "tenants.modelprofile": ModelProfile.objects.create(tenant=tenant, model="qwen3", has_tools=True),
        "files.file": file,
        "files.upload": tenant.uploads.get(pk=upload_id),
        "assistants.assistant": tenant.assistants.get(pk=assistant_id),
        "threads.thread": thread,
        "threads.message": thread.messages.order_by("pk").first(),
        "vector_stores.vectorstore": store,
        "vector_stores.storefile": kept,
        "vector_stores.retrievalserver": RetrievalServer.objects.create(tenant=tenant, base_url="http://r2r"),
        "runs.run": run,
        "tools.codespace": CodeSpace.objects.create(
            tenant=tenant, thread=thread, inputs={WORD: file.pk}, generation="g"
        ),
        "tools.codefile": CodeFile.objects.create(
            tenant=tenant, thread=thread, name=f"{WORD}.csv", blob="b", bytes=1, sha256="0"
        ),
        "tools.action": planted_action(alice),
        "tools.mcpserver": McpServer.objects.create(tenant=tenant, label="deep", url="https://mcp.example.com"),
        "tools.searchkey": SearchKey.objects.create(tenant=tenant, provider="searxng", base_url="https://sx"),
    }
    made |= planted_money(alice, run)
    made["audit.auditentry"] = log.record_row(file, "modified", before={"filename": ""}, after={"filename": WORD})
    return made


def planted_run(alice: LocalCaller, thread: Thread, assistant_id: str, store: VectorStore) -> Run:
    """A run of two turns, the second of which failed: a search and a function, with ledger entries for each turn."""
    tenant = alice.tenant
    run: Run = Run.objects.create(
        tenant=tenant,
        thread=thread,
        assistant_id=assistant_id,
        token_id=tenant.tokens.get().pk,
        status="failed",
        model="gpt-4.1",
        instructions=f"Be {WORD}.",
        metadata={"note": WORD},
        created_at=BEGAN,
        started_at=datetime.now(UTC) + timedelta(minutes=1),  # what stands in the thread was there
        queued_at=BEGAN,
        failed_at=BEGAN + timedelta(seconds=9),
        expires_at=BEGAN + timedelta(minutes=10),
        last_error={"code": "server_error", "message": f"The model said {WORD}."},
        spent=usage(300, 40),
        turns=1,
        attempt=2,
        claimed_by="worker-7:1",
        assistant_stores=[store.pk],
    )
    source = {
        "turn": 1,
        "number": 0,
        "file_id": "file-x",
        "filename": f"{WORD}.txt",
        "quote": f"{WORD} passage",
        "page": 3,
    }
    call = {"id": "call_1", "type": "file_search", "file_search": {"results": [{"score": 0.75, "file_id": "file-x"}]}}
    function = {"name": "look", "arguments": f'{{"for": "{WORD}"}}', "output": f"a {WORD} output"}
    calls = [call, {"id": "call_2", "type": "function", "function": function}]
    queries = f'{{"queries": ["{WORD}"]}}'
    served = {"name": "file_search", "arguments": queries, "output": WORD, "sources": [source | {"page": 3}]}
    RunStep.objects.create(
        tenant=tenant,
        run=run,
        thread_id=thread.pk,
        assistant_id=assistant_id,
        type="tool_calls",
        status="completed",
        created_at=BEGAN + timedelta(seconds=1),
        completed_at=BEGAN + timedelta(seconds=5),
        run_expires_at=run.expires_at,
        turn=1,
        spent=usage(100, 10),
        step_details={"type": "tool_calls", "tool_calls": calls},
        carry={"served": {"0": served}},
    )
    message = Message.objects.create(
        tenant=tenant,
        thread=thread,
        run_id=run.pk,
        role="assistant",
        status="incomplete",
        content=[{"type": "text", "text": {"value": f"A {WORD} ans", "annotations": []}}],
    )
    RunStep.objects.create(
        tenant=tenant,
        run=run,
        thread_id=thread.pk,
        assistant_id=assistant_id,
        type="message_creation",
        status="failed",
        created_at=BEGAN + timedelta(seconds=7),
        failed_at=BEGAN + timedelta(seconds=9),
        run_expires_at=run.expires_at,
        turn=2,
        last_error={"code": "server_error", "message": WORD},
        step_details={"type": "message_creation", "message_creation": {"message_id": message.pk}},
    )
    return run


def planted_action(alice: LocalCaller) -> Action:
    document = {
        "openapi": "3.0.0",
        "info": {"title": "Shop", "version": "1"},
        "servers": [{"url": "https://shop.example.com"}],
        "paths": {
            "/lamps": {"get": {"operationId": "listLamps", "summary": WORD, "responses": {"200": {"description": ""}}}}
        },
    }
    [made] = alice.post("actions", {"openapi_schema": document, "authentication": {"type": "none"}}).body
    action: Action = Action.objects.of(alice.tenant).get(pk=made["id"])
    return action


def planted_money(alice: LocalCaller, run: Run) -> dict[str, Any]:
    tenant = alice.tenant
    entries = [
        LedgerEntry.objects.create(
            tenant=tenant,
            key=f"{run.pk}/{turn}",
            kind=EntryKind.RUN,
            state=EntryState.SETTLED,
            run_id=run.pk,
            model="gpt-4.1",
            provider_model="gpt-4.1-2026",
            created_at=BEGAN + timedelta(seconds=began),
            settled_at=BEGAN + timedelta(seconds=settled),
            prompt_tokens=100 * turn,
            completion_tokens=10 * turn,
            cost=Decimal("0.25") * turn,
            is_rolled_up=True,
        )
        for turn, began, settled in ((1, 0, 3), (2, 5, 9))
    ]
    budget = Budget.objects.create(tenant=tenant, amount=1_000)
    Balance.objects.create(tenant=tenant, budget=budget, began_on=date.today().replace(day=1), spent=900)
    day = UsageDay.objects.create(
        tenant=tenant, day=date.today(), kind=EntryKind.RUN, model="gpt-4.1", prompt_tokens=700_000, runs=3, cost=1
    )
    return {"metering.budget": budget, "metering.ledgerentry": entries[0], "metering.usageday": day}
