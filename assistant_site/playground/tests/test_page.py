"""The page at `/`."""

import base64
import hashlib
import json
import re
from typing import Any

import pytest
from django.contrib.staticfiles import finders
from django.test import Client
from pytest_django import DjangoAssertNumQueries, Settings

from assistant_site.operating.tests.staff import member
from assistant_site.playground import assets

HOST = {"Host": "holdfast.example:8086"}
STATIC = re.compile(r'(?:src|href)="/static/([^"]+)"')


def home(client: Client | None = None, **headers: str) -> Any:
    return (client or Client()).get("/", headers={**HOST, **headers})


def page() -> str:
    return str(home().content.decode())


def settings_in(answer: Any) -> dict[str, Any]:
    found = re.search(r'<script id="settings" type="application/json">(.*?)</script>', answer.content.decode())
    assert found
    return dict(json.loads(found[1]))


def policy_of(answer: Any) -> dict[str, str]:
    parts = (part.partition(" ") for part in answer.headers["Content-Security-Policy"].split("; "))
    return {name: value for name, _, value in parts}


# --- Without JavaScript ----------------------------------------------------------------------------------------------


def test_the_page_says_where_the_api_is() -> None:
    assert '<code class="base whole">http://holdfast.example:8086/v1</code>' in page()


def test_the_page_says_which_model_answers(settings: Settings) -> None:
    settings.OPENAI_BASE_URL = ""
    assert "demo model answers" in page()
    settings.OPENAI_BASE_URL = "https://models.example/v1"
    shown = page()
    assert "provider is connected" in shown
    assert "models.example" not in shown  # the page is open to everybody


def test_the_page_says_where_the_token_is_and_where_to_go(settings: Settings) -> None:
    shown = page()
    assert "manage.py create_token --tenant default" in shown
    for address in ("/docs", "/admin/", "/readyz", "/openapi.json"):
        assert f'href="{address}"' in shown
    assert "client.beta.threads.runs.stream(" in shown
    settings.AUTH_ENABLED = False
    assert "This server needs none." in page()


def test_the_page_needs_nothing_from_elsewhere() -> None:
    shown = page()
    assert not re.search(r'(?:src|href)="(?!/)', shown)
    assert STATIC.findall(shown)
    for name in STATIC.findall(shown):
        assert finders.find(name), name
    for address in re.findall(r'(?:src|href)="(/playground/assets/[^"]+)"', shown):
        assert Client().get(address).status_code == 200, address


def test_systems_that_are_dark_load_the_dark_colours() -> None:
    links = re.findall(r'<link rel="stylesheet" href="([^"]+)"([^>]*)>', page())
    by_media = {attributes.strip(): address for address, attributes in links if attributes}
    assert by_media == {'media="(prefers-color-scheme: dark)"': assets.front().address("style/dark.css")}


@pytest.mark.parametrize("method", ["post", "put", "delete"])
def test_the_page_is_only_read(method: str) -> None:
    assert getattr(Client(), method)("/").status_code == 405


def test_the_page_can_be_asked_for_its_headers() -> None:
    answer = Client().head("/")
    assert (answer.status_code, answer.content) == (200, b"")


@pytest.mark.parametrize("address", ["/playground", "/playground/"])
def test_other_addresses_lead_to_the_page(address: str) -> None:
    answer = Client().get(address)
    assert (answer.status_code, answer.headers["Location"]) == (302, "/")


# --- What the program is told ----------------------------------------------------------------------------------------


def test_the_program_is_told_of_the_server(settings: Settings) -> None:
    settings.OPENAI_BASE_URL = ""
    settings.CODE_INTERPRETER = "off"
    told = settings_in(home())
    assert told == {
        "version": settings.VERSION,
        "base_url": "http://holdfast.example:8086/v1",
        "demo": True,
        "model": "demo",
        "code": {"word": "off", "sentence": ""},
        "auth": True,
        "staff": None,
        "language": "en",
        "assets": assets.front().base,
    }


@pytest.mark.parametrize(
    ("wanted", "language"),
    [
        ("", "en"),
        ("de-CH,de;q=0.9", "en"),
        ("zh-CN,zh;q=0.9,en;q=0.8", "zh-CN"),
        ("zh-TW", "zh-CN"),
        ("de, en;q=0.3, ja;q=0.7", "ja"),
        ("en-GB,en;q=0.9,zh;q=0.8", "en"),
        (";;;q=x,\x7f", "en"),
    ],
)
def test_the_language_is_the_one_that_the_browser_likes_best(wanted: str, language: str) -> None:
    assert settings_in(home(None, **{"Accept-Language": wanted}))["language"] == language


def test_a_text_among_the_settings_cannot_end_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("assistant_site.code.state", lambda: off_because("</script><script>alert(1)</script>"))
    answer = home()
    assert "<script>alert" not in answer.content.decode()
    assert settings_in(answer)["code"]["sentence"] == "</script><script>alert(1)</script>"


def off_because(sentence: str) -> Any:
    from assistant_site.code import State

    return State("off", sentence)


@pytest.mark.django_db
@pytest.mark.parametrize(("role", "may"), [("superuser", True), ("operator", True), ("auditor", False), ("", False)])
def test_staff_who_may_enter_are_told_so(role: str, may: bool) -> None:
    answer = home(member(role))
    told = settings_in(answer)["staff"]
    if not may:
        assert told is None
        return
    assert told["name"] == f"the {role}"
    assert len(told["csrf"]) == 64
    assert "csrftoken" in answer.cookies
    assert "ETag" not in answer.headers


@pytest.mark.django_db
def test_with_hidden_content_no_staff_may_enter(settings: Settings) -> None:
    settings.ADMIN_SHOWS_CONTENT = False
    assert settings_in(home(member("superuser")))["staff"] is None


@pytest.mark.django_db
def test_who_has_no_session_costs_no_query(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    client = Client()
    client.cookies["csrftoken"] = "x"
    with django_assert_num_queries(0):
        assert home(client).status_code == 200


# --- Headers ---------------------------------------------------------------------------------------------------------


def test_the_policy_lets_in_our_own_files_and_nothing_else() -> None:
    policy = policy_of(home())
    assert policy.pop("script-src").startswith("'self' 'sha256-")
    assert policy == {
        "default-src": "'none'",
        "style-src": "'self'",
        "img-src": "'self' blob: data:",
        "font-src": "'self'",
        "connect-src": "'self'",
        "media-src": "blob:",
        "base-uri": "'none'",
        "form-action": "'self'",
        "frame-ancestors": "'none'",
        "require-trusted-types-for": "'script'",
        "trusted-types": "dompurify",
    }


def test_the_one_inline_script_is_the_import_map_by_its_hash() -> None:
    answer = home()
    [text] = re.findall(r'<script type="importmap">(.*?)</script>', answer.content.decode(), re.S)
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    assert policy_of(answer)["script-src"] == f"'self' 'sha256-{digest}'"
    imports = json.loads(text)["imports"]
    assert set(imports) == set(assets.NAMES)
    for address in imports.values():
        assert Client().get(address).headers["Content-Type"] == "text/javascript; charset=utf-8", address
    others = re.findall(r"<script(?![^>]*(?:importmap|application/json))[^>]*>", answer.content.decode())
    assert others == [f'<script type="module" src="{assets.front().address("app.js")}">']


def test_the_page_has_no_style_or_handler_of_its_own() -> None:
    assert not re.search(r"\sstyle=|\son\w+=|<style", page())


def test_the_page_tells_browsers_to_be_careful() -> None:
    headers = home().headers
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert "camera=()" in headers["Permissions-Policy"]
    assert headers["Cache-Control"] == "no-cache, private"
    assert {"Cookie", "Accept-Language"} <= {name.strip() for name in headers["Vary"].split(",")}


def test_who_has_the_page_is_not_sent_it_again() -> None:
    first = home()
    again = home(**{"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["Cache-Control"] == "no-cache, private"
    assert home(**{"If-None-Match": first.headers["ETag"], "Accept-Language": "ja"}).status_code == 200
