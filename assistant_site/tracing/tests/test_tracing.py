"""Traces: what a collector gets of whole runs, that no content is in it, and that nothing depends on it."""

import asyncio
import contextlib
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.semconv._incubating.attributes import gen_ai_attributes
from opentelemetry.trace import StatusCode

from assistant_site.db.threads import DatabaseThreads
from assistant_site.handler import Handler
from assistant_site.llm.tests.quirk_server import QuirkServer, called, refusing, said
from assistant_site.tests.callers import LiveCaller, new_tenant, pauses
from assistant_site.tests.stack import Stack, free_port
from assistant_site.tracing import batches, exporting, providers, spans
from assistant_site.tracing.tests.collector import Collector, Received
from runs.models import Run
from tools.tests.mcp_servers import McpTestServer

SERVER, CLIENT = 2, 3
CALLERS_TRACE = "0af7651916cd43dd8448eb211c80319c"
TRACEPARENT = f"00-{CALLERS_TRACE}-b7ad6b7169203331-01"
SECRETS = ("marzipan", "quince", "nougat", "sorbet", "praline", "fondant", "truffle", "caramel")
FUNCTION = {"type": "function", "function": {"name": "taste", "parameters": {"type": "object"}}}


@pytest.mark.slow
def test_where_nothing_is_sent_nothing_that_sends_is_loaded() -> None:
    program = """
import sys, django
django.setup()
import runs.engine, assistant_site.asgi
from assistant_site.tracing import spans
assert spans.span("x") is spans.NOTHING
senders = ("opentelemetry.sdk.trace", "opentelemetry.exporter", "sentry_sdk")
print([name for name in sys.modules if name.startswith(senders)])
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "[]"


def test_what_is_no_traceparent_is_no_parent() -> None:
    for wrong in ("", "00", "ü" * 55, "00-" + "0" * 32 + "-" + "0" * 16 + "-01", TRACEPARENT[:-1]):
        assert spans._context_of(wrong) is None, wrong
    found = spans._context_of(TRACEPARENT)
    assert found is not None
    assert f"{found.trace_id:032x}" == CALLERS_TRACE


def test_samplers_are_called_as_everywhere() -> None:
    described = {
        name: exporting.sampler_of(name, "0.25").get_description()
        for name in ("always_on", "always_off", "traceidratio", "parentbased_traceidratio")
    }
    assert described["always_on"] == "AlwaysOnSampler"
    assert described["always_off"] == "AlwaysOffSampler"
    assert described["traceidratio"] == "TraceIdRatioBased{0.25}"
    assert described["parentbased_traceidratio"].startswith("ParentBased{root:TraceIdRatioBased{0.25}")
    for wrong in ("", "much", "7"):
        assert exporting.sampler_of("traceidratio", wrong).get_description() == "TraceIdRatioBased{1.0}"


def test_providers_are_called_as_everywhere() -> None:
    for address, provider in {
        "https://api.openai.com/v1": "openai",
        "https://acme.openai.azure.com/openai/v1": "azure.ai.openai",
        "https://api.groq.com/openai/v1": "groq",
        "https://notgroq.com/v1": "openai",
        "http://[::1]:11434/v1": "openai",
        "no address": "openai",
    }.items():
        assert providers.asked_at(address)["gen_ai__provider__name"] == provider, address
    assert providers.asked_at("http://127.0.0.1:8000/v1")["server__port"] == 8000


def test_headers_are_written_as_opentelemetry_writes_them() -> None:
    assert exporting.pairs(["Authorization=Basic%20YQ==", " x = 1", "none"]) == {
        "Authorization": "Basic YQ==",
        "x": "1",
    }


@pytest.fixture
def kept() -> Iterator[InMemorySpanExporter]:
    """What this process traces meanwhile, by the usual sampler."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(exporting.sampler_of("parentbased_always_on", ""), shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    spans.send_to(provider.get_tracer("test"))
    yield exporter
    spans.send_to(None)


def request_with(traceparent: str, method: str = "GET", path: str = "/v1/threads") -> dict[str, Any]:
    return {"method": method, "path": path, "headers": [(b"traceparent", traceparent.encode())]}


@pytest.mark.parametrize("flags", ["00", "01"])
def test_strangers_neither_choose_what_is_traced_nor_where_it_belongs(kept: InMemorySpanExporter, flags: str) -> None:
    with Handler.span_of(request_with(TRACEPARENT[:-2] + flags)):
        pass
    [span] = kept.get_finished_spans()  # though the stranger wants none with 00
    assert span.parent is None
    assert [f"{link.context.trace_id:032x}" for link in span.links] == [CALLERS_TRACE]


@pytest.mark.parametrize(("flags", "traced"), [("00", 0), ("01", 1)])
def test_callers_that_are_trusted_choose(kept: InMemorySpanExporter, settings: Any, flags: str, traced: int) -> None:
    settings.TRACES_TRUST_CALLERS = True
    with Handler.span_of(request_with(TRACEPARENT[:-2] + flags)):
        assert spans.traceparent()[3:35] == CALLERS_TRACE
        assert spans.traceparent().endswith(flags)  # and so does the worker that takes the run
    assert len(kept.get_finished_spans()) == traced


def test_names_are_not_strangers_to_give(kept: InMemorySpanExporter) -> None:
    with Handler.span_of(request_with("", method="MARZIPAN")):
        pass
    [span] = kept.get_finished_spans()
    assert (span.name, dict(span.attributes or {})["http.request.method"]) == ("HTTP", "_OTHER")
    assert Handler.span_of(request_with("", path="/readyz")) is spans.NOTHING


def test_who_is_cancelled_has_not_failed(kept: InMemorySpanExporter) -> None:
    for error in (asyncio.CancelledError, GeneratorExit, ValueError):
        with contextlib.suppress(error), spans.span(error.__name__):
            raise error("marzipan")
    ended = {span.name: span for span in kept.get_finished_spans()}
    assert [name for name, span in ended.items() if span.status.status_code is StatusCode.ERROR] == ["ValueError"]
    assert "marzipan" not in "".join(span.to_json() for span in ended.values())


def test_what_threads_of_the_database_do_belongs_to_who_asked(kept: InMemorySpanExporter) -> None:
    def asked() -> None:
        spans.span("inner").end()

    async def asking() -> None:
        threads = DatabaseThreads(1)
        with spans.span("outer"):
            await threads.run(asked)
        await threads.run(asked)
        threads.close()

    asyncio.run(asking())
    inner, outer, later = kept.get_finished_spans()
    assert inner.parent is not None
    assert inner.parent.span_id == outer.context.span_id
    assert later.parent is None


class Stuck(SpanExporter):
    """A collector that takes what it is given, and no end with it."""

    def __init__(self) -> None:
        self.is_asked, self.is_given_up = threading.Event(), threading.Event()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.is_asked.set()
        self.is_given_up.wait(60)
        return SpanExportResult.FAILURE

    def shutdown(self) -> None:
        self.is_given_up.set()


def test_a_collector_that_never_answers_keeps_no_process_from_ending(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(batches, "LAST_SECONDS", 0.05)
    monkeypatch.setattr(batches, "MOST_WAITING", 2_000)
    stuck = Stuck()
    provider = TracerProvider(shutdown_on_exit=False)
    waiting = batches.Batches(stuck)
    provider.add_span_processor(waiting)
    tracer = provider.get_tracer("test")
    for _ in range(3_000):
        tracer.start_span("x").end()
    assert stuck.is_asked.wait(60)
    for _ in range(3_000):
        tracer.start_span("x").end()
    assert len(waiting._waiting) <= 2_000  # memory has a bound
    provider.shutdown()  # returns
    waiting._thread.join(60)
    assert not waiting._thread.is_alive()
    assert len([record for record in caplog.records if "Traces cannot be sent" in record.message]) == 1


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with Collector() as running:
        yield running


@pytest.fixture(scope="module")
def traced(
    django_db_setup: None, django_db_blocker: Any, collector: Collector, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    """Processes whose spans go to the collector, and whose logs are JSON of everything they are ready to tell."""
    env = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        "OTEL_EXPORTER_OTLP_HEADERS": "x-key=of-the-collector",
        "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=test",
        "LOG_FORMAT": "json",
        "LOG_LEVEL": "debug",
        "ACCESS_LOG": "true",
        "WEB_SERVER": "uvicorn",
        "RUN_LEASE_SECONDS": "3",
    }
    with django_db_blocker.unblock(), Stack.workers_of_others_rest():
        folder = tmp_path_factory.mktemp("traced")
        with Stack(folder=folder, env=env) as stack:
            yield stack


def trace_of(collector: Collector, run: str, *names: str) -> list[Received]:
    """The spans of the run's trace, once these are among them."""
    stored = Run.objects.across_tenants().get(pk=run).traceparent
    assert stored
    for _ in pauses():
        found = [span for span in collector.spans() if span.trace == stored[3:35]]
        if {span.name for span in found} >= set(names):
            return found
    raise AssertionError([span.name for span in collector.spans()])


def lines_of(stack: Stack) -> list[dict[str, Any]]:
    return [json.loads(line) for path in stack.folder.glob("*.log") for line in path.read_text().splitlines()]


@pytest.mark.slow
def test_one_trace_goes_from_the_request_to_the_models_and_tools(traced: Stack, collector: Collector) -> None:
    tenant, token = new_tenant("traced")
    lena = LiveCaller(tenant, token, traced.url)
    with (
        McpTestServer() as shop,
        QuirkServer(called(("shop_echo", '{"text": "quince"}')), said("The answer is nougat.")) as model,
    ):
        lena.provided_by(model.base_url)
        mcp = {"type": "mcp", "server_label": "shop", "server_url": shop.url, "require_approval": "never"}
        assistant = lena.assistant(instructions="Think of marzipan.", tools=[mcp])
        thread = lena.thread("Is there sorbet?")
        store = lena.store()
        file = lena.upload("praline.txt", b"praline")
        lena.post(f"vector_stores/{store}/files", {"file_id": file})
        lena.indexed(store, file)
        headers = {"traceparent": TRACEPARENT, "Content-Type": "application/json"}
        made = lena.call("POST", f"threads/{thread}/runs", {"assistant_id": assistant}, **headers)
        run = lena.settled(thread, made["id"])
    assert run["status"] == "completed", run
    found = trace_of(collector, run["id"], "invoke_agent", "POST threads/<str:thread_id>/runs")
    by_name = {span.name: span for span in found}
    request, agent = by_name["POST threads/<str:thread_id>/runs"], by_name["invoke_agent"]
    assert request.kind == SERVER
    assert request.parent == ""
    assert request.links == [CALLERS_TRACE]  # who is not trusted is only linked to
    assert request.attributes["http.response.status_code"] == 200
    assert request.attributes["holdfast.request.id"] == made.headers["x-request-id"]
    assert request.attributes["holdfast.tenant.id"] == tenant.pk
    assert by_name["queue"].parent == agent.parent == request.id
    assert agent.resource["holdfast.role"] == "worker"
    assert agent.resource["deployment.environment.name"] == "test"
    assert agent.attributes["holdfast.run.id"] == run["id"]
    chats = [span for span in found if span.name == "chat demo-instant"]
    assert len(chats) == 2
    for chat in chats:
        assert (chat.kind, chat.parent, chat.events) == (CLIENT, agent.id, ["gen_ai.first_token"])
        assert chat.attributes["gen_ai.usage.input_tokens"] > 0
        assert chat.attributes["server.address"] == "127.0.0.1"
        assert chat.attributes["gen_ai.provider.name"] == "openai"
    assert chats[1].attributes["gen_ai.usage.input_tokens"] == 7
    assert chats[1].attributes["gen_ai.usage.output_tokens"] == 3
    assert [chat.attributes["gen_ai.response.finish_reasons"] for chat in chats] == [["tool_calls"], ["stop"]]
    tool = by_name["execute_tool shop_echo"]
    assert tool.parent == agent.id
    assert tool.attributes["gen_ai.operation.name"] == "execute_tool"
    known = {value for name, value in vars(gen_ai_attributes).items() if name.startswith("GEN_AI_")}
    used = {name for span in collector.spans() for name in span.attributes if name.startswith("gen_ai.")}
    assert used - known == set()
    for _ in pauses():
        if any(span.name == "ingest_file" for span in collector.spans()):
            break
    assert collector.headers[0]["x-key"] == "of-the-collector"
    everything = b"".join(collector.bodies)
    assert [word for word in SECRETS if word.encode() in everything] == []
    logged = [path.read_text() for path in traced.folder.glob("*.log")]
    assert [word for word in SECRETS if any(word in text for text in logged)] == []
    answered = [line for line in lines_of(traced) if line["logger"] == "assistant_site.access"]
    [created] = [line for line in answered if line["request_id"] == made.headers["x-request-id"]]
    assert created["route"] == "threads/<str:thread_id>/runs"
    assert created["tenant_id"] == tenant.pk
    assert created["trace_id"] == request.trace


@pytest.mark.slow
def test_a_stream_with_a_function_of_the_callers_stays_in_one_trace(traced: Stack, collector: Collector) -> None:
    tenant, token = new_tenant("streamed")
    lena = LiveCaller(tenant, token, traced.url)
    texts = ("It is ", "fondant.")
    with QuirkServer(
        called(("taste", '{"of": "truffle"}')), said(*texts), said("praline"), refusing(400, message="caramel")
    ) as model:
        lena.provided_by(model.base_url)
        thread, assistant = lena.thread("Taste the truffle."), lena.assistant(tools=[FUNCTION])
        events = lena.stream(f"threads/{thread}/runs", {"assistant_id": assistant})
        asked = next(event.data for event in events if event.name == "thread.run.requires_action")
        [call] = asked["required_action"]["submit_tool_outputs"]["tool_calls"]
        path = f"threads/{thread}/runs/{asked['id']}/submit_tool_outputs"
        lena.stream(path, {"tool_outputs": [{"tool_call_id": call["id"], "output": "Like caramel."}]})
        assert lena.last_text(thread) == "It is fondant."
        passed = {"model": "m-passed", "messages": [{"role": "user", "content": "sorbet"}], "stream": True}
        through = lena.session.post(
            f"{lena.base_url}/chat/completions", json=passed, headers={"Authorization": f"Bearer {token}"}, timeout=60
        )
        assert b"praline" in through.content
        refused = lena.run(thread, assistant, additional_messages=[{"role": "user", "content": "More caramel!"}])
    assert refused["status"] == "failed"
    for _ in pauses():
        found = trace_of(collector, asked["id"], "invoke_agent", "POST threads/<str:thread_id>/runs")
        agents = [span for span in found if span.name == "invoke_agent"]
        if len(agents) == 2:
            break
    [request] = [span for span in found if span.kind == SERVER]
    assert [agent.parent for agent in agents] == [request.id, request.id]
    assert [agent.attributes["holdfast.run.status"] for agent in agents] == ["requires_action", "completed"]
    assert agents[1].attributes["gen_ai.usage.output_tokens"] > 0
    assert not agents[1].is_error
    [submitted] = [span for span in collector.spans() if span.name.endswith("submit_tool_outputs")]
    assert submitted.links == [request.trace]
    chat = [span for span in found if span.name.startswith("chat ")][-1]
    assert (
        0 < chat.attributes["gen_ai.response.time_to_first_chunk"] < request.seconds
    )  # which lasts as long as its stream
    [failed] = [span for span in trace_of(collector, refused["id"], "invoke_agent") if span.name == "invoke_agent"]
    assert failed.is_error
    assert failed.attributes["error.type"] == "server_error"
    [asking] = [span for span in trace_of(collector, refused["id"], "chat demo-instant") if span.kind == CLIENT]
    assert asking.attributes["error.type"] == "400"
    [forwarded] = [span for span in collector.spans() if span.name == "chat m-passed"]
    assert forwarded.attributes["gen_ai.usage.output_tokens"] == 3
    [above] = [span for span in collector.spans() if span.id == forwarded.parent]
    assert above.attributes["holdfast.request.id"] == through.headers["x-request-id"]
    assert above.attributes["http.response.status_code"] == 200
    assert not any("healthz" in span.name or "readyz" in span.name for span in collector.spans())
    everything = b"".join(collector.bodies) + b"".join(path.read_bytes() for path in traced.folder.glob("*.log"))
    assert [word for word in SECRETS if word.encode() in everything] == []
    told = [line for line in lines_of(traced) if line["message"].startswith("A model turn failed")]
    [line] = [line for line in told if line.get("run_id") == refused["id"]]
    assert (line["process"], line["thread_id"], line["tenant_id"]) == ("worker", thread, tenant.pk)
    assert line["trace_id"] == failed.trace


@pytest.mark.slow
def test_whoever_takes_a_run_up_goes_on_with_its_trace(traced: Stack, collector: Collector) -> None:
    tenant, token = new_tenant("taken up")
    lena = LiveCaller(tenant, token, traced.url)
    with QuirkServer(replace(said("late"), before=60.0), said("Here.")) as model:
        lena.provided_by(model.base_url)
        thread, assistant = lena.thread("Hello"), lena.assistant()
        run = lena.post(f"threads/{thread}/runs", {"assistant_id": assistant})["id"]
        for _ in pauses():
            if model.requests:
                break
        traced.kill("worker-1")
        traced.start("worker-1")
        assert lena.settled(thread, run)["status"] == "completed"
    [agent] = [span for span in trace_of(collector, run, "invoke_agent") if span.name == "invoke_agent"]
    assert agent.attributes["holdfast.run.attempt"] == 2
    failed = [line for line in lines_of(traced) if line["level"] in ("warning", "error")]
    assert [line for line in failed if line["logger"].startswith("opentelemetry")] == []


@pytest.mark.slow
def test_without_a_collector_runs_go_on(django_db_setup: None, django_db_blocker: Any, tmp_path: Path) -> None:
    env = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{free_port()}"}
    with django_db_blocker.unblock(), Stack.workers_of_others_rest(), Stack(folder=tmp_path, env=env) as stack:
        tenant, token = new_tenant("uncollected")
        lena = LiveCaller(tenant, token, stack.url)
        assert lena.run(lena.thread("Hello"), lena.assistant())["status"] == "completed"
        for _ in pauses():
            if "Traces cannot be sent" in stack.logs():
                break
        began = time.monotonic()
        stack.stop()
        assert time.monotonic() - began < 20  # it would be killed after that
        told = stack.logs(1000)
        assert "Check OTEL_EXPORTER_OTLP_ENDPOINT" in told
        assert "Traceback" not in told
