"""Whether Valkey, the web process, the workers and the sandbox are there and well."""

import asyncio
from collections.abc import Iterator

import httpx2
from django.conf import settings

from assistant_site import code, valkey
from assistant_site.doctor.findings import Finding, warning, well, wrong
from assistant_site.embedded import address, first_start
from assistant_site.operating import dashboard
from runs.broker import of_this_process as queue_of_runs
from runs.workers import ALIVE_KEY
from vector_stores.tasks import ALIVE_KEY as INGESTION_ALIVE_KEY

MOST_MEMORY = 0.9
LONGEST_QUEUE = 10_000
WEB_SECONDS = 10
PARTS_OF_READYZ = ("postgresql", "valkey", "worker", "ingestion")


def own_url() -> str:
    """Where this machine's web process is reached, as the settings say."""
    return f"http://{address.in_url(address.reachable(settings.HOST))}:{settings.PORT}"


def look_at_valkey() -> Iterator[Finding]:
    part = "valkey"
    try:
        told = valkey.blocking().info()
    except (valkey.Failed, OSError) as error:
        remedy = (
            "Start it: make run." if settings.EMBEDDED_VALKEY else "Check that it runs and that REDIS_URL is right."
        )
        yield wrong(
            part,
            f"It does not answer: {first_start.without_passwords(error)}",
            f"{remedy} (docs/operations.md#valkey-is-lost)",
        )
        return
    name = "Valkey" if "valkey_version" in told else "Redis"
    yield well(part, f"{name} answers, version {told.get('valkey_version') or told.get('redis_version')}.")
    policy, most, used = told.get("maxmemory_policy"), int(told.get("maxmemory", 0)), int(told.get("used_memory", 0))
    if policy != "noeviction":
        told_of = f"Its maxmemory-policy is {policy}: when it is full, it throws away event streams and the queue."
        yield (wrong if most else warning)(
            part, told_of, "CONFIG SET maxmemory-policy noeviction, and the same in its configuration."
        )
    if most and used > MOST_MEMORY * most:
        yield wrong(
            part,
            f"{used / 2**20:,.0f} of its {most / 2**20:,.0f} MB are used.",
            "Raise maxmemory, or lower STREAM_KEPT_SECONDS.",
        )
    if told.get("role") not in (None, "master"):
        yield wrong(part, "It is a replica, and takes no writes.", "Name the primary in REDIS_URL.")
    if told.get("rdb_last_bgsave_status", "ok") != "ok" or told.get("aof_last_write_status", "ok") != "ok":
        yield wrong(
            part,
            "It cannot write to its disk, and may refuse writes for it.",
            'Look at its log and disk. Holdfast needs none of its files: save "" and appendonly no are fine.',
        )


def look_at_web(url: str) -> Iterator[Finding]:
    part = "web"
    try:
        answer = httpx2.get(f"{url}/readyz", timeout=WEB_SECONDS)
    except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
        yield wrong(
            part,
            f"No web process answers at {url} ({type(error).__name__}).",
            "Start it: make run, or manage.py serve. If it is elsewhere, say --url. "
            "(docs/operations.md#no-web-process-answers)",
        )
        return
    try:
        parts = answer.json()
    except ValueError:
        parts = None
    if not isinstance(parts, dict) or not parts.keys() >= set(PARTS_OF_READYZ):
        if answer.status_code == 400:
            yield wrong(part, f"{url} refuses the name that it was asked by.", "Add it to ALLOWED_HOSTS.")
            return
        told = f"{url} answers {answer.status_code}, and not as Holdfast does."
        yield wrong(part, told, "Is another program there? See HOST and PORT, or say --url.")
        return
    problems = " ".join(str(parts[each]) for each in PARTS_OF_READYZ if parts[each] != "ok")
    if answer.status_code == 200:
        yield well(part, f"{url} is ready.")
    else:
        yield wrong(part, f"{url} answers, but is not ready: {problems}", "")


def look_at_workers() -> Iterator[Finding]:
    part, found = "workers", dashboard.alive()
    if found is None:
        yield warning(part, "Unknown while Valkey does not answer.", "")
        return
    kinds = (
        (ALIVE_KEY, "worker", "runs", "Start one: manage.py qcluster (docs/operations.md#no-worker)"),
        (INGESTION_ALIVE_KEY, "ingestion worker", "files", "Start one: Q_CLUSTER_NAME=ingestion manage.py qcluster"),
    )
    for key, kind, work, remedy in kinds:
        alive = found[key]
        if alive:
            busy = sum(each.at_work for each in alive)
            yield well(part, f"{kind.capitalize()}s alive: {len(alive)}; {work} under way: {busy}.")
        else:
            yield wrong(part, f"No {kind} has shown itself for some seconds: {work} wait.", remedy)
    if (length := int(queue_of_runs().queue_size())) > LONGEST_QUEUE:
        yield warning(part, f"{length:,} entries wait in the queue.", "docs/operations.md#the-queue-grows")


def look_at_sandbox() -> Iterator[Finding]:
    part = "sandbox"
    if settings.CODE_INTERPRETER == "off":
        yield well(part, "The code interpreter is switched off.")
        return
    state = asyncio.run(code.ask())
    if state.word == "available":
        yield well(part, f"Code can be run ({state.tier}), {state.sessions} sessions are open. {' '.join(state.notes)}")
    elif state.word == "preparing":
        yield warning(part, state.sentence, "It will be ready in some minutes.")
    else:
        remedy = "More: python -m sandbox.doctor on its machine. Without it set CODE_INTERPRETER=off."
        yield warning(part, f"Code cannot be run: {state.sentence}", remedy)
