"""The end of a tenant: closed at once, everything gone soon, nothing of others touched, whatever dies meanwhile."""

import io
import signal
import subprocess
import sys
import time
from typing import Any

import pytest
from django.apps import apps
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from assistant_site.tests.callers import PATIENCE_SECONDS, LiveCaller, LocalCaller
from audit.models import AuditEntry
from erasure import stores, tenant
from erasure.tests.owning import blobs_of, own_everything, what_is_left
from runs import holding, picking
from runs.models import Run
from tenants import deletion
from tenants.models import ApiToken, Tenant
from threads.models import Message, Thread
from vector_stores.models import Removal

OPERATORS = "operators-own-token"


@pytest.fixture
def operator(alice: LocalCaller, settings: Any) -> LocalCaller:
    settings.ADMIN_TOKEN = OPERATORS
    return LocalCaller(alice.tenant, OPERATORS)


def test_nothing_of_a_deleted_tenant_is_left(alice: LocalCaller, bob: LocalCaller, operator: LocalCaller) -> None:
    own_everything(alice)
    own_everything(bob)
    hers, his, his_rows = blobs_of(alice.tenant), blobs_of(bob.tenant), what_is_left(bob.tenant)
    assert all(path.exists() for path in [*hers, *his])

    answer = operator.delete(f"tenants/{alice.tenant.pk}")
    assert answer.body == {"id": alice.tenant.pk, "object": "tenant.deleted", "deleted": True}
    assert alice.get("threads").status in (401, 403)
    assert not ApiToken.objects.filter(tenant=alice.tenant, revoked_at=None).exists()
    tenant.carry_on(seconds=60)

    assert what_is_left(alice.tenant) == {}
    assert not Tenant.objects.filter(pk=alice.tenant.pk).exists()
    for model in apps.get_models():  # also what names tenants without a foreign key
        for field in model._meta.concrete_fields:
            if field.attname == "tenant_id" and model is not AuditEntry:
                assert not model._base_manager.filter(tenant_id=alice.tenant.pk).exists(), model
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM vector_stores_embedding WHERE tenant_id = %s", [alice.tenant.pk])
        assert cursor.fetchone() == (0,)
    assert len(hers) == 3
    assert not any(path.exists() for path in hers)
    assert all(path.exists() for path in his)
    assert what_is_left(bob.tenant) == his_rows
    assert bob.get("threads").status == 200

    began, ended = AuditEntry.objects.filter(tenant_id=alice.tenant.pk, object_type="tenant").order_by("pk")
    assert (began.action, began.actor_kind) == ("tenant.deletion_began", "admin_token")
    assert began.after is not None
    assert (began.after["threads"], began.after["messages"], began.after["runs"]) == (1, 1, 1)
    assert (ended.action, ended.object_name) == ("tenant.deleted", alice.tenant.name)
    assert operator.delete(f"tenants/{alice.tenant.pk}").status == 404


def test_only_the_operator_deletes_tenants(alice: LocalCaller, bob: LocalCaller) -> None:
    assert alice.delete(f"tenants/{alice.tenant.pk}").status == 403
    assert alice.delete(f"tenants/{bob.tenant.pk}").status == 403
    assert Tenant.objects.filter(deletion_began_at=None, pk__in=[alice.tenant.pk, bob.tenant.pk]).count() == 2


def test_runs_of_a_tenant_that_is_deleted_stop(alice: LocalCaller) -> None:
    run = queued_run(alice)
    assert holding.claim(run, "worker", alice.tenant.pk) is not None
    deletion.begin(alice.tenant)
    assert Run.objects.of(alice.tenant).get(pk=run).status == "cancelling"


def test_the_command_needs_no_worker(alice: LocalCaller, bob: LocalCaller) -> None:
    own_everything(alice)
    name, said = alice.tenant.name, io.StringIO()
    with pytest.raises(CommandError, match=r"owns 1 threads.*say --yes"):
        call_command("delete_tenant", name)
    with pytest.raises(CommandError, match="no tenant"):
        call_command("delete_tenant", f"{name}!", yes=True)
    call_command("delete_tenant", name, yes=True, stdout=said)
    assert said.getvalue().endswith("It is gone.\n")
    assert what_is_left(alice.tenant) == {}
    assert set(AuditEntry.objects.filter(object_type="tenant").values_list("actor_name", flat=True)) == {
        "manage.py delete_tenant"
    }


def test_r2r_is_waited_for_and_then_left(alice: LocalCaller, monkeypatch: pytest.MonkeyPatch) -> None:
    from vector_stores import r2r

    def unreachable(*_: Any, **__: Any) -> None:
        raise r2r.R2RFailed("no answer", transient=True)

    monkeypatch.setattr(r2r, "remove_store", unreachable)
    Removal.objects.create(tenant=alice.tenant, engine="r2r", vector_store_id="vs_x")
    began = deletion.begin(alice.tenant)
    with pytest.raises(stores.Unreachable):
        tenant.carry_out(began)
    tenant.carry_on()
    assert Tenant.objects.filter(pk=began.pk).exists()
    began.deletion_began_at = timezone.now() - tenant.R2R_PATIENCE * 1.1
    assert tenant.carry_out(began)
    assert not Tenant.objects.filter(pk=began.pk).exists()


def test_what_is_written_meanwhile_goes_too(alice: LocalCaller, monkeypatch: pytest.MonkeyPatch) -> None:
    """A request that had begun before the tenant was closed stores something when its kind was gone already."""
    began = deletion.begin(alice.tenant)
    end = tenant._end
    late: list[Any] = [Message, Thread]

    def end_late(row: Tenant) -> bool:
        while late:
            thread = Thread.objects.create(tenant=row)
            late.pop().objects.create(tenant=row, **({"thread": thread, "role": "user"} if not late else {}))
        return end(row)

    monkeypatch.setattr(tenant, "_end", end_late)
    assert tenant.carry_out(began)
    assert what_is_left(began) == {}
    assert not Tenant.objects.filter(pk=began.pk).exists()


# --- Suspension ------------------------------------------------------------------------------------------------------


def queued_run(caller: LocalCaller) -> str:
    return str(caller.post(f"threads/{caller.thread('hi')}/runs", {"assistant_id": caller.assistant()})["id"])


def test_queued_runs_of_a_suspended_tenant_wait_for_its_return(alice: LocalCaller, bob: LocalCaller) -> None:
    hers = queued_run(alice)
    queued_run(bob)

    def waits() -> list[bool]:
        found = {each.tenant_id for each in picking.waiting()}
        return [caller.tenant.pk in found for caller in (alice, bob)]

    assert waits() == [True, True]
    Tenant.objects.filter(pk=alice.tenant.pk).update(suspended_at=timezone.now())
    assert waits() == [False, True]
    assert holding.claim(hers, "worker", alice.tenant.pk) is None
    Tenant.objects.filter(pk=alice.tenant.pk).update(suspended_at=None)
    assert waits() == [True, True]
    assert holding.claim(hers, "worker", alice.tenant.pk) is not None


@pytest.mark.slow
def test_a_deletion_survives_the_death_of_who_carries_it_out(lena: LiveCaller, stack: Any) -> None:
    threads = [Thread(tenant=lena.tenant, message_count=20) for _ in range(1_500)]
    Thread.objects.insert(threads)
    Message.objects.insert(
        [Message(tenant=lena.tenant, thread=each, role="user") for each in threads for _ in range(20)]
    )
    file = lena.upload("a.txt", b"a")
    [path] = blobs_of(lena.tenant)
    lena.store(file_ids=[file])
    stack.stop("ingestion-1")
    try:
        member = stack._members["web-1"]
        process = subprocess.Popen(
            [sys.executable, "manage.py", "delete_tenant", lena.tenant.name, "--yes"], env=member.environment
        )
        left = Thread.objects.of(lena.tenant)
        until(lambda: left.count() < 1_500)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert left.exists(), "it was killed too late to show anything"
        assert lena.get("threads").status in (401, 403)
    finally:
        stack.start("ingestion-1")
    until(lambda: not Tenant.objects.filter(pk=lena.tenant.pk).exists())
    assert what_is_left(lena.tenant) == {}
    assert not path.exists()


def until(is_so: Any) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.01)
