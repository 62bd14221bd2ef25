"""An end user is erased with all that is its own; what others use stays, sums stay, and no name is left."""

import json
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.conf import settings
from django.db.models import Sum
from django.utils import timezone

from assistant_site import valkey
from assistant_site.tests.callers import LocalCaller
from audit.models import AuditEntry
from erasure import end_user
from erasure.models import Erasure
from files.models import File
from metering.models import Balance, Budget, LedgerEntry, UsageDay
from runs import events
from runs.models import Run
from tenants.models import EndUser, KeptAnswer
from threads.models import Thread
from tools.models import CodeFile, CodeSpace
from vector_stores.models import VectorStore

NAME = "eve@example.com"
PIXEL = b"\x89PNG\r\n\x1a\n" + b"0" * 32


@dataclass
class Hers:
    """What Alice's end user has."""

    thread: str
    run: str
    files: dict[str, str]
    blobs: dict[str, Path]
    own_store: str
    shared_store: str
    other_thread: str
    other_run: str


def image(file: str) -> dict[str, Any]:
    return {"type": "image_file", "image_file": {"file_id": file}}


def belongs_to(name: str, *threads: str) -> None:
    Thread.objects.across_tenants().filter(pk__in=threads).update(end_user=name)
    Run.objects.across_tenants().filter(thread_id__in=threads).update(end_user=name)


@pytest.fixture
def hers(alice: LocalCaller) -> Hers:
    EndUser.objects.create(tenant=alice.tenant, name=NAME)
    files = {name: alice.upload(f"{name}.txt", b"x") for name in ("searched", "coded", "taught", "drawn")}
    files |= {name: alice.upload(f"{name}.png", PIXEL, purpose="vision") for name in ("seen", "logo")}
    shared = alice.store(name="Books", file_ids=[files["taught"]])
    assistant = alice.assistant(tool_resources={"file_search": {"vector_store_ids": [shared]}})
    search, code = [{"type": "file_search"}], [{"type": "code_interpreter"}]
    attachments = [
        {"file_id": files["searched"], "tools": search},
        {"file_id": files["coded"], "tools": code},
        {"file_id": files["taught"], "tools": search},
    ]
    content = [{"type": "text", "text": "look"}, image(files["seen"]), image(files["logo"])]
    thread = alice.post("threads", {"messages": [{"role": "user", "content": content, "attachments": attachments}]})
    run = alice.send(
        "POST", f"/v1/threads/{thread['id']}/runs", {"assistant_id": assistant}, **{"Idempotency-Key": "k"}
    )
    row = Thread.objects.of(alice.tenant).get(pk=thread["id"])
    CodeSpace.objects.create(tenant=alice.tenant, thread=row, generation="1")
    drawn = {"name": "a.png", "blob": "none", "bytes": 1, "sha256": "0", "file_id": files["drawn"]}
    CodeFile.objects.create(tenant=alice.tenant, thread=row, **drawn)
    other = alice.post("threads", {"messages": [{"role": "user", "content": [image(files["logo"])]}]})["id"]
    other_run = alice.post(f"threads/{other}/runs", {"assistant_id": assistant})["id"]
    belongs_to(NAME, thread["id"])
    Run.objects.across_tenants().filter(pk=other_run).update(end_user=NAME)
    blobs = {name: File.objects.of(alice.tenant).get(pk=id).blob for name, id in files.items()}
    return Hers(
        thread=thread["id"],
        run=run["id"],
        files=files,
        blobs={name: Path(settings.FILES_DIR) / blob for name, blob in blobs.items()},
        own_store=thread["tool_resources"]["file_search"]["vector_store_ids"][0],
        shared_store=shared,
        other_thread=other,
        other_run=other_run,
    )


def test_an_end_user_is_erased_with_what_is_its_own(alice: LocalCaller, bob: LocalCaller, hers: Hers) -> None:
    same_name = bob.thread("mine")
    belongs_to(NAME, same_name)
    assert valkey.blocking().exists(events.key(hers.run))

    answer = alice.delete(f"end_users/{NAME}")
    assert answer.body == {"id": NAME, "object": "end_user.deleted", "deleted": True}

    assert alice.get(f"threads/{hers.thread}").status == 404
    assert not Run.objects.of(alice.tenant).filter(pk=hers.run).exists()
    assert not valkey.blocking().exists(events.key(hers.run))
    assert not VectorStore.objects.of(alice.tenant).filter(pk=hers.own_store).exists()
    gone = {name for name, id in hers.files.items() if alice.get(f"files/{id}").status == 404}
    assert gone == {"searched", "coded", "seen", "drawn"}  # others use the book and the logo
    assert {name for name, path in hers.blobs.items() if not path.exists()} == gone
    assert alice.get(f"vector_stores/{hers.shared_store}").status == 200
    assert alice.get(f"threads/{hers.other_thread}/runs/{hers.other_run}").status == 200
    assert Run.objects.of(alice.tenant).get(pk=hers.other_run).end_user == ""
    assert not KeptAnswer.objects.of(alice.tenant).filter(body__contains=hers.thread.encode()).exists()
    assert bob.get(f"threads/{same_name}").status == 200
    assert Thread.objects.of(bob.tenant).get(pk=same_name).end_user == NAME

    assert alice.delete(f"end_users/{NAME}").status == 404
    Erasure.objects.of(alice.tenant).update(ended_at=timezone.now() - end_user.SECOND_LOOK * 2)
    end_user.carry_on()
    assert places_of(alice, NAME) == []
    began, ended = AuditEntry.objects.filter(tenant_id=alice.tenant.pk, object_type="end_user").order_by("pk")
    assert (began.action, began.actor_kind) == ("end_user.erasure_began", "token")
    assert (ended.action, ended.after) == (
        "end_user.erased",
        {"threads": 1, "messages": 1, "vector_stores": 1, "files": 4},
    )


def places_of(caller: LocalCaller, name: str) -> list[str]:
    """Where in the database, in whatever column of the tenant's rows, the name stands."""
    found = []
    for model in apps.get_models():
        if any(field.attname == "tenant_id" for field in model._meta.concrete_fields):
            rows = model._base_manager.filter(tenant_id=caller.tenant.pk).values()
            found += [f"{model.__name__}: {row}" for row in rows if name in str(row)]
    return found


def test_sums_stay_what_they_were(alice: LocalCaller, hers: Hers) -> None:
    tenant, day = alice.tenant, date(2026, 11, 1)
    for number, name in enumerate([NAME, NAME, end_user.ERASED, "other"]):
        entry = {"key": f"{tenant.pk}/{number}", "kind": "run", "state": "settled", "model": f"m{number}"}
        LedgerEntry.objects.create(tenant=tenant, end_user=name, cost=Decimal("0.1"), **entry)
    shared = {"tenant": tenant, "kind": "run", "currency": "USD"}
    for number, name in enumerate([NAME, end_user.ERASED, "other"]):
        UsageDay.objects.create(day=day, end_user=name, requests=10**number, cost=Decimal(number + 1), **shared)
    UsageDay.objects.create(day=day + timedelta(days=1), end_user=NAME, requests=1000, **shared)
    budget = Budget.objects.create(tenant=tenant, amount=5, end_user="*")
    Budget.objects.create(tenant=tenant, amount=5, end_user=NAME)
    Balance.objects.create(tenant=tenant, budget=budget, began_on=day, end_user=NAME, spent=3)
    Balance.objects.create(tenant=tenant, budget=budget, began_on=day, end_user="other", spent=4)

    assert alice.delete(f"end_users/{NAME}").status == 200

    assert dict(LedgerEntry.objects.of(tenant).values_list("key", "end_user")) == {
        f"{tenant.pk}/0": end_user.ERASED,
        f"{tenant.pk}/1": end_user.ERASED,
        f"{tenant.pk}/2": end_user.ERASED,
        f"{tenant.pk}/3": "other",
    }
    usage = UsageDay.objects.of(tenant)
    assert usage.aggregate(all=Sum("requests"), cost=Sum("cost")) == {"all": 1111, "cost": Decimal(6)}
    assert sorted(usage.values_list("day", "end_user", "requests")) == [
        (day, end_user.ERASED, 11),
        (day, "other", 100),
        (day + timedelta(days=1), end_user.ERASED, 1000),
    ]
    assert list(Balance.objects.of(tenant).values_list("end_user", "spent")) == [("other", 4)]
    assert list(Budget.objects.of(tenant).values_list("end_user", flat=True)) == ["*"]


def test_what_is_much_goes_on_in_the_background(
    alice: LocalCaller, hers: Hers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Broken off after each step, as by a worker that dies."""
    monkeypatch.setattr(end_user, "REQUEST_SECONDS", 0.0)
    monkeypatch.setattr(end_user, "THREADS", 1)
    belongs_to(NAME, *[alice.thread("more") for _ in range(3)])
    assert alice.delete(f"end_users/{NAME}")["deleted"]
    assert EndUser.objects.of(alice.tenant).get(name=NAME).blocked_at is not None
    assert Thread.objects.of(alice.tenant).filter(end_user=NAME).count() == 4
    assert alice.delete(f"end_users/{NAME}")["deleted"]  # harmless to repeat
    looks = 0
    while Erasure.objects.of(alice.tenant).filter(ended_at=None).exists():
        end_user.carry_on(seconds=0.0)
        looks += 1
        assert looks < 200
    assert looks > 5
    assert not Thread.objects.of(alice.tenant).filter(end_user=NAME).exists()
    assert not EndUser.objects.of(alice.tenant).exists()
    assert alice.get(f"files/{hers.files['searched']}").status == 404
    actions = AuditEntry.objects.filter(tenant_id=alice.tenant.pk, object_type="end_user").values_list(
        "action", flat=True
    )
    assert sorted(actions) == ["end_user.erased", "end_user.erasure_began"]


def test_usage_that_comes_late_is_found_at_the_second_look(alice: LocalCaller, hers: Hers) -> None:
    alice.delete(f"end_users/{NAME}")
    LedgerEntry.objects.create(tenant=alice.tenant, end_user=NAME, key=hers.run, kind="run", state="settled")
    end_user.carry_on()
    assert Erasure.objects.of(alice.tenant).exists()  # it is not time yet
    Erasure.objects.of(alice.tenant).update(ended_at=timezone.now() - end_user.SECOND_LOOK * 2)
    end_user.carry_on()
    assert LedgerEntry.objects.of(alice.tenant).get().end_user == end_user.ERASED
    assert not Erasure.objects.of(alice.tenant).exists()


@pytest.mark.parametrize("name", ["nobody", end_user.ERASED, "%00"])
def test_unknown_end_users(alice: LocalCaller, name: str) -> None:
    assert alice.delete(f"end_users/{name}").status in (400, 404)
    assert alice.get(f"end_users/{name}/export").status in (400, 404)


def test_what_is_known_of_an_end_user_can_be_exported(alice: LocalCaller, bob: LocalCaller, hers: Hers) -> None:
    alice.post(f"threads/{hers.thread}", {"title": "Her lamps", "archived": True})
    answer = alice.get(f"end_users/{NAME}/export")
    told = [json.loads(line) for line in answer.body.splitlines()]
    assert [each["object"] for each in told[:4]] == ["end_user", "thread", "thread.message", "thread.run"]
    assert (told[1]["title"], told[1]["archived"]) == ("Her lamps", True)
    assert {each["id"] for each in told if each["object"] == "file"} == set(hers.files.values())
    assert told[-1]["id"] == hers.other_run
    assert bob.get(f"end_users/{NAME}/export").status == 404
