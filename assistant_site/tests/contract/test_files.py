"""Files and uploads through the official SDK, unchanged, against running processes."""

import asyncio
import hashlib
import os
from pathlib import Path

import openai
import pytest

from assistant_site.tests.callers import LiveCaller

pytestmark = pytest.mark.contract


@pytest.fixture
def client(lena: LiveCaller) -> openai.OpenAI:
    return openai.OpenAI(base_url=lena.base_url, api_key=lena.token, max_retries=0)


def test_the_life_of_a_file(client: openai.OpenAI, tmp_path: Path) -> None:
    path = tmp_path / "报告 نهائي 🎉.md"
    path.write_bytes("# 你好\n".encode() * 1_000)
    made = client.files.create(
        file=path, purpose="assistants", expires_after={"anchor": "created_at", "seconds": 86_400}
    )
    assert (made.filename, made.bytes, made.purpose) == (path.name, path.stat().st_size, "assistants")
    assert made.expires_at == made.created_at + 86_400
    assert client.files.wait_for_processing(made.id, poll_interval=0.1).status == "processed"
    assert client.files.retrieve(made.id) == made
    content = client.files.content(made.id)
    assert content.read() == path.read_bytes()
    assert client.files.content(made.id).text.startswith("# 你好")
    copy = tmp_path / "copy"
    with client.files.with_streaming_response.content(made.id) as streamed:
        streamed.stream_to_file(copy)
    assert copy.read_bytes() == path.read_bytes()
    deleted = client.files.delete(made.id)
    assert (deleted.id, deleted.object, deleted.deleted) == (made.id, "file", True)
    with pytest.raises(openai.NotFoundError) as missing:
        client.files.retrieve(made.id)
    assert missing.value.param == "id"


def test_every_way_to_give_a_file(client: openai.OpenAI, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("{}\n")
    with path.open("rb") as opened:
        made = [
            client.files.create(file=opened, purpose="batch"),
            client.files.create(file=("b.jsonl", b"{}\n"), purpose="fine-tune"),
            client.files.create(file=("c.jsonl", b"{}\n", "application/jsonl"), purpose="evals"),
            client.files.create(file=b"{}\n", purpose="user_data"),
        ]
    assert [file.filename for file in made] == ["a.jsonl", "b.jsonl", "c.jsonl", "upload"]
    assert [file.id for file in client.files.list()] == [file.id for file in made][::-1]
    assert [file.id for file in client.files.list(order="asc", limit=2)] == [file.id for file in made]
    assert [file.id for file in client.files.list(purpose="evals")] == [made[2].id]


def test_refusals_are_the_sdks_exceptions(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        client.files.create(file=b"x", purpose="world_domination")  # type: ignore[arg-type]
    assert refused.value.param == "purpose"
    with pytest.raises(openai.BadRequestError):
        client.files.create(file=("empty.txt", b""), purpose="assistants")
    with pytest.raises(openai.BadRequestError) as limit:
        client.files.list(limit=10_001)
    assert "limit must be between 1 and 10000." in str(limit.value)


def test_a_file_in_chunks(client: openai.OpenAI, tmp_path: Path) -> None:
    path = tmp_path / "large.jsonl"
    path.write_bytes(os.urandom(3 * 1024 * 1024))
    digest = hashlib.md5(path.read_bytes()).hexdigest()
    upload = client.uploads.upload_file_chunked(
        file=path, mime_type="text/jsonl", purpose="batch", part_size=1024 * 1024, md5=digest
    )
    assert upload.status == "completed"
    assert upload.file is not None
    assert (upload.file.filename, upload.file.bytes) == ("large.jsonl", 3 * 1024 * 1024)
    assert client.files.content(upload.file.id).read() == path.read_bytes()
    again = client.uploads.create(bytes=1, filename="a", mime_type="text/plain", purpose="batch")
    client.uploads.parts.create(again.id, data=b"a")
    assert client.uploads.cancel(again.id).status == "cancelled"
    with pytest.raises(openai.BadRequestError):
        client.uploads.parts.create(again.id, data=b"a")


def test_the_asynchronous_client(lena: LiveCaller) -> None:
    async def program() -> None:
        async with openai.AsyncOpenAI(base_url=lena.base_url, api_key=lena.token) as client:
            made = await asyncio.gather(
                *(
                    client.files.create(file=(f"{number}.txt", b"x" * 200_000), purpose="assistants")
                    for number in range(20)
                )
            )
            listed = [file.id async for file in client.files.list(limit=7)]
            assert sorted(listed) == sorted(file.id for file in made)
            contents = await asyncio.gather(*(client.files.content(file.id) for file in made))
            assert {content.content for content in contents} == {b"x" * 200_000}

    asyncio.run(program())
