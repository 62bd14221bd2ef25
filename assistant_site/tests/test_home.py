"""The page at `/`."""

import re

import pytest
from django.contrib.staticfiles import finders
from django.test import Client
from pytest_django import Settings

STATIC = re.compile(r'(?:src|href)="/static/([^"]+)"')


def home() -> str:
    return Client().get("/", headers={"Host": "holdfast.example:8086"}).content.decode()


def test_the_page_says_where_the_api_is() -> None:
    assert '<code class="base whole">http://holdfast.example:8086/v1</code>' in home()


def test_the_page_says_which_model_answers(settings: Settings) -> None:
    settings.OPENAI_BASE_URL = ""
    assert "demo model answers" in home()
    settings.OPENAI_BASE_URL = "https://models.example/v1"
    page = home()
    assert "provider is connected" in page
    assert "models.example" not in page  # the page is open to everybody


def test_the_page_needs_no_script_and_nothing_from_elsewhere() -> None:
    page = home()
    assert "<script" not in page
    assert not re.search(r'(?:src|href)="(?!/)', page)
    assert STATIC.findall(page)
    for name in STATIC.findall(page):
        assert finders.find(name), name


@pytest.mark.parametrize("method", ["post", "put", "delete"])
def test_the_page_is_only_read(method: str) -> None:
    assert getattr(Client(), method)("/").status_code == 405
