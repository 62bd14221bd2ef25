"""Two releases of the page at once: each process can give the other's files, and nothing that Valkey made up."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from assistant_site import valkey
from assistant_site.playground import assets, versions

OTHER = b"export const word = 'of the other release';\n" * 50


@pytest.fixture
def other(tmp_path: Path) -> Iterator[assets.Front]:
    """Another release's front end, whose page was loaded from its own process."""
    (tmp_path / "app.js").write_bytes(OTHER)
    (tmp_path / "sign.woff2").write_bytes(b"\0packed")
    front = assets.read(tmp_path)
    versions.keep(front)
    yield front
    valkey.blocking().delete(key_of(front))
    versions._kept_at.clear()


def key_of(front: assets.Front) -> str:
    return f"holdfast:playground:front:{front.digest}"


def fetch(front: assets.Front, name: str, **headers: str) -> Any:
    return Client().get(f"{front.base}{name}", headers=headers)


def test_a_process_serves_the_files_of_another_release(other: assets.Front) -> None:
    plain = fetch(other, "app.js")
    zipped = fetch(other, "app.js", Accept_Encoding="gzip")
    assert (plain.status_code, plain.content) == (200, OTHER)
    assert plain.headers["Content-Type"] == "text/javascript; charset=utf-8"
    assert plain.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert zipped.headers["Content-Encoding"] == "gzip"
    assert fetch(other, "sign.woff2").content == b"\0packed"
    assert fetch(other, "missing.js").status_code == 404


def test_loading_the_page_leaves_its_files_for_a_day(db: None) -> None:
    front = assets.front()
    versions._kept_at.clear()
    valkey.blocking().delete(key_of(front))
    Client().get("/")
    stored = valkey.blocking()
    assert set(stored.hkeys(key_of(front))) == {name.encode() for name in front.files}
    assert 0 < stored.ttl(key_of(front)) <= versions.KEPT_SECONDS
    assert all(versions.kept(front.digest, name) == asset.data for name, asset in front.files.items())


def test_what_the_installation_has_not_left_is_not_served(
    other: assets.Front, caplog: pytest.LogCaptureFixture
) -> None:
    kept = valkey.blocking().hget(key_of(other), "sign.woff2")
    assert isinstance(kept, bytes)
    valkey.blocking().hset(key_of(other), mapping={"app.js": kept, "sign.woff2": kept[:-1] + b"!"})
    assert fetch(other, "app.js").status_code == 404
    assert fetch(other, "sign.woff2").status_code == 404
    assert "was not left by this installation" in caplog.text


def test_a_version_that_nobody_left_is_a_404_that_says_what_to_do(other: assets.Front) -> None:
    answer = Client().get(f"{assets.PREFIX}{'0' * 20}/app.js")
    assert answer.status_code == 404
    assert b"reload it" in answer.content


def test_without_valkey_the_page_is_served(
    db: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def away() -> None:
        raise ConnectionError("away")

    versions._kept_at.clear()
    monkeypatch.setattr(valkey, "blocking", away)
    assert Client().get("/").status_code == 200
    assert Client().get(f"{assets.PREFIX}{'0' * 20}/app.js").status_code == 404
    assert "are not kept for other releases" in caplog.text
