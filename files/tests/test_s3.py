"""The same over S3, against a server that speaks it: moto's, or the one at HOLDFAST_TEST_S3.

HOLDFAST_TEST_S3=http://KEY:SECRET@127.0.0.1:4568 names one that runs; buckets are made in it.
"""

import contextlib
import errno
import os
import secrets
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import boto3
import openai
import pytest
import requests
from botocore.exceptions import ClientError, NoCredentialsError
from moto.server import ThreadedMotoServer

from assistant_site.tests.callers import LocalCaller
from files import actions, storage
from files.models import File, UnclaimedBlob
from files.tests.test_uploads import begin, complete, part_id

pytestmark = pytest.mark.slow

MEGABYTE = 1024 * 1024


REAL = urlsplit(os.environ.get("HOLDFAST_TEST_S3", ""))
KEYS = {"access_key": REAL.username or "test", "secret_key": REAL.password or "test", "region_name": "us-east-1"}


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """Its address."""
    if REAL.hostname:
        yield f"{REAL.scheme}://{REAL.hostname}:{REAL.port}"
        return
    moto = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    moto.start()
    host, port = moto.get_host_and_port()
    try:
        yield f"http://{host}:{port}"
    finally:
        moto.stop()


def use(settings: Any, **options: Any) -> None:
    settings.STORAGES = settings.STORAGES | {"blobs": {"BACKEND": "files.s3.S3Blobs", "OPTIONS": options}}


@pytest.fixture
def bucket(server: str, settings: Any) -> Any:
    """A bucket, in which the server keeps its files now."""
    name = f"files-{secrets.token_hex(4)}"
    made = boto3.resource(
        "s3",
        endpoint_url=server,
        aws_access_key_id=KEYS["access_key"],
        aws_secret_access_key=KEYS["secret_key"],
        region_name=KEYS["region_name"],
    ).create_bucket(Bucket=name)
    use(settings, bucket_name=name, endpoint_url=server, **KEYS)
    return made


def names(bucket: Any) -> list[str]:
    return [entry.key for entry in bucket.objects.all()]


@pytest.mark.parametrize("size", [1, 8 * MEGABYTE, 8 * MEGABYTE + 1, 20 * MEGABYTE])
def test_blobs_of_every_size(bucket: Any, size: int) -> None:
    content = os.urandom(size)
    stored = storage.save(content[at : at + 300_000] for at in range(0, size, 300_000))
    assert stored.bytes == size
    assert names(bucket) == [stored.blob]
    with storage.opened(stored.blob) as file:
        assert file.read() == content
        file.seek(0)
        assert file.read(1) == content[:1]
    assert b"".join(storage.joined([(stored.blob, size)])) == content
    with storage.local_copy(File(blob=stored.blob, filename="a.pdf")) as path:
        assert path.read_bytes() == content
        assert path.suffix == ".pdf"
    assert not path.exists()
    storage.remove(stored.blob)
    storage.remove(stored.blob)
    assert names(bucket) == []
    with pytest.raises(storage.BlobMissing), storage.opened(stored.blob):
        pass


def test_an_upload_that_breaks_off_leaves_nothing(bucket: Any) -> None:
    def cut() -> Iterator[bytes]:
        yield os.urandom(20 * MEGABYTE)
        raise ConnectionError

    with pytest.raises(ConnectionError):
        storage.save(cut())
    assert names(bucket) == []
    assert list(bucket.multipart_uploads.all()) == []


def test_files_and_uploads(alice: LocalCaller, bucket: Any) -> None:
    id = alice.upload("你好.txt", b"hello" * 100_000)
    assert alice.get(f"files/{id}/content").body == b"hello" * 100_000
    upload = begin(alice, 11 * MEGABYTE)
    a, b = part_id(alice, upload, b"a" * MEGABYTE), part_id(alice, upload, b"b" * 10 * MEGABYTE)
    file = complete(alice, upload, a, b)["file"]["id"]
    assert alice.get(f"files/{file}/content").body == b"a" * MEGABYTE + b"b" * 10 * MEGABYTE
    assert len(names(bucket)) == 2
    for each in (id, file):
        assert alice.delete(f"files/{each}").status == 200
    assert names(bucket) == []
    assert not UnclaimedBlob.objects.exists()


def test_a_download_is_a_redirect_where_the_operator_wants_it(
    alice: LocalCaller, bob: LocalCaller, bucket: Any, settings: Any
) -> None:
    settings.S3_SIGNED_DOWNLOADS_SECONDS = 60
    id = alice.upload("合同 2026.html", b"<b>signed</b>")
    sent = alice.get(f"files/{id}/content")
    assert (sent.status, sent.body, sent.headers["cache-control"]) == (302, b"", "no-store")
    assert "authorization" not in {name.lower() for name in sent.headers}
    got = requests.get(sent.headers["location"], timeout=10)
    assert (got.status_code, got.content) == (200, b"<b>signed</b>")
    assert got.headers["content-type"] == "application/octet-stream"
    assert "filename*=utf-8''%E5%90%88%E5%90%8C%202026.html" in got.headers["content-disposition"]
    assert got.headers["cache-control"] == "private, no-store"
    assert "X-Amz-Expires=60" in sent.headers["location"]

    assert bob.get(f"files/{id}/content").status == 404
    through = alice.call("GET", f"files/{id}/content", **{"X-Holdfast-Download": "through"})
    assert (through.status, through.body) == (200, b"<b>signed</b>")
    settings.FILES_DOWNLOAD = False
    assert alice.get(f"files/{id}/content").status == 400


def test_an_address_is_signed_for_where_clients_reach_the_bucket(
    alice: LocalCaller, bucket: Any, settings: Any
) -> None:
    settings.S3_SIGNED_DOWNLOADS_SECONDS = 60
    id = alice.upload("a.txt", b"a")
    use(settings, **settings.STORAGES["blobs"]["OPTIONS"], public_endpoint="https://files.example.com")
    address = urlsplit(alice.get(f"files/{id}/content").headers["location"])
    blob = File.objects.of(alice.tenant).get(pk=id).blob
    named_at_length = alice.upload("合" * 500, b"a")
    assert alice.get(f"files/{named_at_length}/content").body == b"a", "too long an address is not sent"
    assert (address.scheme, address.netloc) == ("https", "files.example.com")
    assert address.path == f"/{bucket.name}/{blob}"
    bucket.Object(blob).delete()
    assert alice.get(f"files/{id}/content").status == 500, "what is not there is not promised"


class Listening(BaseHTTPRequestHandler):
    """Gives a file to anybody, but what its server's `address` leads to; remembers the headers it was sent."""

    def do_GET(self) -> None:
        server: Any = self.server
        server.heard.append({name.lower(): value for name, value in self.headers.items()})
        self.send_response(302 if server.address else 200)
        if server.address:
            self.send_header("Location", server.address)
        self.send_header("Content-Length", "0" if server.address else "5")
        self.end_headers()
        self.wfile.write(b"" if server.address else b"bytes")

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextlib.contextmanager
def listening() -> Iterator[Any]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Listening) as server:
        server.heard, server.address = [], ""  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def test_the_official_client_follows_and_keeps_its_token_to_itself(
    alice: LocalCaller, bucket: Any, settings: Any
) -> None:
    settings.S3_SIGNED_DOWNLOADS_SECONDS = 60
    id = alice.upload("a.txt", b"bytes")
    with listening() as ours, listening() as theirs:
        address = f"http://127.0.0.1:{theirs.server_port}"
        use(settings, **settings.STORAGES["blobs"]["OPTIONS"], public_endpoint=address)
        ours.address = alice.get(f"files/{id}/content").headers["location"]
        with openai.OpenAI(api_key=alice.token, base_url=f"http://127.0.0.1:{ours.server_port}/v1") as client:
            assert client.files.content(id).read() == b"bytes"
        assert alice.token in ours.heard[0]["authorization"]
        assert len(theirs.heard) == 1
        assert alice.token not in str(theirs.heard)


def test_it_is_chosen_by_the_environment(bucket: Any, server: str) -> None:
    program = "import django; django.setup(); from files import storage; print(storage.save([b'hello']).blob)"
    environment = {
        "S3_BUCKET_NAME": bucket.name,
        "S3_ENDPOINT_URL": server,
        "S3_ACCESS_KEY": KEYS["access_key"],
        "S3_SECRET_KEY": KEYS["secret_key"],
        "S3_REGION": "eu-central-1",
    }
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert names(bucket) == [done.stdout.strip()]


def test_a_missing_bucket(alice: LocalCaller, bucket: Any, caplog: pytest.LogCaptureFixture) -> None:
    bucket.delete()
    refused = alice.post_form("files", "file", "a.txt", b"a", purpose="assistants")
    assert (refused.status, refused.error["type"]) == (503, "server_error")
    assert "create it, or correct S3_BUCKET_NAME" in caplog.text
    assert bucket.name in caplog.text
    assert bucket.name not in str(refused.body)


@pytest.fixture
def checked_credentials(server: str, bucket: Any) -> Iterator[None]:
    """From now on the server, which has no users, checks who asks."""
    if REAL.hostname:
        pytest.skip("a matter of moto's")
    requests.post(f"{server}/moto-api/reset-auth", data=b"0", timeout=10)
    yield
    requests.post(f"{server}/moto-api/reset-auth", data=b"1000000", timeout=10)


@pytest.mark.usefixtures("checked_credentials")
def test_an_unknown_key(alice: LocalCaller, caplog: pytest.LogCaptureFixture) -> None:
    refused = alice.post_form("files", "file", "a.txt", b"a", purpose="assistants")
    assert (refused.status, refused.error["type"]) == (503, "server_error")
    assert "the access key is unknown: correct S3_ACCESS_KEY" in caplog.text


def refusal(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "No."}}, "PutObject")


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (refusal("SignatureDoesNotMatch"), "correct S3_SECRET_KEY"),
        (refusal("AccessDenied"), "let S3_ACCESS_KEY read, write and delete"),
        (refusal("AuthorizationHeaderMalformed"), "correct S3_REGION"),
        (refusal("Unheard"), "Unheard No."),
        (NoCredentialsError(), "set S3_ACCESS_KEY and S3_SECRET_KEY"),
        (OSError(errno.ENOSPC, "No space left on device"), "free some"),
    ],
)
def test_other_troubles_are_explained(bucket: Any, error: Exception, advice: str) -> None:
    assert advice in (storage.blobs().advice(error) or "")
    assert storage.blobs().advice(ValueError("a bug")) is None


def test_a_server_that_is_not_there(
    alice: LocalCaller, bucket: Any, settings: Any, server: str, caplog: pytest.LogCaptureFixture
) -> None:
    id = alice.upload("a.txt", b"a")
    options = settings.STORAGES["blobs"]["OPTIONS"]
    use(settings, **options | {"endpoint_url": "http://127.0.0.1:1"})
    assert alice.get(f"files/{id}/content").status == 503
    assert "check S3_ENDPOINT" in caplog.text
    assert alice.delete(f"files/{id}").status == 200  # the bytes follow later
    assert UnclaimedBlob.objects.count() == 1
    use(settings, **options)
    UnclaimedBlob.objects.update(remove_at="2020-01-01T00:00Z")
    assert actions.forget_expired() == 1
    assert names(bucket) == []
