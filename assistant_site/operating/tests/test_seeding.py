"""`manage.py seed`: rows that fit together, in the order of their ids."""

from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db.models import F, Sum

from metering.models import LedgerEntry, UsageDay
from runs.models import Run, RunStep
from tenants.models import Tenant
from threads.models import Message, Thread


@pytest.mark.django_db
def test_what_is_seeded_fits_together() -> None:
    before = set(Tenant.objects.values_list("pk", flat=True))
    out = StringIO()
    call_command("seed", tenants=3, runs=40, messages=200, days=5, yes=True, stdout=out)
    assert "Done: 3 tenants, 40 runs, 200 messages." in out.getvalue()
    tenants = Tenant.objects.exclude(pk__in=before)
    runs, messages, threads = (
        model.objects.across_tenants().filter(tenant__in=tenants) for model in (Run, Message, Thread)
    )
    under_way = runs.filter(status__in=["queued", "requires_action"])
    ended = runs.exclude(pk__in=under_way)
    assert (tenants.count(), ended.count(), messages.exclude(thread__runs__in=under_way).distinct().count()) == (
        3,
        40,
        200,
    )
    assert not runs.exclude(tenant_id=F("thread__tenant_id")).exists()
    assert threads.filter(active_run_id__in=under_way.values("pk")).count() == under_way.count() > 0
    assert RunStep.objects.across_tenants().filter(run__in=ended).count() == 40
    assert messages.filter(run_id__in=ended.values("pk"), role="assistant").count() == 40
    for rows in (runs, threads):
        moments = list(rows.order_by("pk").values_list("created_at", flat=True))
        assert moments == sorted(moments), "ids are in the order of time"
    entries = LedgerEntry.objects.across_tenants().filter(tenant__in=tenants)
    days = UsageDay.objects.across_tenants().filter(tenant__in=tenants)
    for name in ("prompt_tokens", "completion_tokens", "runs", "cost"):
        assert entries.aggregate(sum=Sum(name)) == days.aggregate(sum=Sum(name)), name

    with pytest.raises(CommandError, match="Say --yes"):
        call_command("seed", tenants=1, runs=2, messages=4)
    with pytest.raises(CommandError, match="at least 1"):
        call_command("seed", tenants=0)
