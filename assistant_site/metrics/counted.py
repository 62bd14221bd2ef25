"""Every count and time that processes keep of their own work, and the words that count it.

Counted are turns, requests, calls and files, never tokens of a stream one by one. Labels come from short lists; where a
stranger names them (models), all beyond the first fifty are `other`.
"""

import time
from functools import lru_cache
from typing import Final

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]  # one more series for each, of no use here

REGISTRY: Final = CollectorRegistry()
ProcessCollector(registry=REGISTRY)

MOST_MODELS = 50
OTHER = "other"

# Seconds. A first token within a blink, an answer within minutes.
QUICK = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
LONG = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 80, 160, 320, 600)

# --- Requests ---------------------------------------------------------------------------------------------------------

REQUESTS = Counter(
    "holdfast_http_requests", "HTTP requests answered, by route.", ["method", "route", "status"], registry=REGISTRY
)
REQUEST_SECONDS = Histogram(
    "holdfast_http_request_seconds",
    "Seconds until an answer was made; of a stream, until its head.",
    ["method", "route"],
    buckets=QUICK,
    registry=REGISTRY,
)
STREAM_READERS = Gauge(
    "holdfast_stream_readers", "Readers of runs' event streams, over HTTP and WebSockets.", registry=REGISTRY
)
WEBSOCKETS = Gauge("holdfast_websockets", "WebSockets open.", registry=REGISTRY)

THREAD_WAIT_SECONDS = Histogram(
    "holdfast_thread_wait_seconds",
    "Seconds that work waited for one of its threads: `web` for requests, `database` for questions of event loops.",
    ["threads"],
    buckets=QUICK,
    registry=REGISTRY,
)
WEB_WAIT, DATABASE_WAIT = THREAD_WAIT_SECONDS.labels("web"), THREAD_WAIT_SECONDS.labels("database")
LOOP_LAG_SECONDS = Histogram(
    "holdfast_loop_lag_seconds",
    "Seconds until an event loop answers, asked every five seconds.",
    buckets=QUICK,
    registry=REGISTRY,
)

# --- Runs -------------------------------------------------------------------------------------------------------------

RUNS_STARTED = Counter("holdfast_runs_started", "Runs created.", registry=REGISTRY)
RUNS_ENDED = Counter("holdfast_runs_ended", "Runs ended, by how.", ["status"], registry=REGISTRY)
TAKE_OVERS = Counter(
    "holdfast_run_take_overs", "Runs queued again because their worker had not renewed its lease.", registry=REGISTRY
)
QUEUE_SECONDS = Histogram(
    "holdfast_run_queue_seconds", "Seconds that a run waited for a worker.", buckets=QUICK, registry=REGISTRY
)
FIRST_TOKEN_SECONDS = Histogram(
    "holdfast_run_first_token_seconds",
    "Seconds from a run's creation to the first token or call that its readers are shown.",
    buckets=QUICK,
    registry=REGISTRY,
)
RUNS_CARRIED = Gauge("holdfast_worker_runs", "Runs that a worker process carries now.", registry=REGISTRY)
RUNS_LIMIT = Gauge("holdfast_worker_runs_limit", "Runs that a worker process carries at most.", registry=REGISTRY)

# --- The models -------------------------------------------------------------------------------------------------------

MODEL_FIRST_SECONDS = Histogram(
    "holdfast_model_first_token_seconds",
    "Seconds from asking a provider to the first piece of its answer.",
    ["model"],
    buckets=QUICK,
    registry=REGISTRY,
)
MODEL_SECONDS = Histogram(
    "holdfast_model_turn_seconds", "Seconds of a whole model turn.", ["model"], buckets=LONG, registry=REGISTRY
)
MODEL_TOKENS = Counter(
    "holdfast_model_tokens",
    "Tokens of finished model turns, as told or estimated.",
    ["model", "kind"],
    registry=REGISTRY,
)
MODEL_FAILURES = Counter(
    "holdfast_model_failures",
    "Attempts at a model turn that failed, by the provider's HTTP status (`none`: it gave none) and our code.",
    ["model", "status", "code"],
    registry=REGISTRY,
)
MODEL_RETRIES = Counter(
    "holdfast_model_retries", "Model turns asked for again of the same provider.", registry=REGISTRY
)
FALLBACKS = Counter("holdfast_model_fallbacks", "Model turns for which the next provider was asked.", registry=REGISTRY)

# --- Tools and files --------------------------------------------------------------------------------------------------

TOOL_CALLS = Counter(
    "holdfast_tool_calls",
    "Calls of tools that the server carries out itself, by how they ended: `done`, `timed_out`, `broken`.",
    ["tool", "end"],
    registry=REGISTRY,
)
TOOL_SECONDS = Histogram("holdfast_tool_seconds", "Seconds of such calls.", ["tool"], buckets=LONG, registry=REGISTRY)
INGESTED = Counter(
    "holdfast_ingested_files",
    "Files of vector stores that were ingested or refused, by their status.",
    ["status"],
    registry=REGISTRY,
)
INGESTION_SECONDS = Histogram(
    "holdfast_ingestion_seconds",
    "Seconds that a worker was busy with a file of a vector store.",
    buckets=LONG,
    registry=REGISTRY,
)

# What callers may write there besides has no end, so it has no names in metrics and traces.
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE"})
_models: set[str] = set()


def of_model(name: str) -> str:
    """The label for a model: its name, if it is one of the first fifty that this process meets."""
    if name not in _models:
        if len(_models) >= MOST_MODELS:
            return OTHER
        _models.add(name)
    return name


def answered(method: str, route: str, status: int, seconds: float) -> None:
    """A request was answered; `route` is the pattern that it matched, never its path."""
    count, times = _series_of(method if method in METHODS else OTHER, route, status)
    count.inc()
    times.observe(seconds)


@lru_cache(maxsize=2_000)
def _series_of(method: str, route: str, status: int) -> tuple[Counter, Histogram]:
    """Kept, because looking labels up takes as long as counting."""
    return REQUESTS.labels(method, route, str(status)), REQUEST_SECONDS.labels(method, route)


class Asking:
    """The clock of one attempt at a model turn."""

    def __init__(self, model: str) -> None:
        self._model = of_model(model)
        self._seconds = MODEL_SECONDS.labels(self._model)  # a zero, so that failures of one that never answers are all
        self._began = time.perf_counter()

    def began(self) -> float:
        """The provider's first piece is here. Returns the seconds that it took."""
        seconds = time.perf_counter() - self._began
        MODEL_FIRST_SECONDS.labels(self._model).observe(seconds)
        return seconds

    def finished(self, prompt_tokens: int, completion_tokens: int) -> None:
        """The answer is whole."""
        self._seconds.observe(time.perf_counter() - self._began)
        MODEL_TOKENS.labels(self._model, "prompt").inc(prompt_tokens)
        MODEL_TOKENS.labels(self._model, "completion").inc(completion_tokens)


def model_failed(model: str, status: int | None, code: str) -> None:
    """One attempt at a model turn failed."""
    MODEL_FAILURES.labels(of_model(model), "none" if status is None else str(status), code).inc()


def tool_called(tool: str, end: str, seconds: float) -> None:
    """A tool's call ended: `done`, `timed_out` or `broken`."""
    TOOL_CALLS.labels(tool, end).inc()
    TOOL_SECONDS.labels(tool).observe(seconds)
