"""What a vision model is sent, through the whole stack: a recording provider tells."""

import base64
import random
import socket
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from assistant_site.llm.tests.quirk_server import HANG, Answer, QuirkServer, called, said
from assistant_site.tests.callers import LiveCaller, LocalCaller, new_tenant
from files import storage
from files.models import File
from runs import context
from runs.models import Run
from runs.preparing import prepare
from runs.tests.drawing import drawn, encoded, noise, opened, scrambled
from tenants import routes
from tenants.models import Provider, Tenant

FUNCTION = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}


def file_of(tenant: Tenant, content: bytes, **fields: Any) -> str:
    stored = storage.save([content])
    values = {"purpose": "vision", "filename": "a.png", **fields}
    sizes = {"bytes": stored.bytes, "sha256": stored.sha256, "blob": stored.blob}
    return str(File.objects.create(tenant=tenant, **sizes, **values).pk)


def image_file(file_id: str, **fields: str) -> dict[str, Any]:
    return {"type": "image_file", "image_file": {"file_id": file_id, **fields}}


def image_url(url: str, **fields: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url, **fields}}


def text(value: str) -> dict[str, Any]:
    return {"type": "text", "text": value}


def data_url(content: bytes, media_type: str = "image/png") -> str:
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"


def sent(
    caller: LiveCaller,
    *messages: list[dict[str, Any]],
    meanwhile: Callable[[], object] = lambda: None,
    quirks: dict[str, str] | None = None,
) -> list[Any]:
    """The contents of the thread's messages, as the model got them; `meanwhile` comes between them and the run."""
    thread = caller.thread()
    for content in messages:
        caller.post(f"threads/{thread}/messages", {"role": "user", "content": content})
    meanwhile()
    with QuirkServer(said("ok")) as server:
        Provider.objects.create(tenant=caller.tenant, name="test", base_url=server.base_url, quirks=quirks or {})
        run = caller.run(thread, caller.assistant(instructions=None, model="gpt-4o"))
        assert run["status"] == "completed", run["last_error"]
        [request] = server.requests
    return [message["content"] for message in request.body["messages"]]


# --- Files ------------------------------------------------------------------------------------------------------------


def test_an_image_file_arrives_as_data(lena: LiveCaller) -> None:
    png = drawn()
    file = file_of(lena.tenant, png)
    [content] = sent(lena, [text("What is this?"), image_file(file, detail="high")])
    assert content == [text("What is this?"), image_url(data_url(png), detail="high")]


def test_images_keep_their_places(lena: LiveCaller) -> None:
    png, jpeg = drawn("PNG"), drawn("JPEG")
    files = [file_of(lena.tenant, png), file_of(lena.tenant, jpeg, filename="wrong.gif", purpose="assistants")]
    first, second = sent(
        lena,
        [text("This"), image_file(files[0]), text("and that"), image_file(files[1])],
        [image_file(files[0], detail="low")],
    )
    as_jpeg = image_url(data_url(jpeg, "image/jpeg"), detail="auto")
    assert first == [text("This"), image_url(data_url(png), detail="auto"), text("and that"), as_jpeg]
    assert second == [image_url(data_url(png), detail="low")]


def test_a_large_image_is_smaller(lena: LiveCaller) -> None:
    file = file_of(lena.tenant, encoded(noise(2_500, 1_000)))
    [[part]] = sent(lena, [image_file(file)])
    picture = opened(part["image_url"]["url"])
    assert (picture.format, picture.size) == ("JPEG", (2_048, 819))


def test_what_cannot_be_shown_is_said(lena: LiveCaller) -> None:
    gone, past, foreign, lost = (file_of(lena.tenant, drawn(size=size)) for size in range(20, 24))
    large = file_of(lena.tenant, bytes(21_000_000))
    broken = file_of(lena.tenant, drawn(size=50)[:2_000])
    other = file_of(lena.tenant, b"hello")
    good = drawn()
    cases = {
        gone: "The file does not exist.",
        past: "The file does not exist.",
        foreign: "The file does not exist.",
        lost: "The file does not exist.",
        large: "It is larger than 20 MB.",
        broken: "It is broken.",
        other: "It is not a png, jpeg, gif or webp image.",
    }

    def meanwhile() -> None:
        files = File.objects.of(lena.tenant)
        files.filter(pk=gone).delete()
        files.filter(pk=past).update(expires_at=timezone.now() - timedelta(seconds=1))
        files.filter(pk=foreign).update(tenant=new_tenant("Somebody else")[0])
        storage.remove(files.get(pk=lost).blob)

    content = [*map(image_file, cases), image_file(file_of(lena.tenant, good))]
    [shown] = sent(lena, content, meanwhile=meanwhile)
    told = [text(f"[Image {file} is not shown. {reason}]") for file, reason in cases.items()]
    assert shown == [*told, image_url(data_url(good), detail="auto")]


def test_a_message_of_texts_alone_is_a_text(lena: LiveCaller) -> None:
    """Servers without vision take nothing else."""
    file = file_of(lena.tenant, drawn())
    content = [text("See:"), image_file(file)]
    [shown] = sent(lena, content, meanwhile=File.objects.of(lena.tenant).filter(pk=file).delete)
    assert shown == f"See:\n[Image {file} is not shown. The file does not exist.]"


def test_bytes_of_any_kind_never_fail_a_run(lena: LiveCaller) -> None:
    chance = random.Random(4)
    whole = [drawn(format, 32) for format in ("PNG", "JPEG", "GIF", "WEBP")]
    contents = [scrambled(content, chance) for content in whole * 8]
    contents += [chance.randbytes(length) for length in (0, 1, 2, 10, 100, 1_000, 10_000, 100_000)]
    files = [file_of(lena.tenant, content) for content in contents]
    [content] = sent(lena, [image_file(file) for file in files])
    assert {part["type"] for part in content} == {"text", "image_url"}
    assert len(content) == 40
    for part in content:
        if part["type"] == "text":
            assert part["text"].endswith(("It is broken.]", "It is not a png, jpeg, gif or webp image.]"))
        else:
            opened(part["image_url"]["url"]).load()


# --- How many ---------------------------------------------------------------------------------------------------------


def test_the_newest_50_images_are_shown(lena: LiveCaller) -> None:
    png = drawn()
    file = file_of(lena.tenant, png)
    first, second = sent(lena, [image_file(file)] * 3, [image_file(file)] * 48)
    no_room = "A prompt has 50 images and 20 MB of them at most; newer ones came first."
    assert first == [
        text(f"[Image {file} is not shown. {no_room}]"),
        *[image_url(data_url(png), detail="auto")] * 2,
    ]
    assert second == [image_url(data_url(png), detail="auto")] * 48


def test_the_newest_20_megabytes_are_shown(lena: LiveCaller) -> None:
    file = file_of(lena.tenant, encoded(noise(1_200, 1_200)))  # 4.3 MB
    contents = sent(lena, *[[image_file(file)] for _ in range(6)])
    assert [content if isinstance(content, str) else content[0]["type"] for content in contents] == [
        *[f"[Image {file} is not shown. A prompt has 50 images and 20 MB of them at most; newer ones came first.]"] * 2,
        *["image_url"] * 4,
    ]


def test_a_data_url_passes_within_the_same_bounds(lena: LiveCaller) -> None:
    small, large = data_url(drawn()), data_url(bytes(21 * 1024 * 1024))
    first, second = sent(lena, [image_url(large)], [image_url(small, detail="low")])
    assert first == "[Image in the message is not shown. It is larger than 20 MB.]"
    assert second == [image_url(small, detail="low")]


def test_one_query_finds_all_files(alice: LocalCaller) -> None:
    files = [file_of(alice.tenant, drawn()) for _ in range(3)]
    thread = alice.thread("Look:")
    run = Run(tenant=alice.tenant, thread_id=thread, model="m", instructions="", tools=[], memory={}, spent={})
    with CaptureQueriesContext(
        connection,
    ) as without:
        context.build(run, [])
    for file in files:
        alice.post(f"threads/{thread}/messages", {"role": "user", "content": [image_file(file), image_file(file)]})
    with CaptureQueriesContext(connection) as queries:
        built = context.build(run, [])
    assert len(built) == 4
    assert len(queries) == len(without) + 1


# --- Addresses --------------------------------------------------------------------------------------------------------


# The stack may fetch from `localhost` by this name, and from no other inner address.
FETCHES = {"fetch_images": "true"}


def picture_answer(content: bytes) -> Answer:
    return Answer((content,), 200, {"content-type": "application/octet-stream"}, "length")


def test_an_address_is_left_to_the_provider(lena: LiveCaller) -> None:
    url = "http://127.0.0.1:1/a.png"
    assert sent(lena, [image_url(url, detail="low")]) == [[image_url(url, detail="low")]]


def test_an_address_is_fetched_where_the_provider_cannot(lena: LiveCaller) -> None:
    png, jpeg = drawn("PNG"), drawn("JPEG")
    with QuirkServer(picture_answer(png)) as one, QuirkServer(picture_answer(jpeg)) as other:
        urls = [f"http://localhost:{server.port}/a.png" for server in (one, other)]
        [content] = sent(lena, [image_url(urls[0], detail="low"), text("and"), image_url(urls[1])], quirks=FETCHES)
    assert content == [
        image_url(data_url(png), detail="low"),
        text("and"),
        image_url(data_url(jpeg, "image/jpeg"), detail="auto"),
    ]


def test_a_tenants_own_list_is_for_that_tenant(lena: LiveCaller) -> None:
    """Also where another tenant has just been shown what is at the same address."""
    png = drawn(size=31)
    with QuirkServer(picture_answer(png)) as server:
        part = image_url(f"http://127.0.0.1:{server.port}/a.png")
        Tenant.objects.filter(pk=lena.tenant.pk).update(fetch_allowed_hosts="10.0.0.0/8\n127.0.0.1\n")
        assert sent(lena, [part], quirks=FETCHES) == [[image_url(data_url(png), detail="auto")]]
        other = LiveCaller(*new_tenant("Other"), lena.url)
        [refusal] = sent(other, [part], quirks=FETCHES)
    assert "The address of 127.0.0.1 is not public." in str(refusal)


def test_only_images_to_fetch_cost_a_look_at_the_list(alice: LocalCaller) -> None:
    def prepared() -> tuple[tuple[str, ...], int]:
        routes.forget()
        with CaptureQueriesContext(connection) as queries:
            return prepare(run).allowed_hosts, len(queries)

    Tenant.objects.filter(pk=alice.tenant.pk).update(fetch_allowed_hosts="files.corp")
    Provider.objects.create(tenant=alice.tenant, name="x", base_url="http://x/v1", quirks=FETCHES)
    thread = alice.thread("Look:")
    run = Run(tenant=alice.tenant, thread_id=thread, model="m", instructions="", tools=[], memory={}, spent={})
    prepared()  # what is kept for half a second is read
    allowed, without = prepared()
    assert allowed == ()
    alice.post(f"threads/{thread}/messages", {"role": "user", "content": [image_url(data_url(drawn()))]})
    assert prepared() == ((), without)
    alice.post(f"threads/{thread}/messages", {"role": "user", "content": [image_url("http://files.corp/a.png")]})
    assert prepared() == (("files.corp",), without + 1)


@pytest.mark.slow
def test_what_cannot_be_fetched_is_said(lena: LiveCaller) -> None:
    with (
        QuirkServer(Answer(status=404, framing="length")) as missing,
        QuirkServer(picture_answer(b"<html>")) as page,
        QuirkServer(picture_answer(drawn())) as inner,
        socket.create_server(("127.0.0.1", 0)) as silent,
    ):
        cases = {
            f"http://localhost:{missing.port}/a.png": "localhost answered 404.",
            f"http://localhost:{page.port}/a.png": "It is not a png, jpeg, gif or webp image.",
            f"http://127.0.0.1:{inner.port}/a.png": "The address of 127.0.0.1 is not public.",
            f"http://[::ffff:7f00:1]:{inner.port}/a.png": "The address of ::ffff:7f00:1 is not public.",
            "http://169.254.169.254/latest/meta-data": "The address of 169.254.169.254 is not public.",
            f"http://localhost:{silent.getsockname()[1]}/a": "localhost took longer than 10 seconds.",
        }
        [content] = sent(lena, [text("See:"), *map(image_url, cases)], quirks=FETCHES)
        assert content == "\n".join(
            ["See:", *(f"[Image {url} is not shown. {reason}]" for url, reason in cases.items())]
        )
        assert inner.connections == 0


@pytest.mark.slow
def test_all_addresses_are_fetched_at_the_same_time(lena: LiveCaller) -> None:
    png = drawn()
    slow = Answer((png,), 200, {"content-type": "image/png"}, "length", before=3.0)
    with QuirkServer(slow) as server:
        urls = [f"http://localhost:{server.port}/{number}.png" for number in range(8)]
        started = time.monotonic()
        [content] = sent(lena, list(map(image_url, urls)), quirks=FETCHES)
        assert time.monotonic() - started < 20
    assert content == [image_url(data_url(png), detail="auto")] * 8


def test_a_run_fetches_an_address_once(lena: LiveCaller) -> None:
    with QuirkServer(picture_answer(drawn())) as pictures, QuirkServer(called(("f", "{}")), said("ok")) as model:
        Provider.objects.create(tenant=lena.tenant, name="test", base_url=model.base_url, quirks=FETCHES)
        thread = lena.thread()
        content = [image_url(f"http://localhost:{pictures.port}/a.png")] * 2
        lena.post(f"threads/{thread}/messages", {"role": "user", "content": content})
        run = lena.run(thread, lena.assistant(tools=[FUNCTION]))
        [call] = run["required_action"]["submit_tool_outputs"]["tool_calls"]
        outputs = {"tool_outputs": [{"tool_call_id": call["id"], "output": "ok"}]}
        lena.post(f"threads/{thread}/runs/{run['id']}/submit_tool_outputs", outputs)
        assert lena.settled(thread, run["id"])["status"] == "completed"
        assert len(pictures.requests) == 1
        first, second = ([m["content"] for m in r.body["messages"] if m["role"] == "user"] for r in model.requests)
    assert first == second
    assert first[0][0] == first[0][1]
    assert first[0][0]["image_url"]["url"].startswith("data:image/png;base64,")


def test_a_run_that_waits_for_an_image_can_be_cancelled(lena: LiveCaller) -> None:
    with QuirkServer(Answer((b"x", HANG))) as pictures, QuirkServer(said("ok")) as model:
        Provider.objects.create(tenant=lena.tenant, name="test", base_url=model.base_url, quirks=FETCHES)
        thread = lena.thread()
        content = [image_url(f"http://localhost:{pictures.port}/a.png")]
        lena.post(f"threads/{thread}/messages", {"role": "user", "content": content})
        run = lena.post(f"threads/{thread}/runs", {"assistant_id": lena.assistant()})
        deadline = time.monotonic() + 60
        while not pictures.requests:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        started = time.monotonic()
        lena.post(f"threads/{thread}/runs/{run['id']}/cancel")
        assert lena.settled(thread, run["id"])["status"] == "cancelled"
        assert time.monotonic() - started < 8
        assert not model.requests
