"""What a tenant may store and use: refused in the documented words, exactly, and told by /v1/limits."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.utils import timezone

from assistant_site.tests.callers import LiveCaller, LocalCaller
from files.models import File
from metering import quotas
from metering.models import LedgerEntry
from tenants import auth
from tenants.models import Tenant
from vector_stores.tests.drain import ingest_all, row_of

MIB = 1024 * 1024
FULL = (
    "You have exceeded your file storage quota. This organization is limited to 1 MB of files. Please delete old files "
    "or attempt with a smaller file size."
)


def limited(caller: LocalCaller | LiveCaller, **limits: int | None) -> None:
    Tenant.objects.filter(pk=caller.tenant.pk).update(**limits)
    auth.forget_tokens()


def test_storage_is_what_files_and_parts_take_together(alice: LocalCaller) -> None:
    limited(alice, storage_mb=1)
    alice.upload("a.txt", b"a" * (MIB // 2))
    upload = {"filename": "b", "purpose": "assistants", "bytes": MIB // 4, "mime_type": "text/plain"}
    waiting = alice.post("uploads", upload)["id"]
    part = alice.post_form(f"uploads/{waiting}/parts", "data", "b", b"b" * (MIB // 4))["id"]
    too_large = alice.call("POST", "uploads", {**upload, "bytes": MIB // 2})
    too_many = alice.post_form("files", "file", "c.txt", b"c" * (MIB // 4 + 1), purpose="assistants")
    one_more = alice.post_form(f"uploads/{waiting}/parts", "data", "b", b"b" * (MIB // 4 + 1))
    for refused in (too_large, too_many, one_more):
        assert refused.status == 400
        assert refused.error == {"message": FULL, "type": "invalid_request_error", "param": None, "code": None}
    assert alice.post(f"uploads/{waiting}/complete", {"part_ids": [part]})["status"] == "completed"
    last = alice.upload("c.txt", b"c" * (MIB // 4))
    assert alice.get("limits")["storage"] == {"limit": MIB, "used": MIB}
    assert alice.call("DELETE", f"files/{last}").status == 200
    alice.upload("c.txt", b"c")


def test_storage_is_exact_however_many_come_at_once(lena: LiveCaller) -> None:
    limited(lena, storage_mb=1)

    def upload(number: int) -> int:
        caller = LiveCaller(lena.tenant, lena.token, lena.url)  # a session is for one thread
        content = b"x" * (MIB * 2 // 5)
        return caller.post_form("files", "file", f"{number}.txt", content, purpose="assistants").status

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(upload, range(8))) == [200] * 2 + [400] * 6
    assert File.objects.of(lena.tenant).count() == 2


def test_a_file_that_finds_no_room_in_the_stores_fails(alice: LocalCaller) -> None:
    store = alice.store()
    first, second, third = (alice.upload(f"{name}.txt", f"falcon {name} ".encode() * 40_000) for name in "abc")
    for file in (first, second, third):
        alice.post(f"vector_stores/{store}/files", {"file_id": file})
    limited(alice, vector_store_mb=1)
    ingest_all()
    states = [row_of(store, file) for file in (first, second, third)]
    assert [row.status for row in states] == ["completed", "failed", "failed"]
    error = alice.get(f"vector_stores/{store}/files/{second}")["last_error"]
    assert error["code"] == "invalid_file"
    assert error["message"].startswith("The vector stores of this organization are limited to 1 MB, and there is no ")
    told = alice.get("limits")["vector_stores"]
    assert told == {"limit": MIB, "used": states[0].usage_bytes}
    limited(alice, vector_store_mb=None)


def test_seconds_of_code_are_reserved_and_counted_once(alice: LocalCaller) -> None:
    limited(alice, code_seconds_per_month=100)
    tenant = Tenant.objects.get(pk=alice.tenant.pk)
    for _ in range(2):  # the same call, perhaps by another worker
        assert quotas.begin_code(tenant, "step_1:0", 120) == ""
    assert quotas.code_seconds_used(tenant.pk) == 120
    assert quotas.begin_code(tenant, "step_2:0", 120).startswith(
        "The code was not run: this organization may run code "
    )
    for _ in range(2):
        quotas.end_code(tenant.pk, "step_1:0", 30.5)
    assert quotas.begin_code(tenant, "step_1:0", 120) == ""
    assert quotas.code_seconds_used(tenant.pk) == 30.5
    assert quotas.begin_code(tenant, "step_3:0", 120) == ""
    quotas.end_code(tenant.pk, "step_3:0", None)  # it was given up at once
    assert alice.get("limits")["code_seconds_per_month"]["used"] == pytest.approx(30.5, abs=2)
    LedgerEntry.objects.of(tenant).update(settled_at=timezone.now() - timedelta(days=32))
    assert quotas.code_seconds_used(tenant.pk) == 0


def test_limits_are_told(alice: LocalCaller) -> None:
    told = alice.get("limits")
    assert told["requests_per_minute"] == {"limit": None, "used": None}
    assert told["queued_runs"] == {"limit": None, "used": 0}
    limited(alice, requests_per_minute=60, tokens_per_minute=1_000, concurrent_runs=3)
    alice.post(f"threads/{alice.thread('Hello')}/runs", {"assistant_id": alice.assistant()})
    told = alice.get("limits")
    assert told["requests_per_minute"]["limit"] == 60
    assert told["requests_per_minute"]["used"] >= 3
    assert told["tokens_per_minute"] == {"limit": 1_000, "used": 0}
    assert told["token"]["requests_per_minute"] == {"limit": None, "used": None}
    assert told["concurrent_runs"] == {"limit": 3, "used": 0}
    assert told["queued_runs"] == {"limit": None, "used": 1}
