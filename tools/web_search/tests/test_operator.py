"""The operator's side: settings, what is told of them, and tenants' keys in the admin."""

import subprocess
import sys
from typing import Any

import pytest
from django.conf import LazySettings, settings
from django.contrib.auth import get_user_model
from django.core.checks import run_checks
from django.test import Client

from tenants.models import Tenant
from tools.web_search.checks import notices
from tools.web_search.models import SearchKey

KEY = "tvly-a-very-secret-key-0123456789"


@pytest.fixture
def operator(db: None) -> Client:
    user = get_user_model().objects.create_superuser("operator", password="a long password")
    client = Client()
    client.force_login(user)
    return client


# --- Settings ---------------------------------------------------------------------------------------------------------


def read(**environment: str) -> "subprocess.CompletedProcess[str]":
    program = "from assistant_site import settings as s; print(s.WEB_SEARCH, s.WEB_SEARCH_NUM_RESULTS)"
    given = {"HOLDFAST_ENV_FILE": "/dev/null", "HOLDFAST_VAR": str(settings.VAR_DIR), **environment}
    command = [sys.executable, "-c", program]
    return subprocess.run(
        command, env=given, cwd=settings.BASE_DIR, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize(
    ("given", "result"),
    [
        ({}, "[] 5"),
        ({"WEB_SEARCH": "Tavily, searxng,tavily", "WEB_SEARCH_NUM_RESULTS": "50"}, "['tavily', 'searxng'] 10"),
        ({"WEB_SEARCH": "off"}, "['off'] 5"),
    ],
)
def test_settings(given: dict[str, str], result: str) -> None:
    assert read(**given).stdout.strip() == result


@pytest.mark.parametrize("wrong", ["bing", "off,tavily", "tavily;brave"])
def test_a_wrong_setting_stops_the_start(wrong: str) -> None:
    found = read(WEB_SEARCH=wrong)
    assert found.returncode == 1
    assert "WEB_SEARCH must be off, or a list of searxng, tavily, brave, serper, exa" in found.stderr


# --- Notices ----------------------------------------------------------------------------------------------------------


def warnings() -> list[str]:
    return [str(each.msg) for each in run_checks() if each.id == "tools.W001"]


@pytest.mark.parametrize("name", ["BING_SUBSCRIPTION_KEY", "BING_SEARCH_URL"])
def test_bings_settings_are_answered_with_what_there_is_instead(search_settings: LazySettings, name: str) -> None:
    assert notices() == warnings() == []
    setattr(search_settings, name, KEY)
    [notice] = notices()
    assert warnings() == [notice]
    assert "2025-08-11" in notice
    alternatives = ("SEARXNG_URL", "TAVILY_API_KEY", "BRAVE_API_KEY", "SERPER_API_KEY", "EXA_API_KEY")
    assert all(each in notice for each in alternatives)
    assert KEY not in notice
    search_settings.BRAVE_API_KEY = KEY
    assert notices() == [notice.partition(" For web search")[0] + " Remove them."]


def test_a_provider_that_is_named_needs_its_key(search_settings: LazySettings) -> None:
    search_settings.WEB_SEARCH = ["searxng", "exa"]
    search_settings.EXA_API_KEY = KEY
    assert notices() == ["WEB_SEARCH names searxng, but SEARXNG_URL is not set: it is left out."]
    search_settings.WEB_SEARCH = ["off"]
    assert notices() == []


def test_the_admins_first_page_tells_it(operator: Client, search_settings: LazySettings) -> None:
    assert "Bing" not in operator.get("/admin/").content.decode()
    search_settings.BING_SUBSCRIPTION_KEY = KEY
    page = operator.get("/admin/").content.decode()
    assert "Microsoft ended the Bing search service" in page
    assert KEY not in page


# --- Tenants' keys ----------------------------------------------------------------------------------------------------

ADD = "/admin/tools/searchkey/add/"


def test_a_key_is_stored_encrypted_and_never_shown(operator: Client) -> None:
    tenant = Tenant.objects.create(name="Ada")
    form = {"tenant": str(tenant.pk), "provider": "tavily", "base_url": "", "new_key": KEY}
    made = operator.post(ADD, form)
    assert made.status_code == 302, made.content.decode()
    row = SearchKey.objects.of(tenant).get()
    assert (row.provider, row.key) == ("tavily", KEY)
    assert KEY not in row.encrypted_key
    page = f"/admin/tools/searchkey/{row.pk}/change/"
    for shown in (page, "/admin/tools/searchkey/", "/admin/"):
        assert KEY not in operator.get(shown).content.decode()

    assert operator.post(page, {**form, "new_key": ""}).status_code == 302
    row.refresh_from_db()
    assert row.key == KEY
    another = operator.post(page, {**form, "provider": "brave", "new_key": ""})
    assert "This provider needs a key." in another.content.decode()

    again = operator.post(ADD, form)
    assert "already exists" in again.content.decode()
    assert SearchKey.objects.of(tenant).count() == 1


@pytest.mark.parametrize(
    ("form", "sentence"),
    [
        ({"provider": "tavily"}, "This provider needs a key."),
        (
            {"provider": "tavily", "new_key": "k", "base_url": "https://x.example"},
            "Only SearXNG takes an address here.",
        ),
        ({"provider": "searxng"}, "SearXNG needs an address."),
        ({"provider": "searxng", "base_url": "x.example"}, "An address like https://"),
        ({"provider": "bing", "new_key": "k"}, "is not one of the available choices"),
    ],
)
def test_what_is_missing_is_told(operator: Client, form: dict[str, Any], sentence: str) -> None:
    tenant = Tenant.objects.create(name="Ada")
    answer = operator.post(ADD, {"tenant": str(tenant.pk), "base_url": "", "new_key": "", **form})
    assert answer.status_code == 200
    assert sentence in answer.content.decode()
    assert not SearchKey.objects.of(tenant).exists()


@pytest.mark.parametrize("end", ["", "/", "/search", "/search/"])
def test_a_searxng_of_ones_own(operator: Client, end: str) -> None:
    tenant = Tenant.objects.create(name="Ada")
    form = {"tenant": str(tenant.pk), "provider": "searxng", "base_url": f"http://searxng:8080{end}", "new_key": ""}
    assert operator.post(ADD, form).status_code == 302
    assert SearchKey.objects.of(tenant).get().base_url == "http://searxng:8080"
