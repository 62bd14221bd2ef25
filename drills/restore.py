"""`python -m drills.restore`: a loaded installation is backed up, lost, restored elsewhere, and compared.

Several tenants run assistants, upload, index and delete files, all the time. `manage.py backup` is called meanwhile.
Then every process is killed, `manage.py restore` makes a new installation in another folder, and it is started on
another port. Judged is what callers were told: what had been answered before the backup began must be there, what was
begun after it had ended must not, and what was under way must come to its end. Ends with 1 if anything is otherwise.
"""

import argparse
import contextlib
import hashlib
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import openai

PROJECT = Path(__file__).resolve().parents[1]
ADMIN_TOKEN = "admin-of-the-drill"  # of an installation that is gone in a minute, on the loopback interface
START_SECONDS = 120
RUN_SECONDS = 120
WORD_SECONDS = 0.1  # of the model
AT_REST = ("completed", "failed", "cancelled", "expired", "incomplete", "requires_action")


class Wrong(Exception):
    """What the drill has found, as a sentence."""


# --- The model -------------------------------------------------------------------------------------------------------


class Answering(BaseHTTPRequestHandler):
    """Streams the last message's words back, slowly enough for runs to be under way at any time."""

    def do_POST(self) -> None:
        server: Any = self.server
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        server.keys_seen.add(self.headers["Authorization"])
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        words = f"You said: {text_of(request['messages'][-1])}".split(" ")
        with contextlib.suppress(OSError):  # whoever asked is gone
            for number, word in enumerate(words):
                self._tell({"role": "assistant", "content": f"{' ' if number else ''}{word}"}, None)
                time.sleep(server.word_seconds)
            self._tell({}, "stop")
            self.wfile.write(b"data: [DONE]\n\n")

    def _tell(self, delta: dict[str, str], reason: str | None) -> None:
        choice = {"index": 0, "delta": delta, "finish_reason": reason}
        chunk = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
        self.wfile.write(f"data: {json.dumps(chunk)}\n\n".encode())

    def log_message(self, format: str, *args: Any) -> None:
        pass


def text_of(message: dict[str, Any]) -> str:
    content = message["content"]
    return content if isinstance(content, str) else " ".join(part.get("text", "") for part in content)


@contextlib.contextmanager
def model(word_seconds: float) -> Iterator[Any]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Answering) as server:
        server.daemon_threads = True
        server.keys_seen, server.word_seconds = set(), word_seconds  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


# --- The installation ------------------------------------------------------------------------------------------------


class Installation:
    """`manage.py up` with a folder and a port of its own."""

    def __init__(self, var: Path, lease_seconds: int) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.var = var
        self.var.mkdir(mode=0o711)  # as root, PostgreSQL runs as another user and must get to its data
        self._environment = {
            name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR", "LANG") if name in os.environ
        }
        self._environment |= {
            "HOLDFAST_ENV_FILE": os.devnull,
            "HOLDFAST_VAR": str(var),
            "PORT": str(self.port),
            "ADMIN_TOKEN": ADMIN_TOKEN,
            "CODE_INTERPRETER": "off",
            "EMBEDDING_MODEL": "off",
            "LOG_LEVEL": "warning",
            "RUN_LEASE_SECONDS": str(lease_seconds),
        }
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> float:
        """Returns after so many seconds, when it is ready."""
        began = time.monotonic()
        with open(self.var.with_name(f"{self.var.name}.log"), "ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "manage.py", "up"], cwd=PROJECT, env=self._environment, stdout=log, stderr=log
            )
        while True:
            with contextlib.suppress(OSError), urllib.request.urlopen(f"{self.url}/readyz", timeout=5) as answer:
                if answer.status == 200:
                    return time.monotonic() - began
            if self._process.poll() is not None or time.monotonic() - began > START_SECONDS:
                raise Wrong(f"The installation in {self.var} does not become ready; see {log.name}.")
            time.sleep(0.1)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """By SIGKILL everything ends at once: it dies with the process that started it."""
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(60)
            self._process = None

    def manage(self, *arguments: str) -> float:
        """The command's duration. Raises Wrong if it fails."""
        began = time.monotonic()
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=PROJECT,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode:
            raise Wrong(f"manage.py {arguments[0]} failed:\n{done.stdout}")
        return time.monotonic() - began

    def operate(self, path: str, **body: Any) -> Any:
        """A request of the operator's."""
        headers = {"Authorization": f"Bearer {ADMIN_TOKEN}", "Content-Type": "application/json"}
        request = urllib.request.Request(f"{self.url}/v1/{path}", json.dumps(body).encode(), headers)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)


# --- The load --------------------------------------------------------------------------------------------------------


@dataclass
class Span:
    """From when to when a request was under way; `ended` is None if it never was answered."""

    began: float
    ended: float | None = None

    def is_before(self, moment: float) -> bool:
        return self.ended is not None and self.ended < moment


@dataclass
class Known:
    """A file, or a run with its thread. `content`: the file's SHA-256, or the answer's text."""

    made: Span
    content: str
    thread: str = ""
    gone: Span | None = None
    indexed: Span | None = None


@dataclass
class Tenant:
    """Who works, and what it was told."""

    name: str
    token: str
    key: str
    assistant: str = ""
    store: str = ""
    files: dict[str, Known] = field(default_factory=dict)
    runs: dict[str, Known] = field(default_factory=dict)
    threads: dict[str, Span] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)

    def client(self, at: Installation) -> openai.OpenAI:
        return openai.OpenAI(api_key=self.token, base_url=f"{at.url}/v1", max_retries=0, timeout=RUN_SECONDS)


def new_tenant(at: Installation, number: int, model_url: str) -> Tenant:
    made = at.operate("tenants", name=f"Tenant {number}")
    key = f"key-of-tenant-{number}"
    token = at.operate("tokens", tenant=made["id"], name="drill", llm_base_url=model_url, llm_api_key=key)
    tenant = Tenant(made["name"], token["assistant_token"], key)
    with tenant.client(at) as client:
        tenant.assistant = client.beta.assistants.create(model="m", instructions="Be brief.").id
        tenant.store = client.vector_stores.create(name="all").id
    return tenant


def conversation(tenant: Tenant, client: openai.OpenAI, chance: random.Random) -> None:
    """A thread with two runs."""
    began = time.monotonic()
    thread = client.beta.threads.create().id
    tenant.threads[thread] = Span(began, time.monotonic())
    for turn in range(2):
        said = f"{tenant.name} in turn {turn} says {chance.getrandbits(64):x} " + "word " * 15
        began = time.monotonic()
        run = client.beta.threads.runs.create(
            thread, assistant_id=tenant.assistant, additional_messages=[{"role": "user", "content": said}]
        )
        known = tenant.runs[run.id] = Known(Span(began), f"You said: {said}", thread)
        while run.status not in AT_REST:
            time.sleep(0.2)
            run = client.beta.threads.runs.retrieve(run.id, thread_id=thread)
        if run.status != "completed":
            raise Wrong(f"The run {run.id} {run.status}: {run.last_error}.")
        known.made.ended = time.monotonic()


def filing(tenant: Tenant, client: openai.OpenAI, chance: random.Random) -> None:
    """A few files: some stay, one is found by search, one is deleted again."""
    for kind in ("kept", "indexed", "deleted"):
        text = f"The word is {chance.getrandbits(64):x}.\n".encode() * chance.choice((10, 1000, 20_000))
        began = time.monotonic()
        file = client.files.create(file=(f"{kind}.txt", text), purpose="assistants").id
        known = tenant.files[file] = Known(Span(began, time.monotonic()), hashlib.sha256(text).hexdigest())
        if kind == "indexed":
            began = time.monotonic()
            client.vector_stores.files.create_and_poll(file, vector_store_id=tenant.store, poll_interval_ms=200)
            known.indexed = Span(began, time.monotonic())
        if kind == "deleted":
            known.gone = Span(time.monotonic())
            client.files.delete(file)
            known.gone.ended = time.monotonic()


class Load:
    """Each tenant talks and files, in a thread of its own for either, until it is stopped."""

    def __init__(self, at: Installation, tenants: list[Tenant]) -> None:
        self._ended = threading.Event()
        jobs = [(tenant, job) for tenant in tenants for job in (conversation, conversation, filing)]
        self._threads = [
            threading.Thread(target=self._work, args=(at, tenant, job, random.Random(number)))
            for number, (tenant, job) in enumerate(jobs)
        ]
        for thread in self._threads:
            thread.start()

    def _work(self, at: Installation, tenant: Tenant, job: Callable[..., None], chance: random.Random) -> None:
        with tenant.client(at) as client:
            while not self._ended.is_set():
                try:
                    job(tenant, client, chance)
                except (openai.OpenAIError, Wrong) as error:
                    tenant.failures.append(f"{job.__name__} of {tenant.name}: {error!r}")
                    return

    def stop(self) -> None:
        """Every request is answered then."""
        self._ended.set()
        for thread in self._threads:
            thread.join()


# --- The judgement ---------------------------------------------------------------------------------------------------


@dataclass
class Counts:
    """What was looked at in the restored installation."""

    files: int = 0
    bytes: int = 0
    runs: int = 0
    seconds: float = 0  # since the restored installation was ready, until the last run that was cut had ended
    searches: int = 0
    ready_at: float = field(default_factory=time.monotonic)


def judge(tenant: Tenant, at: Installation, backup: Span, counts: Counts) -> Iterator[str]:
    """What is not as the tenant was told. `backup`: when it was taken."""
    assert backup.ended is not None
    with tenant.client(at) as client:
        present = {file.id for file in client.files.list(limit=1000)}
        for id in present:
            content = client.files.content(id).read()
            counts.files, counts.bytes = counts.files + 1, counts.bytes + len(content)
            if id not in tenant.files:
                yield f"The file {id} of {tenant.name} is nobody's."
            elif hashlib.sha256(content).hexdigest() != tenant.files[id].content:
                yield f"The file {id} of {tenant.name} is not what was uploaded."
        for id, file in tenant.files.items():
            was_kept = file.gone is None or file.gone.began > backup.ended
            if id not in present and was_kept and file.made.is_before(backup.began):
                yield f"The file {id} of {tenant.name} is not there."
            if id in present and file.made.began > backup.ended:
                yield f"The file {id} of {tenant.name} was uploaded later, and is there."
            if id in present and file.gone is not None and file.gone.is_before(backup.began):
                yield f"The file {id} of {tenant.name} was deleted before, and is there."
        yield from judge_search(tenant, client, backup, counts)
        yield from judge_runs(tenant, client, backup, counts)


def judge_search(tenant: Tenant, client: openai.OpenAI, backup: Span, counts: Counts) -> Iterator[str]:
    indexed = [id for id, file in tenant.files.items() if file.indexed and file.indexed.is_before(backup.began)]
    for id in indexed[:5]:
        counts.searches += 1
        words = client.files.content(id).read().split()[3].decode().rstrip(".")
        found = [hit.file_id for hit in client.vector_stores.search(tenant.store, query=words)]
        if id not in found:
            yield f"The file {id} of {tenant.name} is not found in its store."


def judge_runs(tenant: Tenant, client: openai.OpenAI, backup: Span, counts: Counts) -> Iterator[str]:
    assert backup.ended is not None
    for thread, made in tenant.threads.items():
        try:
            there = {run.id: run for run in client.beta.threads.runs.list(thread)}
        except openai.NotFoundError:
            if made.is_before(backup.began):
                yield f"The thread {thread} of {tenant.name} is not there."
            continue
        if made.began > backup.ended:
            yield f"The thread {thread} of {tenant.name} was made later, and is there."
        for id, known in tenant.runs.items():
            if known.thread != thread:
                continue
            if id not in there:
                if known.made.is_before(backup.began):
                    yield f"The run {id} of {tenant.name} is not there."
                continue
            counts.runs += 1
            run = there[id]
            if known.made.is_before(backup.began) and run.status != "completed":
                yield f"The run {id} of {tenant.name} was completed, and is {run.status}."
            if run.status not in AT_REST:
                run = at_rest(client, run)
                counts.seconds = time.monotonic() - counts.ready_at
            if run.status != "completed":
                yield f"The run {id} of {tenant.name}, which was under way, came to be {run.status}: {run.last_error}."
                continue
            # What a run had begun to say when it was cut stays, as incomplete; then it answers anew.
            messages = client.beta.threads.messages.list(thread, run_id=id)
            answers = [said(message) for message in messages if message.status == "completed"]
            if answers != [known.content]:
                yield f"The run {id} of {tenant.name} answered {known.content!r}, and has {answers}."


def at_rest(client: openai.OpenAI, run: Any) -> Any:
    deadline = time.monotonic() + RUN_SECONDS
    while run.status not in AT_REST and time.monotonic() < deadline:
        time.sleep(0.2)
        run = client.beta.threads.runs.retrieve(run.id, thread_id=run.thread_id)
    return run


def said(message: Any) -> str:
    return "".join(part.text.value for part in message.content)


# --- The drill -------------------------------------------------------------------------------------------------------


def drill(folder: Path, *, tenants: int, seconds: float, lease_seconds: int, tell: Callable[[str], None]) -> None:
    """The whole of it, in this folder. Raises Wrong with all that was found."""
    first, second = (Installation(folder / name, lease_seconds) for name in ("a", "b"))
    with model(WORD_SECONDS) as answering:
        try:
            tell(f"{first.start():6.1f} s  the installation is ready")
            model_url = f"http://127.0.0.1:{answering.server_port}/v1"
            team = [new_tenant(first, number, model_url) for number in range(tenants)]
            load = Load(first, team)
            try:
                time.sleep(seconds)
                backup = Span(time.monotonic())
                took = first.manage("backup", str(folder / "backup"))
                backup.ended = time.monotonic()
                size = sum(path.stat().st_size for path in (folder / "backup").rglob("*") if path.is_file())
                tell(f"{took:6.1f} s  manage.py backup, under load: {size:,} bytes")
                time.sleep(seconds / 3)
            finally:
                load.stop()
            if failures := [failure for tenant in team for failure in tenant.failures]:
                raise Wrong("The load failed:\n" + "\n".join(failures))
            runs, files = sum(len(tenant.runs) for tenant in team), sum(len(tenant.files) for tenant in team)
            tell(f"          {runs} runs and {files} files of {tenants} tenants, no request failed; all is killed now")
            first.stop(signal.SIGKILL)
            first_gone = time.monotonic()
            tell(f"{second.manage('restore', str(folder / 'backup')):6.1f} s  manage.py restore, in another folder")
            tell(f"{second.start():6.1f} s  the restored installation is ready, on another port")
            tell(f"{time.monotonic() - first_gone:6.1f} s  from the loss to here")
            counts = Counts()
            answering.keys_seen.clear()
            faults = [fault for tenant in team for fault in judge(tenant, second, backup, counts)]
            for tenant in team:
                faults += anew(tenant, second)
                if f"Bearer {tenant.key}" not in answering.keys_seen:
                    faults.append(f"The model was not sent the key of {tenant.name}.")
            tell(
                f"          compared: {counts.files} files ({counts.bytes:,} bytes), {counts.searches} searches, "
                f"{counts.runs} runs; {tenants} new runs on old threads"
            )
            if counts.seconds:
                tell(f"{counts.seconds:6.1f} s  until the last run that had been cut was at its end")
            if not counts.files or not counts.runs or not counts.searches:
                faults.append("There was too little to compare.")
            if faults:
                raise Wrong("\n".join(faults))
        finally:
            first.stop(signal.SIGKILL)
            second.stop()


def anew(tenant: Tenant, at: Installation) -> Iterator[str]:
    """The token works, and a run on a thread that was restored."""
    with tenant.client(at) as client:
        for thread in tenant.threads:
            try:
                run = client.beta.threads.runs.create_and_poll(
                    assistant_id=tenant.assistant,
                    thread_id=thread,
                    additional_messages=[{"role": "user", "content": "And now?"}],
                    poll_interval_ms=200,
                )
            except openai.NotFoundError:
                continue  # made after the backup
            if run.status != "completed":
                yield f"A new run of {tenant.name} is {run.status}: {run.last_error}."
            return
        yield f"{tenant.name} has no thread left."


def main() -> None:
    parser = argparse.ArgumentParser(prog="make drill-restore", description=__doc__)
    parser.add_argument("--tenants", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=30, help="for so long there is load before the backup")
    parser.add_argument("--lease", type=int, default=30, help="RUN_LEASE_SECONDS: a run that was cut waits that long")
    parser.add_argument("--keep", action="store_true", help="leave the folder with data, backup and logs")
    options = parser.parse_args()
    warnings.simplefilter("ignore", DeprecationWarning)  # the SDK calls the Assistants API deprecated at each call
    folder = Path(tempfile.mkdtemp(prefix="hf-drill-")).resolve()
    folder.chmod(0o711)
    try:
        drill(folder, tenants=options.tenants, seconds=options.seconds, lease_seconds=options.lease, tell=say)
    except Wrong as found:
        sys.exit(f"The drill failed.\n{found}")
    finally:
        if options.keep:
            say(f"All of it is in {folder}.")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    say("The restored installation has what it had.")


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
