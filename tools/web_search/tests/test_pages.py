"""Reading the pages that were found: what of them is text, how much, and all that is left at the excerpt."""

import logging
import time
from typing import Any

import pytest
from reportlab.pdfgen.canvas import Canvas

from assistant_site.llm.tests.quirk_server import CUT, Answer, QuirkServer
from tools.web_search import pages
from tools.web_search.pages import MOST_CHARACTERS, readable
from tools.web_search.tests.recorded import run

ARTICLE = b"""<!doctype html><html><head><title>Cats</title><script>steal()</script><style>p{}</style></head><body>
<nav><ul><li><a href="/">Home</a></li><li><a href="/a">About</a> | <a href="/b">Contact</a></li></ul></nav>
<h1>Cats</h1><p>Cats sleep <a href="https://x.example/(y)">all day</a>, says <b>Dr. M&uuml;ller</b>.</p>
<img src="x" alt="picture"><table><tr><th>Cat</th><th>Hours</th></tr><tr><td>Tom</td><td>16</td></tr></table>
</body></html>"""


@pytest.fixture(autouse=True)
def _loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "ALLOWED_HOSTS", ("127.0.0.1",))


def page(body: bytes, kind: str = "text/html", status: int = 200, encoding: str = "") -> Answer:
    headers = {"content-type": kind} | ({"content-encoding": encoding} if encoding else {})
    return Answer((body,), status, headers, "length")


def read(*answers: Any, path: str = "/x") -> str:
    with QuirkServer(*answers) as server:
        url = f"http://127.0.0.1:{server.port}{path}"
        return run(pages.read([url])).get(url, "")


def test_html_is_read_without_its_navigation() -> None:
    text = read(page(ARTICLE))
    assert "Cats sleep all day, says **Dr. Müller**." in text
    assert "| Tom | 16 |" in text
    assert not [word for word in ("Home", "About", "Contact", "steal", "p{}", "http", "picture") if word in text]


def test_what_stands_around_the_text_is_left_out() -> None:
    text = "The text of the page is about cats. " * 10
    around = "<header>Logo</header><aside>Buy!</aside><div role='dialog'>Cookies?</div><footer>Imprint</footer>"
    hidden = "<p hidden>Obey A</p><p style='color: red; DISPLAY:none'>Obey B</p><p aria-hidden='true'>Obey C</p>"
    for inner in (f"<p>{text}</p>", f"<p>Teaser</p><main><p>{text}</p></main>", f"<article><p>{text}</p></article>"):
        found = read(page(f"<html><title>Cats</title><body>{around}{inner}{hidden}</body></html>".encode()))
        assert text.strip() in found
        assert found.startswith("# Cats")
        left_out = ("Logo", "Buy", "Cookies", "Imprint", "Obey")
        assert not [word for word in left_out if word in found]
        assert "Teaser" not in found

    # A page that is nothing but such parts is read as a whole, but for what nobody sees.
    found = read(page(f"<html><body>{around}{hidden}</body></html>".encode()))
    assert "Logo" in found
    assert "Obey" not in found


def test_plain_text_and_pdf_are_read(tmp_path: Any) -> None:
    assert read(page(b"Just\ntext.", "text/plain")) == "Just\ntext."
    canvas = Canvas(str(tmp_path / "a.pdf"))
    canvas.drawString(100, 700, "Text of a PDF.")
    canvas.save()
    assert "Text of a PDF." in read(page((tmp_path / "a.pdf").read_bytes(), "application/pdf"))


def test_a_long_page_is_cut() -> None:
    text = read(page(b"<p>" + b"word " * 50_000 + b"</p>"))
    assert MOST_CHARACTERS - 10 < len(text) <= MOST_CHARACTERS + 2
    assert text.endswith(" …")


def test_redirects_are_followed() -> None:
    assert read(Answer(status=302, headers={"location": "/y"}, framing="length"), page(b"<p>There.</p>")) == "There."


@pytest.mark.parametrize(
    "answer",
    [
        page(b"x", "application/json"),
        page(b"x", "image/png"),
        page(b"x", ""),
        page(b"", "text/html"),
        page(b"<p>no</p>", status=404),
        page(b"<p>no</p>", status=500),
        page(b"PK\x03\x04 a zip", "text/html"),
        page(b"\x89PNG\r\n\x1a\n a picture", "text/html"),
        page(b"ID3 a song", "text/plain"),
        page(b"no pdf at all", "application/pdf"),
        page(b"%PDF-1.7 broken", "application/pdf"),
        page(b"<html></html>"),
        page(bytes(3_000_000)),
        Answer((b"<p>half", CUT), headers={"content-type": "text/html"}),
        page(b"<p>no</p>", encoding="br"),
        Answer(status=302, headers={"location": "http://10.0.0.1/"}, framing="length"),
        Answer(status=302, headers={"location": "file:///etc/passwd"}, framing="length"),
    ],
)
def test_what_cannot_be_read_is_left_at_its_excerpt(answer: Answer, caplog: pytest.LogCaptureFixture) -> None:
    assert read(answer) == ""
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "169.254.169.254", "[::1]", "10.0.0.1"])
def test_inner_addresses_are_not_read(host: str, monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    """Also not those that callers may name: here a search engine names them."""
    monkeypatch.undo()
    settings.FETCH_ALLOWED_HOSTS = ["127.0.0.0/8", "localhost", "10.0.0.0/8", "::1"]
    with QuirkServer(page(b"<p>Secret.</p>")) as server:
        url = f"http://{host}:{server.port}/"
        assert run(pages.read([url])) == {}
        assert server.connections == 0


@pytest.mark.slow
def test_a_slow_page_does_not_hold_up_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "ALL_SECONDS", 1.5)
    with QuirkServer(page(b"<p>Quick.</p>")) as quick, QuirkServer(Answer(before=30.0)) as slow:
        urls = [f"http://127.0.0.1:{slow.port}/", f"http://127.0.0.1:{quick.port}/"]
        started = time.monotonic()
        assert run(pages.read(urls)) == {urls[1]: "Quick."}
        assert time.monotonic() - started < 20


def test_hostile_markup_is_read_in_the_child() -> None:
    assert "deep" in read(page(b"<div>" * 20_000 + b"deep"))
    assert read(page(b"<p>text" + b"\xff\xfe" * 1_000 + b"</p>")).startswith("text")
    assert read(page(b"<p>" + b"\x00\xff\xfe" * 1_000 + b"text</p>")) == ""


@pytest.mark.parametrize(
    ("markdown", "text"),
    [
        ("A [link](https://x.example) here", "A link here"),
        ("* [Home](/)\n* [About](/a) | [More](/b)\n\nText", "Text"),
        ("![](x.png)\nText", "Text"),
        ("---\nText\n***", "Text"),
        ("[a](b [c](d)", "[a](b c"),
        ("【1:0†x】 [1:0†y](z)", "[1:0 x] 1:0 y"),
        ("", ""),
    ],
)
def test_readable(markdown: str, text: str) -> None:
    assert readable(markdown) == text


@pytest.mark.parametrize("raw", ["[" * 100_000, "[a](" * 30_000, "* [a](b) " * 20_000, "|-" * 50_000, "](" * 50_000])
def test_readable_takes_no_time(raw: str) -> None:
    started = time.process_time()
    readable(raw)
    assert time.process_time() - started < 2
