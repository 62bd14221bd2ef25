"""The front end's files over HTTP."""

import gzip
import os
import re
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from pytest_django import Settings

from assistant_site.playground import assets
from assistant_site.playground.assets import Front

FIRST_LOAD_BYTES = 300_000


def fetch(name: str, *, digest: str = "", **headers: str) -> Any:
    return Client().get(f"/playground/assets/{digest or assets.front().digest}/{name}", headers=headers)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A front end of one's own."""
    (tmp_path / "app.js").write_text("// none")
    monkeypatch.setattr(assets, "FOLDER", tmp_path)
    monkeypatch.setattr(assets, "NAMES", {})
    return tmp_path


def front_of(folder: Path, **modules: str) -> Front:
    for name, text in modules.items():
        file = folder / f"{name.replace('__', '/')}.js"
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
    return assets.read(folder)


# --- Serving ---------------------------------------------------------------------------------------------------------


def test_every_file_is_served_as_what_it_is_for_a_year() -> None:
    known = assets.front()
    for name, asset in known.files.items():
        answer = fetch(name)
        assert answer.content == asset.data, name
        assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Content-Length"] == str(len(asset.data))
        assert "Content-Encoding" not in answer.headers
    assert {fetch(name).headers["Content-Type"] for name in known.files} == {
        "text/javascript; charset=utf-8",
        "text/css; charset=utf-8",
        "application/json",
        "font/woff2",
        "text/plain; charset=utf-8",
    }
    assert fetch("vendor/katex/katex.min.css").headers["Content-Type"] == "text/css; charset=utf-8"
    assert fetch("vendor/preact/LICENSE").headers["Content-Type"] == "text/plain; charset=utf-8"


@pytest.mark.parametrize("wanted", ["gzip", "gzip, deflate, br", "br;q=1.0, gzip;q=0.8, *;q=0.1", "*"])
def test_who_takes_gzip_gets_it(wanted: str) -> None:
    answer = fetch("vendor/katex/katex.min.js", **{"Accept-Encoding": wanted})
    assert answer.headers["Content-Encoding"] == "gzip"
    assert answer.headers["Vary"] == "Accept-Encoding"
    assert gzip.decompress(answer.content) == assets.front().files["vendor/katex/katex.min.js"].data


@pytest.mark.parametrize("wanted", ["", "identity", "br", "gzip;q=0", "br, gzip; q=0.0"])
def test_who_does_not_take_gzip_gets_the_file_as_it_is(wanted: str) -> None:
    answer = fetch("vendor/htm/htm.mjs", **{"Accept-Encoding": wanted})
    assert "Content-Encoding" not in answer.headers
    assert answer.headers["Vary"] == "Accept-Encoding"
    assert answer.content == assets.front().files["vendor/htm/htm.mjs"].data


def test_fonts_are_not_compressed_once_more() -> None:
    answer = fetch("vendor/katex/fonts/KaTeX_Main-Regular.woff2", **{"Accept-Encoding": "gzip"})
    assert "Content-Encoding" not in answer.headers
    assert answer.content[:4] == b"wOF2"


def test_head_tells_the_same_without_the_file() -> None:
    address = assets.front().address("vendor/preact/preact.mjs")
    got, told = Client().get(address), Client().head(address)
    assert told.content == b""
    assert told.status_code == 200
    for name in ("Content-Length", "Content-Type", "Cache-Control"):
        assert told.headers[name] == got.headers[name]


@pytest.mark.parametrize("method", ["post", "put", "delete"])
def test_files_are_only_read(method: str) -> None:
    assert getattr(Client(), method)(assets.front().address("app.js")).status_code == 405


@pytest.mark.parametrize(
    "name",
    [
        "nothing.js",
        "vendor",
        "vendor/",
        "../pages.py",
        "../../settings.py",
        "%2e%2e/pages.py",
        "..%2fpages.py",
        "vendor/../../pages.py",
        "vendor/../app.js",
        "./app.js",
        "/app.js",
        "//etc/passwd",
        "/etc/passwd",
        "app.js%00",
        "app.js/",
        "APP.JS",
    ],
)
def test_nothing_else_is_served(name: str) -> None:
    answer = fetch(name)
    assert answer.status_code == 404
    assert "max-age" not in answer.headers.get("Cache-Control", "")


def test_a_page_from_before_an_upgrade_is_told_to_reload() -> None:
    answer = fetch("app.js", digest="0" * 20)
    assert answer.status_code == 404
    assert "reload it" in answer.content.decode()
    assert answer.headers["Cache-Control"] == "no-store"


# --- Digest and changes ----------------------------------------------------------------------------------------------


def test_the_digest_is_over_names_and_contents(folder: Path) -> None:
    first = assets.read(folder).digest
    assert assets.read(folder).digest == first
    (folder / "app.js").write_text("// some")
    second = assets.read(folder).digest
    (folder / "app.js").rename(folder / "apq.js")
    third = assets.read(folder).digest
    assert len({first, second, third}) == 3
    assert re.fullmatch("[0-9a-f]{20}", first)


def test_what_editors_leave_behind_is_not_served(folder: Path) -> None:
    for name in (".app.js.swp", "app.js~", ".hidden/app.js"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("secret")
    assert set(assets.read(folder).files) == {"app.js"}


def test_a_changed_file_is_seen_with_debug_and_only_then(folder: Path, settings: Settings) -> None:
    before = assets.front_of_now().digest
    (folder / "app.js").write_text("// changed")
    os.utime(folder / "app.js", (1, 1))
    assert assets.front_of_now().digest == before
    settings.DEBUG = True
    after = assets.front_of_now().digest
    assert after != before
    assert fetch("app.js").content == b"// changed"
    assert fetch("app.js", digest=before).status_code == 404


# --- Imports ---------------------------------------------------------------------------------------------------------


def test_what_the_program_imports_is_found_however_it_is_written(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assets, "NAMES", {"@some/thing": "views/thing.js"})
    front = front_of(
        folder,
        app='// import x from "./no.js"\nimport "./a.js";import{b as c}from"./b.js"\n'
        "import {\n  d,\n} from './d.js';",
        a='const s = "import y from nowhere";\nexport * from "./views/e.js"; import("./later.js");',
        b='export { f } from "./f.js";\n/*\n * import z from "./no.js"\n */ import * as g from "@some/thing"',
        d='import a, { b } from "./a.js";\nexport const from = "./no.js";\nexport default "./no.js";',
        f="",
        later="",
        no="",
        views__e='import "../b.js"',
        views__thing="console.log(import.meta.url)",
    )
    assert front.start == ("app.js", "a.js", "b.js", "d.js", "views/e.js", "f.js", "views/thing.js")


def test_an_import_of_what_is_not_there_is_told_by_name(folder: Path) -> None:
    front = front_of(folder, app='import "./gone.js"')
    with pytest.raises(assets.UnknownImport, match=r"app\.js imports './gone\.js'"):
        print(front.start)


def test_every_module_imports_only_what_is_there() -> None:
    known = assets.front()
    for name in known.files:
        known.imported_by(name)
    assert set(assets.NAMES.values()) <= set(known.files)


def test_the_page_loads_ahead_all_that_the_program_needs_first() -> None:
    page = Client().get("/").content.decode()
    ahead = re.findall(r'<link rel="modulepreload" href="([^"]+)">', page)
    assert ahead == [assets.front().address(name) for name in assets.front().start]
    assert len(ahead) > 1
    assert page.index("importmap") < page.index("modulepreload")  # browsers take no map after the first module


def test_the_first_load_is_small() -> None:
    page = gzip.compress(Client().get("/").content)
    files = [assets.front().files[name] for name in (*assets.front().start, *assets.front().styles)]
    assert len(page) + sum(len(file.zipped or file.data) for file in files) < FIRST_LOAD_BYTES
