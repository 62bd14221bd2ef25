"""`/metrics`: who may ask, and what is told of all processes; and that dashboard and rules ask for what there is."""

import asyncio
import json
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml
from django.db import OperationalError
from django.test import Client
from prometheus_client.parser import text_string_to_metric_families

from assistant_site import scraping, valkey
from assistant_site.llm.tests.quirk_server import QuirkServer, refusing
from assistant_site.metrics import counted, publishing
from assistant_site.operating import dashboard
from assistant_site.tests.callers import LiveCaller, LocalCaller, new_tenant, pauses
from assistant_site.tests.stack import Stack
from metering import usage
from metering.models import UsageDay

PROJECT = Path(__file__).resolve().parents[3]
OBSERVABILITY = PROJECT / "deploy" / "observability"
TOKEN = "metrics-token-of-the-tests"


def asked(token: str = TOKEN, **headers: str) -> Any:
    return Client().get("/metrics", headers={"Authorization": f"Bearer {token}", **headers})


def samples(text: str) -> dict[str, float]:
    """The value of each series, without its process; of several processes, the sum."""
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()) if name != "process")
            key = f"{sample.name}{{{labels}}}" if labels else sample.name
            found[key] = found.get(key, 0) + sample.value
    return found


def test_where_nobody_may_ask_there_is_no_such_address(db: None) -> None:
    refused = Client().get("/metrics")
    assert refused.status_code == 404
    assert refused.json()["error"]["message"] == "Invalid URL (GET /metrics)"


def test_only_its_token_and_the_admin_token_open_it(db: None, settings: Any) -> None:
    settings.METRICS_TOKEN, settings.ADMIN_TOKEN = TOKEN, "admin-token-of-the-tests"
    assert asked().status_code == 200
    assert asked(settings.ADMIN_TOKEN).status_code == 200
    for wrong in ("", "metrics-token-of-the-test", TOKEN + "s", "ü"):
        refused = asked(wrong)
        assert refused.status_code == 401, wrong
        assert "METRICS_TOKEN" in refused.json()["error"]["message"]
    assert Client().get("/metrics").status_code == 401


def test_both_formats_are_spoken(db: None, settings: Any) -> None:
    settings.METRICS_TOKEN = TOKEN
    assert asked()["Content-Type"].startswith("text/plain")
    open_metrics = asked(Accept="application/openmetrics-text; version=1.0.0")
    assert open_metrics["Content-Type"].startswith("application/openmetrics-text")
    assert open_metrics.content.endswith(b"# EOF\n")


def test_without_valkey_the_rest_is_told(db: None, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.METRICS_TOKEN = TOKEN

    def away() -> publishing.Gathered:
        raise valkey.Failed

    monkeypatch.setattr(publishing, "gathered", away)
    told = samples(asked().content.decode())
    assert told["holdfast_up{part=valkey}"] == 0
    assert told["holdfast_up{part=postgresql}"] == 1
    assert "holdfast_runs_started_total" in told


def test_without_postgresql_the_rest_is_told(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.METRICS_TOKEN = TOKEN

    def away() -> dashboard.Now:
        raise OperationalError("connection refused")

    monkeypatch.setattr(dashboard, "now", away)
    told = samples(asked().content.decode())
    assert told["holdfast_up{part=postgresql}"] == 0
    assert told["holdfast_up{part=valkey}"] == 1
    assert told["holdfast_disk_free_bytes{folder=var}"] > 0
    assert "holdfast_runs{status=queued}" not in told


def test_a_count_is_never_told_lower_than_before(monkeypatch: pytest.MonkeyPatch) -> None:
    mine, others = publishing.Publisher("web"), publishing.Publisher("web")
    others.process = "web:other:1"

    def counted_by(asked: publishing.Publisher) -> float:
        monkeypatch.setattr(publishing, "_publisher", asked)
        families = {family.name: family for family in publishing.gathered().collect()}
        own = [each for each in families["holdfast_run_take_overs"].samples if each.labels["process"] == mine.process]
        return own[0].value

    mine.put()  # as it does every five seconds
    counted.TAKE_OVERS.inc()
    told = counted_by(mine)  # and at once, where it is asked itself
    assert counted_by(others) == told
    # Both have ended, and some time has gone by.
    valkey.blocking().delete(publishing.KEY + mine.process, publishing.KEY + others.process)
    monkeypatch.setattr(publishing, "_publisher", None)
    publishing.gathered()
    assert mine.process.encode() not in valkey.blocking().smembers(publishing.PROCESSES)


def test_tenants_are_told_only_where_that_is_wanted(alice: LocalCaller, settings: Any) -> None:
    settings.METRICS_TOKEN = TOKEN
    today = usage.today()
    UsageDay.objects.create(tenant=alice.tenant, day=today, model="m", runs=2, prompt_tokens=30, completion_tokens=12)
    scraping.used_today.forget()
    assert alice.tenant.pk not in asked().content.decode()
    settings.METRICS_PER_TENANT = True
    told = samples(asked().content.decode())
    assert told[f"holdfast_tenant_runs_today{{tenant={alice.tenant.pk}}}"] == 2
    assert told[f"holdfast_tenant_tokens_today{{tenant={alice.tenant.pk}}}"] == 42


def test_a_loop_that_is_busy_is_late() -> None:
    loop = asyncio.new_event_loop()
    before = counted.LOOP_LAG_SECONDS._sum.get()
    publishing.measure(loop)
    time.sleep(0.05)
    loop.call_soon(loop.stop)
    loop.run_forever()
    loop.close()
    assert counted.LOOP_LAG_SECONDS._sum.get() - before >= 0.05
    publishing.measure(loop)  # one that has ended says nothing


def test_of_many_models_most_are_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counted, "_models", set())
    labels = {counted.of_model(f"model-{number}") for number in range(1000)}
    assert len(labels) == counted.MOST_MODELS + 1
    assert counted.of_model("model-0") == "model-0"
    assert counted.of_model("model-999") == counted.OTHER


def test_what_cannot_be_read_of_one_process_hides_no_other() -> None:
    gathered = publishing.Gathered({"worker:a:1": b"{broken", "worker:b:1": publishing.snapshot()})
    processes = {sample.labels["process"] for family in gathered.collect() for sample in family.samples}
    assert processes == {"worker:b:1"}


# --- A whole installation ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def watched(django_db_setup: None, django_db_blocker: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Processes whose metrics may be asked for."""
    with django_db_blocker.unblock(), Stack.workers_of_others_rest():
        folder = tmp_path_factory.mktemp("watched")
        with Stack(folder=folder, webs=2, env={"METRICS_TOKEN": TOKEN}) as stack:
            yield stack


def scraped(stack: Stack, number: int = 0) -> str:
    answer = requests.get(f"{stack.urls[number]}/metrics", headers={"Authorization": f"Bearer {TOKEN}"}, timeout=10)
    assert answer.status_code == 200, answer.text
    return answer.text


@pytest.mark.slow
def test_one_scrape_tells_of_all_processes(watched: Stack) -> None:
    tenant, token = new_tenant("watched")
    lena = LiveCaller(tenant, token, watched.url)
    assert lena.run(lena.thread("Hello"), lena.assistant())["status"] == "completed"
    store = lena.store()
    file = lena.upload("note.txt", b"Ida keeps the lighthouse.")
    lena.post(f"vector_stores/{store}/files", {"file_id": file})
    lena.indexed(store, file)
    with QuirkServer(*[refusing(500)] * 3) as broken:
        lena.provided_by(broken.base_url)
        assert lena.run(lena.thread("Hello"), lena.assistant(model="broken"))["status"] == "failed"
    watched.stop("worker-1")  # its last word is its last counts
    waiting = pauses()
    told = samples(scraped(watched, 1))  # which another process answers
    ingested = "holdfast_ingested_files_total{status=completed}"
    while told["holdfast_runs_started_total"] < 2 or ingested not in told:
        assert next(waiting, False), told
        told = samples(scraped(watched, 1))
    assert told["holdfast_runs_ended_total{status=completed}"] == 1
    assert told["holdfast_runs_ended_total{status=failed}"] == 1
    assert told["holdfast_run_first_token_seconds_count"] == 1
    assert told["holdfast_model_turn_seconds_count{model=demo-instant}"] == 1
    assert told["holdfast_model_tokens_total{kind=completion,model=demo-instant}"] > 0
    assert told["holdfast_model_failures_total{code=server_error,model=broken,status=500}"] == 3
    assert told["holdfast_model_retries_total"] == 2
    assert told[ingested] == 1
    assert told["holdfast_http_requests_total{method=POST,route=threads/<str:thread_id>/runs,status=200}"] == 2
    assert told["holdfast_runs{status=queued}"] == 0
    assert told["holdfast_queue_age_seconds"] == 0
    assert told["holdfast_workers{kind=ingestion}"] >= 1
    watched.start("worker-1")


@pytest.mark.slow
def test_dashboard_and_rules_ask_for_what_there_is(watched: Stack) -> None:
    families = {family.name for family in text_string_to_metric_families(scraped(watched))}
    ends = ("", "_total", "_bucket", "_sum", "_count")
    known = {family + end for family in families for end in ends}
    asked_for = [rule["expr"] for group in rules()["groups"] for rule in group["rules"]]
    asked_for += [target["expr"] for panel in panels() for target in panel["targets"]]
    names = {name for expression in asked_for for name in re.findall(r"\b(?:holdfast|process)_[a-z_]+", expression)}
    assert names
    assert names - known == set()


def rules() -> Any:
    return yaml.safe_load((OBSERVABILITY / "alerts.yml").read_text())


def panels() -> list[Any]:
    dashboard = json.loads((OBSERVABILITY / "dashboard.json").read_text())
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def test_each_alert_says_what_happens_and_where_to_read_on() -> None:
    for group in rules()["groups"]:
        for rule in group["rules"]:
            assert rule["annotations"]["summary"], rule
            page, _, anchor = rule["annotations"]["read"].partition("#")
            assert anchor in headings(PROJECT / page), rule


def headings(page: Path) -> set[str]:
    """What the headings of a page are linked by."""
    return {
        re.sub(r"[^a-z0-9 -]", "", line.lstrip("# ").lower()).replace(" ", "-")
        for line in page.read_text().splitlines()
        if line.startswith("#")
    }


def test_every_panel_asks_the_chosen_installation_of_the_chosen_prometheus() -> None:
    for panel in panels():
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        for target in panel["targets"]:
            names = re.findall(r"\b(?:holdfast|process)_[a-z_]+", target["expr"])
            assert len(names) == target["expr"].count('instance=~"$instance"'), target


def test_the_panels_of_the_dashboard_do_not_overlap() -> None:
    taken: dict[tuple[int, int], str] = {}
    for panel in panels():
        place = panel["gridPos"]
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert x < 24
                assert taken.setdefault((x, y), panel["title"]) == panel["title"]


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed (Debian's package prometheus)")
def test_prometheus_takes_the_rules() -> None:
    checked = subprocess.run(
        ["promtool", "check", "rules", str(OBSERVABILITY / "alerts.yml")], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed (Debian's package prometheus)")
def test_the_alerts_fire_when_they_should(tmp_path: Path) -> None:
    cases = (Path(__file__).parent / "alerts.test.yml").read_text()
    (tmp_path / "test.yml").write_text(cases.replace("ALERTS", str(OBSERVABILITY / "alerts.yml")))
    tested = subprocess.run(
        ["promtool", "test", "rules", str(tmp_path / "test.yml")], capture_output=True, text=True, check=False
    )
    assert tested.returncode == 0, tested.stdout + tested.stderr
