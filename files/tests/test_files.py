"""`/files`: what is taken, refused, listed, downloaded and deleted."""

import hashlib
from datetime import timedelta
from typing import Any
from urllib.parse import unquote

import pytest
from django.utils import timezone

from assistant_site.tests.callers import Answer, LocalCaller
from assistant_site.wire.errors import NotFound
from files import actions, storage
from files.models import File, UnclaimedBlob

FORM = "multipart/form-data; boundary=line"


def raw_form(*parts: str, end: str = "--line--\r\n") -> bytes:
    return ("".join(f"--line\r\nContent-Disposition: form-data; {part}\r\n" for part in parts) + end).encode()


FILE = 'name="file"; filename="a.txt"\r\n\r\nhello'
PURPOSE = 'name="purpose"\r\n\r\nassistants'


def send(caller: LocalCaller, body: bytes, content_type: str = FORM) -> Answer:
    return caller.call("POST", "files", body, **{"Content-Type": content_type})


def test_a_file_is_kept_as_it_came(alice: LocalCaller) -> None:
    content = bytes(range(256)) * 5_000
    made = alice.post_form("files", "file", "a.bin", content, purpose="user_data")
    assert made.body == {
        "id": made["id"],
        "object": "file",
        "purpose": "user_data",
        "filename": "a.bin",
        "bytes": len(content),
        "created_at": made["created_at"],
        "expires_at": None,
        "status": "processed",
        "status_details": None,
    }
    assert made["id"].startswith("file-")
    assert alice.get(f"files/{made['id']}").body == made.body
    row = File.objects.of(alice.tenant).get(pk=made["id"])
    assert row.sha256 == hashlib.sha256(content).hexdigest()
    down = alice.get(f"files/{made['id']}/content")
    assert down.body == content
    assert down.headers["content-type"] == "application/octet-stream"
    assert down.headers["content-disposition"] == 'attachment; filename="a.bin"'
    assert down.headers["content-length"] == str(len(content))
    assert down.headers["x-content-type-options"] == "nosniff"
    assert not UnclaimedBlob.objects.exists()


@pytest.mark.parametrize("purpose", ["assistants", "batch", "fine-tune", "vision", "user_data", "evals"])
def test_every_purpose(alice: LocalCaller, purpose: str) -> None:
    made = alice.post_form("files", "file", "page.html", b"<script>", purpose=purpose)
    assert made["purpose"] == purpose
    assert (made["expires_at"] is not None) == (purpose == "batch")
    down = alice.get(f"files/{made['id']}/content")
    assert down.headers["content-type"] == "application/octet-stream"


@pytest.mark.parametrize(
    "name",
    [
        "合同 2026.pdf",
        "تقرير نهائي.docx",
        "می\u200cخواهم.txt",
        "\U0001f468\u200d\U0001f469\u200d\U0001f467 🎉.zip",
        "naïve & co; #1.csv",
        'say "hi".txt',
        "%41 &amp;.txt",
        ".env",
    ],
)
def test_names_of_any_language(alice: LocalCaller, name: str) -> None:
    made = alice.post_form("files", "file", name, b"x", purpose="assistants")
    assert made["filename"] == name
    disposition = alice.get(f"files/{made['id']}/content").headers["content-disposition"]
    assert disposition.startswith("attachment; ")
    shown = disposition.replace('\\"', '"')
    assert name in (shown, unquote(shown))[not name.isascii()]
    assert disposition.isascii()


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ('filename="../../etc/passwd"', "passwd"),
        ('filename="C:\\\\Users\\\\me\\\\a.txt"', "a.txt"),
        ("filename*=UTF-8''%E5%90%88%E5%90%8C.pdf", "合同.pdf"),
        ("filename*=UTF-8''%2e%2e%2fup.txt", "up.txt"),
        ("filename=\"old.txt\"; filename*=UTF-8''n%C3%A4w.txt", "näw.txt"),
        ('filename="say %22hi%22.txt"', 'say "hi".txt'),
        ('filename="a\x01\x7f\tb.txt"', "ab.txt"),
        ('filename="txt.\u202eexe"', "txt.exe"),
        (f'filename="{"x" * 600}.pdf"', "x" * 508 + ".pdf"),
        (f'filename="{"合" * 508}.pdf"', "合" * 508 + ".pdf"),
        (f"filename=\"{'合' * 508}.pdf\"; filename*=UTF-8''{'%E5%90%88' * 508}.pdf", "合" * 508 + ".pdf"),
    ],
)
def test_names_are_made_harmless(alice: LocalCaller, sent: str, kept: str) -> None:
    made = send(alice, raw_form(f'name="file"; {sent}\r\n\r\nhello', PURPOSE))
    assert made["filename"] == kept


@pytest.mark.parametrize(
    ("parts", "message", "param", "code"),
    [
        ([PURPOSE], "'file' is a required property", "file", None),
        ([FILE], "'purpose' is a required property", "purpose", None),
        (['name="file"\r\n\r\nhello', PURPOSE], "'file' must be a file, with a filename.", "file", None),
        (['name="file"; filename=""\r\n\r\nhello', PURPOSE], "'file' must be a file, with a filename.", "file", None),
        (['name="file"; filename=".."\r\n\r\nhello', PURPOSE], "'file' is a required property", "file", None),
        (
            [FILE, 'name="purpose"\r\n\r\nworld_domination'],
            "'world_domination' is not one of ['fine-tune', 'assistants', 'batch', 'user_data', 'vision', 'evals'] - "
            "'purpose'",
            "purpose",
            None,
        ),
        (['name="file"; filename="a.txt"\r\n\r\n', PURPOSE], "File is empty.", "file", None),
        ([FILE, FILE, PURPOSE], None, "file", "duplicate_parameter"),
        ([FILE, PURPOSE, PURPOSE], None, "purpose", "duplicate_parameter"),
        ([FILE, PURPOSE, 'name="colour"\r\n\r\nred'], "Unknown parameter: 'colour'.", "colour", "unknown_parameter"),
        (
            [FILE, PURPOSE, 'name="picture"; filename="b"\r\n\r\nx'],
            "Unknown parameter: 'picture'.",
            "picture",
            "unknown_parameter",
        ),
        ([FILE, 'name="purpose"\r\n\r\na\x00b'], None, "purpose", "invalid_value"),
        (
            [FILE, PURPOSE, 'name="expires_after[anchor]"\r\n\r\ncreated_at'],
            "Missing required parameter: 'expires_after.seconds'.",
            "expires_after.seconds",
            "missing_required_parameter",
        ),
        (
            [
                FILE,
                PURPOSE,
                'name="expires_after[anchor]"\r\n\r\ncreated_at',
                'name="expires_after[seconds]"\r\n\r\n3599',
            ],
            "Invalid 'expires_after.seconds': integer below minimum value. Expected a value >= 3600, but got 3599 "
            "instead.",
            "expires_after.seconds",
            "integer_below_min_value",
        ),
        (
            [FILE, PURPOSE, 'name="expires_after[anchor]"\r\n\r\nnow', 'name="expires_after[seconds]"\r\n\r\n3600'],
            "Invalid value: 'now'. Supported values are: 'created_at'.",
            "expires_after.anchor",
            "invalid_value",
        ),
        (
            [
                FILE,
                PURPOSE,
                'name="expires_after[anchor]"\r\n\r\ncreated_at',
                'name="expires_after[seconds]"\r\n\r\n1h',
            ],
            "Invalid type for 'expires_after.seconds': expected an integer, but got a string instead.",
            "expires_after.seconds",
            "invalid_type",
        ),
    ],
)
def test_forms_that_are_refused(
    alice: LocalCaller, parts: list[str], message: str | None, param: str, code: str | None
) -> None:
    refused = send(alice, raw_form(*parts))
    assert (refused.status, refused.error["param"], refused.error["code"]) == (400, param, code), refused.body
    assert message is None or refused.error["message"] == message
    assert not UnclaimedBlob.objects.exists()
    assert alice.get("files")["data"] == []


@pytest.mark.parametrize(
    ("body", "content_type", "begins"),
    [
        (b'{"purpose": "assistants"}', "application/json", "Unsupported content type: 'application/json'."),
        (b"purpose=assistants", "application/x-www-form-urlencoded", "Unsupported content type"),
        (raw_form(FILE, PURPOSE), "", "Unsupported content type: ''."),
        (raw_form(FILE, PURPOSE), "multipart/form-data", "We could not parse the multipart form"),
        (raw_form(PURPOSE, FILE, end=""), FORM, "We could not parse the multipart form"),
        (raw_form(PURPOSE, FILE)[:-15], FORM, "We could not parse the multipart form"),
        (
            raw_form(*[f'name="f{number}"\r\n\r\nx' for number in range(1_100)]),
            FORM,
            "We could not parse the multipart",
        ),
        (raw_form(FILE, PURPOSE), "multipart/form-data; boundary=other", "We could not parse the multipart form"),
        (b"--line--\r\n", FORM, "'file' is a required property"),
    ],
)
def test_bodies_that_are_no_form(alice: LocalCaller, body: bytes, content_type: str, begins: str) -> None:
    refused = send(alice, body, content_type)
    assert refused.status == 400
    assert refused.error["message"].startswith(begins), refused.body
    assert not UnclaimedBlob.objects.exists()


def test_a_file_that_is_too_large(alice: LocalCaller, settings: Any) -> None:
    settings.MAX_FILE_BYTES = 1024 * 1024
    assert alice.post_form("files", "file", "a", b"x" * 1024 * 1024, purpose="assistants").status == 200
    refused = alice.post_form("files", "file", "a", b"x" * (1024 * 1024 + 1), purpose="assistants")
    assert refused.status == 413
    assert refused.error["message"] == "The file is too large: at most 1 MB are accepted."
    assert not UnclaimedBlob.objects.exists()


def test_an_expiry(alice: LocalCaller) -> None:
    expiry = {"expires_after[anchor]": "created_at", "expires_after[seconds]": "3600"}
    made = alice.post_form("files", "file", "a", b"x", purpose="batch", **expiry)
    assert made["expires_at"] == made["created_at"] + 3600
    batch = alice.post_form("files", "file", "a", b"x", purpose="batch")
    assert batch["expires_at"] == batch["created_at"] + 30 * 86_400


def test_what_has_expired_is_gone_at_once_and_then_for_good(alice: LocalCaller) -> None:
    kept, gone = alice.upload("a.txt", b"a"), alice.upload("b.txt", b"b")
    File.objects.of(alice.tenant).filter(pk=gone).update(expires_at=timezone.now() - timedelta(seconds=1))
    blob = File.objects.of(alice.tenant).get(pk=gone).blob
    for verb, path in (("GET", gone), ("GET", f"{gone}/content"), ("DELETE", gone)):
        assert alice.call(verb, f"files/{path}").status == 404
    assert [file["id"] for file in alice.get("files")["data"]] == [kept]
    with pytest.raises(NotFound):
        actions.check_files(alice.tenant, [gone])
    assert actions.forget_expired() == 1
    assert not File.objects.of(alice.tenant).filter(pk=gone).exists()
    with pytest.raises(storage.BlobMissing), storage.opened(blob):
        pass
    assert actions.forget_expired() == 0


def test_the_list(alice: LocalCaller) -> None:
    ids = [alice.upload(f"{number}.txt", b"x", "vision" if number % 2 else "assistants") for number in range(5)]
    assert [file["id"] for file in alice.get("files")["data"]] == ids[::-1]
    first = alice.get("files?limit=2&order=asc")
    assert ([file["id"] for file in first["data"]], first["has_more"]) == (ids[:2], True)
    assert (first["first_id"], first["last_id"]) == (ids[0], ids[1])
    rest = alice.get(f"files?limit=10000&order=asc&after={ids[1]}")
    assert ([file["id"] for file in rest["data"]], rest["has_more"]) == (ids[2:], False)
    assert [file["id"] for file in alice.get("files?purpose=vision")["data"]] == [ids[3], ids[1]]
    assert alice.get("files?purpose=unheard-of").body == {
        "object": "list",
        "data": [],
        "first_id": None,
        "last_id": None,
        "has_more": False,
    }


@pytest.mark.parametrize("limit", ["0", "10001", "-1"])
def test_limits_of_the_list(alice: LocalCaller, limit: str) -> None:
    refused = alice.get(f"files?limit={limit}")
    assert (refused.status, refused.error["message"]) == (400, "limit must be between 1 and 10000.")
    assert alice.get("files?limit=many").error["code"] == "invalid_type"
    assert alice.get("files?order=random").error["code"] == "invalid_value"


def test_files_that_are_not_there(alice: LocalCaller) -> None:
    for id in ("file-x", "thread_x"):
        for verb, path in (("GET", id), ("DELETE", id), ("GET", f"{id}/content")):
            missing = alice.call(verb, f"files/{path}")
            assert missing.status == 404
            assert missing.error == {
                "message": f"No such File object: {id}",
                "type": "invalid_request_error",
                "param": "id",
                "code": None,
            }
    assert alice.get("files/a%00b").status == 400
    assert alice.call("PUT", "files", {}).status == 405


def test_deleting(alice: LocalCaller) -> None:
    id = alice.upload("a.txt", b"a")
    blob = File.objects.of(alice.tenant).get(pk=id).blob
    assert alice.delete(f"files/{id}").body == {"id": id, "object": "file", "deleted": True}
    assert alice.get(f"files/{id}").status == 404
    assert alice.delete(f"files/{id}").status == 404
    with pytest.raises(storage.BlobMissing), storage.opened(blob):
        pass
    assert not UnclaimedBlob.objects.exists()


def test_downloads_can_be_switched_off(alice: LocalCaller, settings: Any) -> None:
    settings.FILES_DOWNLOAD = False
    for purpose in ("assistants", "user_data", "vision"):
        refused = alice.get(f"files/{alice.upload('a.txt', b'a', purpose)}/content")
        assert (refused.status, refused.error["message"]) == (
            400,
            f"Not allowed to download files of purpose: {purpose}",
        )
    assert alice.get(f"files/{alice.upload('a.txt', b'a', 'batch')}/content").body == b"a"
    made = actions.create_file(
        tenant=alice.tenant, filename="plot.png", purpose="assistants_output", pieces=[b"p", b"ng"]
    )
    assert alice.get(f"files/{made.pk}/content").body == b"png"


def test_a_lost_blob_is_told(alice: LocalCaller, caplog: pytest.LogCaptureFixture) -> None:
    id = alice.upload("a.txt", b"a")
    storage.remove(File.objects.of(alice.tenant).get(pk=id).blob)
    answer = alice.get(f"files/{id}/content")
    assert (answer.status, answer.error["type"]) == (500, "server_error")
    assert "restore it from a backup" in caplog.text
    assert alice.delete(f"files/{id}").status == 200


def test_checking_references(alice: LocalCaller, bob: LocalCaller, django_assert_num_queries: Any) -> None:
    a, b, his = alice.upload("a", b"a"), alice.upload("b", b"b"), bob.upload("c", b"c")
    with django_assert_num_queries(1):
        found = actions.check_files(alice.tenant, [b, a, b])
    assert set(found) == {a, b}
    assert found[a].filename == "a"
    assert actions.check_files(alice.tenant, []) == {}
    for missing in (his, "file-x", "file-\x00"):
        with pytest.raises(NotFound) as told:
            actions.check_files(alice.tenant, [a, missing], "file_ids")
        assert told.value.message == f"No file found with id '{missing}'."
        assert told.value.param == "file_ids"
