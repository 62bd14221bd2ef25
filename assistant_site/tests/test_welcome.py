"""`manage.py welcome`: the first start of an installation whose processes are started one by one."""

import io
import re

import pytest
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.test import Client
from pytest_django import Settings

from tenants.models import Tenant

pytestmark = pytest.mark.django_db


def said(**options: str) -> str:
    out = io.StringIO()
    call_command("welcome", stdout=out, **options)
    return out.getvalue()


def test_the_first_call_makes_a_token_and_an_admin_user_that_work(client: Client) -> None:
    Tenant.objects.all().delete()

    screen = said(address="https://holdfast.example.com/")

    token = re.search(r"API token    (sk-holdfast-\S+)", screen)
    password = re.search(r"password (\S+)   \(shown only now\)", screen)
    assert token
    assert password
    assert "API          https://holdfast.example.com/v1 " in screen
    headers = {"Authorization": f"Bearer {token[1]}", "OpenAI-Beta": "assistants=v2"}
    assert client.get("/v1/assistants", headers=headers).status_code == 200
    assert client.login(username="admin", password=password[1])


def test_a_second_call_shows_no_secret_and_makes_nothing() -> None:
    said()
    tenants, users = Tenant.objects.count(), get_user_model()._default_manager.count()

    screen = said()

    assert "sk-holdfast-" not in screen
    assert "shown only now" not in screen
    assert "manage.py create_token --tenant default" in screen
    assert (Tenant.objects.count(), get_user_model()._default_manager.count()) == (tenants, users)


def test_a_playground_key_of_the_settings_becomes_a_link(settings: Settings) -> None:
    settings.PLAYGROUND_KEY = "a key of more than twenty"

    assert "http://127.0.0.1:8086/#key=a%20key%20of%20more%20than%20twenty" in said()
