"""How fast the admin is in a large installation: each list, its filters and searches, and the pages of rows.

    make bench-admin                    seeds an installation of its own: 12 minutes, 12 GB
    make bench-admin RUNS=10000 MESSAGES=100000
    python -m benchmarks.admin --here   in the installation of this environment, which `manage.py seed` has filled

Each page is asked for as a browser asks for it, through all of Django, by a superuser; the first answer is left out.
"""

import argparse
import statistics
import time
from collections.abc import Iterator
from typing import Any

from benchmarks import installation

ROUNDS = 5


def pages(sample: dict[str, str]) -> Iterator[tuple[str, str]]:
    """What is asked for: a name, and the address."""
    yield "dashboard", "/admin/"
    lists = {
        "runs": "runs/run",
        "threads": "threads/thread",
        "messages": "threads/message",
        "assistants": "assistants/assistant",
        "tenants": "tenants/tenant",
        "tokens": "tenants/apitoken",
        "end users": "tenants/enduser",
        "providers": "tenants/provider",
        "aliases": "tenants/modelalias",
        "profiles": "tenants/modelprofile",
        "prices": "metering/price",
        "budgets": "metering/budget",
        "usage": "metering/usageday",
        "ledger": "metering/ledgerentry",
        "files": "files/file",
        "vector stores": "vector_stores/vectorstore",
        "files in stores": "vector_stores/storefile",
        "audit log": "audit/auditentry",
        "users": "auth/user",
    }
    for name, path in lists.items():
        yield name, f"/admin/{path}/"
    tenant, small = sample["tenant"], sample["small"]
    for name, path in lists.items():
        if name in ("runs", "threads", "usage", "ledger", "end users"):
            yield f"{name} of the largest tenant", f"/admin/{path}/?tenant__id__exact={tenant}"
            yield f"{name} of the smallest tenant", f"/admin/{path}/?tenant__id__exact={small}"
    for status in ("completed", "failed", "expired", "queued"):
        yield f"runs that are {status}", f"/admin/runs/run/?status__exact={status}"
    both = "/admin/runs/run/?status__exact=expired&tenant__id__exact="
    yield "runs of the largest tenant that expired", both + tenant
    yield "runs of the smallest tenant that expired", both + small
    yield "runs of the last day", "/admin/runs/run/?since=1d"
    yield "runs, a page from the middle", f"/admin/runs/run/?pk__lt={sample['run']}"
    yield "messages, a page from the middle", f"/admin/threads/message/?pk__lt={sample['message']}"
    yield "runs of a thread", f"/admin/runs/run/?q={sample['thread']}"
    yield "runs by the beginning of an id", f"/admin/runs/run/?q={sample['run'][:11]}"
    yield "runs by a tenant's name", f"/admin/runs/run/?q={sample['name']}"
    yield "runs by what nothing has", "/admin/runs/run/?q=nothing+of+the+kind"
    yield "a message by its id", f"/admin/threads/message/?q={sample['message']}"
    yield "messages of a thread", f"/admin/threads/message/?q={sample['thread']}"
    yield "ledger of a run", f"/admin/metering/ledgerentry/?q={sample['run']}"
    yield "usage of a token", f"/admin/metering/usageday/?q={sample['token']}"
    yield "audit log of a tenant", f"/admin/audit/auditentry/?q={tenant}"
    yield "page of the largest tenant", f"/admin/tenants/tenant/{tenant}/change/"
    yield "run inspector", f"/admin/runs/run/{sample['run']}/change/"
    yield "thread", f"/admin/threads/thread/{sample['thread']}/change/"
    yield "message", f"/admin/threads/message/{sample['message']}/change/"


def sample() -> dict[str, str]:
    """Rows to look at: from the middle of the table, of the largest tenant and the smallest."""
    from django.db.models import Count

    from metering.models import UsageDay
    from runs.models import Run
    from tenants.models import ApiToken, Tenant
    from threads.models import Message

    by_size = list(
        UsageDay.objects.across_tenants().order_by().values_list("tenant").annotate(n=Count("pk")).order_by("-n")
    )
    middle = Run.objects.across_tenants().order_by("pk")
    half = middle.count() // 2
    run = middle[half]
    message = Message.objects.across_tenants().filter(run_id=run.pk).first()
    assert message is not None
    largest = Tenant.objects.get(pk=by_size[0][0])
    token = ApiToken.objects.filter(tenant=largest).first()
    assert token is not None
    return {
        "tenant": str(largest.pk),
        "name": largest.name,
        "small": str(by_size[-1][0]),
        "run": str(run.pk),
        "thread": run.thread_id,
        "message": str(message.pk),
        "token": str(token.pk),
    }


def forget_figures() -> None:
    """What the dashboard keeps for some seconds, so that each look at it counts."""
    from assistant_site.operating import dashboard

    dashboard.now.forget()
    dashboard.used.forget()
    dashboard.near_budgets.forget()


def measure() -> list[tuple[str, float, float, int, int]]:
    """For each page: median and longest time in ms, queries, KiB."""
    from django.contrib.auth import get_user_model
    from django.db import connection
    from django.test import Client
    from django.test.utils import CaptureQueriesContext

    user, _ = get_user_model().objects.get_or_create(
        username="bench", defaults={"is_staff": True, "is_superuser": True}
    )
    client = Client()
    client.force_login(user)
    found = []
    for name, address in pages(sample()):
        forget_figures()
        with CaptureQueriesContext(connection) as queries:
            answer = client.get(address)
        asked = len(queries)
        assert answer.status_code == 200, (address, answer.status_code)
        times = []
        for _ in range(ROUNDS):
            forget_figures()
            began = time.perf_counter()
            size = len(client.get(address).content)
            times.append(1000 * (time.perf_counter() - began))
        found.append((name, statistics.median(times), max(times), asked, size // 1024))
        print(f"{name:45} {found[-1][1]:8.0f} ms {found[-1][2]:8.0f} ms  {asked:3} queries", flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=1_000_000)
    parser.add_argument("--messages", type=int, default=10_000_000)
    parser.add_argument("--here", action="store_true", help="In the installation of this environment.")
    options = parser.parse_args()
    if options.here:
        import os

        import django

        os.environ.setdefault("DJANGO_SETTINGS_MODULE", "assistant_site.settings")
        django.setup()
    else:
        installation.prepare()
        from django.core.management import call_command

        call_command("seed", runs=options.runs, messages=options.messages)
    from assistant_site.staff.counting import estimate
    from runs.models import Run
    from threads.models import Message

    rows: Any = [estimate(model.objects.across_tenants())[0] for model in (Run, Message)]
    found = measure()
    lines = [
        f"# The admin at {rows[0]:,} runs and {rows[1]:,} messages",
        "",
        f"`make bench-admin`, {installation.revision()}, {installation.machine()}.",
        f"Times of {ROUNDS} looks at each page, in ms.",
        "",
        "| page | median | longest | queries | KiB |",
        "| --- | ---: | ---: | ---: | ---: |",
        *(
            f"| {name} | {median:.0f} | {longest:.0f} | {count} | {size} |"
            for name, median, longest, count, size in found
        ),
        "",
    ]
    installation.RESULTS.mkdir(exist_ok=True)
    (installation.RESULTS / "admin.md").write_text("\n".join(lines))
    slowest = max(found, key=lambda row: row[1])
    print(f"\nThe slowest: {slowest[0]}, {slowest[1]:.0f} ms. Written to benchmarks/results/admin.md.")


if __name__ == "__main__":
    main()
