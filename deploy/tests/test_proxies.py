"""The proxies' files in front of a real Holdfast: streams come through piece by piece, headers are the proxy's own."""

import contextlib
import http.client
import json
import re
import shutil
import signal
import ssl
import subprocess
from collections.abc import Iterator
from email.message import Message
from pathlib import Path

import pytest

from assistant_site.embedded.process import spawn, wait_gone
from assistant_site.llm.tests.quirk_server import HANG, Answer, QuirkServer, said
from assistant_site.tests.callers import LiveCaller
from assistant_site.tests.stack import Stack, free_port
from deploy.tests.tools import PROJECT

PROXY = PROJECT / "deploy" / "proxy"
NGINX = (PROXY / "nginx.conf").read_text()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("tls")
    made, key = folder / "fullchain.pem", folder / "privkey.pem"
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "1",
        "-subj",
        "/CN=holdfast.example.com",
    ]
    subprocess.run([*command, "-keyout", key, "-out", made], capture_output=True, check=True)
    return made, key


@contextlib.contextmanager
def nginx(folder: Path, to: str, certificate: tuple[Path, Path]) -> Iterator[int]:
    """nginx with our file, of which only ports and paths are changed; gives its port for TLS."""
    program = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin")
    if not program:
        pytest.skip("nginx is not installed")
    port = free_port()
    site = NGINX.replace("127.0.0.1:8086", to.partition("://")[2]).replace("listen 443", f"listen 127.0.0.1:{port}")
    site = site.replace("listen 80;", f"listen 127.0.0.1:{free_port()};")
    for told, path in zip(("fullchain.pem", "privkey.pem"), certificate, strict=True):
        site = re.sub(rf"\S+/{told}", str(path), site)
    (folder / "holdfast.conf").write_text(site)
    temporary = "".join(
        f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"daemon off; pid {folder}/pid; error_log stderr; user root; events {{}}\n"
        # Holdfast's own header would turn buffering off whatever the file says.
        "http { access_log off; proxy_ignore_headers X-Accel-Buffering;"
        f" {temporary} include {folder}/holdfast.conf; }}\n"
    )
    command = [program, "-c", str(folder / "nginx.conf"), "-p", str(folder)]
    tested = subprocess.run([*command, "-t"], capture_output=True, text=True)
    assert tested.returncode == 0, tested.stderr
    process = spawn(command, log=folder / "log", death_signal=signal.SIGTERM, folder=folder)
    try:
        for _ in range(600):
            with contextlib.suppress(OSError):
                get(port, "/healthz")
                break
        yield port
    finally:
        process.terminate()
        assert wait_gone(process.pid, 10, process)


@contextlib.contextmanager
def connection(port: int) -> Iterator[http.client.HTTPSConnection]:
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    with contextlib.closing(http.client.HTTPSConnection("127.0.0.1", port, timeout=60, context=trusting)) as asked:
        yield asked


def get(port: int, path: str) -> tuple[int, Message, bytes]:
    with connection(port) as asked:
        asked.request("GET", path, headers={"Host": "holdfast.example.com"})
        answer = asked.getresponse()
        return answer.status, answer.headers, answer.read()


@pytest.mark.slow
def test_nginx_passes_a_stream_on_piece_by_piece(
    tmp_path: Path, live: Stack, lena: LiveCaller, certificate: tuple[Path, Path]
) -> None:
    """The model says one word and then nothing more: where pieces are collected, the word never comes."""
    hanging = Answer((*said("word").pieces[:2], HANG))
    with QuirkServer(hanging) as provider, nginx(tmp_path, live.urls[0], certificate) as port:
        lena.provided_by(provider.base_url)
        assistant, thread = lena.assistant(), lena.thread("Hello")
        headers = {
            "Host": "holdfast.example.com",
            "Authorization": f"Bearer {lena.token}",
            "OpenAI-Beta": "assistants=v2",
            "Content-Type": "application/json",
        }
        body = json.dumps({"assistant_id": assistant, "stream": True})
        with connection(port) as asked:
            asked.request("POST", f"/v1/threads/{thread}/runs", body, headers)
            with asked.getresponse() as answer:
                assert answer.status == 200
                lines = (line.decode() for line in answer)
                assert next(line for line in lines if line.startswith("event: thread.message.delta"))
                run = lena.get(f"/v1/threads/{thread}/runs").body["data"][0]
                assert run["status"] == "in_progress"

                lena.post(f"/v1/threads/{thread}/runs/{run['id']}/cancel")
                rest = list(lines)
    assert "event: thread.run.cancelled\n" in rest
    assert "event: done\n" in rest


@pytest.mark.slow
def test_nginx_passes_websockets_on(
    tmp_path: Path, live: Stack, lena: LiveCaller, certificate: tuple[Path, Path]
) -> None:
    headers = {
        "Host": "holdfast.example.com",
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
        "Sec-WebSocket-Protocol": "holdfast",
    }
    with nginx(tmp_path, live.urls[0], certificate) as port, connection(port) as asked:
        asked.request("GET", f"/v1/threads/{lena.thread()}/ws", headers=headers)
        with asked.getresponse() as answer:
            assert answer.status == 101


@pytest.mark.slow
def test_nginx_speaks_tls_and_sends_others_there(tmp_path: Path, live: Stack, certificate: tuple[Path, Path]) -> None:
    with nginx(tmp_path, live.urls[0], certificate) as port:
        status, told, body = get(port, "/healthz")
        assert (status, body) == (200, b'{"status": "ok"}')
        assert told["Strict-Transport-Security"]
        plain = re.search(r"listen 127\.0\.0\.1:(\d+);", (tmp_path / "holdfast.conf").read_text())
        assert plain
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", int(plain[1]), timeout=60)) as asked:
            asked.request("GET", "/docs", headers={"Host": "holdfast.example.com"})
            sent = asked.getresponse()
            assert (sent.status, sent.headers["Location"]) == (301, "https://holdfast.example.com/docs")


def test_both_files_leave_room_for_the_largest_file_and_for_silence() -> None:
    from django.conf import settings

    caddy = (PROXY / "Caddyfile").read_text()
    for size in (re.search(r"client_max_body_size (\d+)m", NGINX), re.search(r"max_size (\d+)MB", caddy)):
        assert size
        assert int(size[1]) * 1024 * 1024 > settings.MAX_FILE_BYTES
    for silence in (
        re.search(r"proxy_read_timeout (\d+)s", NGINX),
        re.search(r"response_header_timeout (\d+)s", caddy),
    ):
        assert silence
        assert int(silence[1]) >= settings.RUN_SECONDS
    assert "proxy_buffering off;" in NGINX
    assert "flush_interval -1" in caddy


def test_the_callers_address_is_the_proxys_word_alone() -> None:
    """What a caller sends under these names goes no further."""
    assert "proxy_set_header X-Forwarded-For $remote_addr;" in NGINX
    assert "$proxy_add_x_forwarded_for" not in NGINX
