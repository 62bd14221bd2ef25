"""Tenants with one of everything."""

from datetime import date, timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import models
from django.utils import timezone

from assistant_site.tests.callers import LocalCaller
from assistant_site.tests.test_tenancy import things_of
from erasure.models import Erasure
from erasure.tenant import owned_models
from files import blobs
from files.models import File, Upload, UploadPart
from metering.models import Balance, Budget, LedgerEntry, Price, UsageDay
from runs.models import SentPrompt
from tenants.models import EndUser, KeptAnswer, ModelAlias, ModelProfile, Provider, Tenant
from threads.models import Thread
from tools.models import CodeFile, CodeSpace, McpServer, McpToolList, SearchKey
from vector_stores.models import Chunk, ParsedText, Removal, RetrievalServer, StoreFile


def own_everything(caller: LocalCaller) -> dict[str, str]:
    """Gives the caller's tenant a row of every model; returns the ids of `things_of`."""
    things = things_of(caller)
    tenant = caller.tenant
    thread = Thread.objects.of(tenant).get(pk=things["thread_id"])
    store_file = StoreFile.objects.of(tenant).filter(vector_store_id=things["vector_store_id"]).first()
    assert store_file is not None
    ParsedText.objects.create(tenant=tenant, store_file=store_file, text="text")
    Chunk.objects.create(
        tenant=tenant,
        vector_store_id=store_file.vector_store_id,
        store_file_id=store_file.pk,
        position=0,
        text="text",
        token_count=1,
        start=0,
        end=4,
    )
    gone = {"engine": "local", "vector_store_id": "vs_gone"}
    Removal.objects.create(tenant=tenant, due_at=timezone.now() + timedelta(days=1), **gone)
    CodeSpace.objects.create(tenant=tenant, thread=thread)
    blobs.give(blobs.save([b"left"]), CodeFile(tenant=tenant, thread=thread, name="left.txt", sha256="0"))
    upload = Upload.objects.of(tenant).get(pk=things["upload_id"])
    blobs.give(blobs.save([b"part"]), UploadPart(tenant=tenant, upload=upload))
    day = timezone.now().date()
    budget = Budget.objects.of(tenant).get()
    rows: list[models.Model] = [
        EndUser(tenant=tenant, name="eve"),
        KeptAnswer(tenant=tenant, key="k", digest="0"),
        SentPrompt(tenant=tenant, run_id=things["run_id"], turn=1, attempt=1, body=b""),
        Provider(tenant=tenant, name="x", base_url="https://example.com/v1"),
        ModelAlias(tenant=tenant, alias="a", model="b"),
        ModelProfile(tenant=tenant, model="b"),
        Price(tenant=tenant, model="b"),
        Balance(tenant=tenant, budget=budget, began_on=date(2020, 1, 1)),
        LedgerEntry(tenant=tenant, key=f"{things['run_id']}/1", kind="run", state="settled"),
        UsageDay(tenant=tenant, day=day, kind="run"),
        McpServer(tenant=tenant, label="x", url="https://example.com/mcp"),
        McpToolList(tenant=tenant, digest="0"),
        SearchKey(tenant=tenant, provider="brave"),
        RetrievalServer(tenant=tenant, base_url="http://127.0.0.1:9"),
        SentPrompt(tenant=tenant, run_id=things["run_id"], turn=1, attempt=1, body=b""),
        Erasure(tenant=tenant, end_user="eve", handle="user_x", ended_at=timezone.now()),
    ]
    for row in rows:
        row.save()
    left = what_is_left(tenant)
    missing = {model.__name__ for model in owned_models()} - left.keys()
    assert not missing, f"add rows of {missing}"
    return things


def what_is_left(tenant: Tenant) -> dict[str, int]:
    """How many rows of each model belong to the tenant: by each column that leads to it, whatever its name is."""
    found: dict[str, int] = {}
    for model in owned_models():
        if count := model._base_manager.filter(tenant_id=tenant.pk).count():
            found[model.__name__] = count
    return found


def blobs_of(tenant: Tenant) -> list[Path]:
    """The tenant's blobs on the disk."""
    named: Any = [
        blob
        for model in (File, UploadPart, CodeFile)
        for blob in model.objects.of(tenant).values_list("blob", flat=True)
    ]
    return [Path(settings.FILES_DIR) / blob for blob in named]
