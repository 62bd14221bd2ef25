"""How staff sign in, and how nobody guesses a password."""

import time
from types import SimpleNamespace
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.test import Client

from assistant_site import guessing, valkey

pytestmark = pytest.mark.django_db
RIGHT = "a long password"


@pytest.fixture(autouse=True)
def ada(settings: Any) -> None:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # others take long on purpose
    get_user_model().objects.create_superuser("ada", password=RIGHT)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Of who counts; it stands still."""
    clock = SimpleNamespace(now=time.time())
    monkeypatch.setattr(guessing, "time", SimpleNamespace(time=lambda: clock.now))
    return clock


def signs_in(password: str, address: str) -> Any:
    return Client().post("/admin/login/", {"username": "ada", "password": password}, REMOTE_ADDR=address)


def test_too_many_wrong_passwords_from_one_address_end_the_trying(own_address: str, clock: SimpleNamespace) -> None:
    for _ in range(guessing.MOST_A_MINUTE):
        assert "Too many" not in signs_in("wrong", own_address).content.decode()

    refused = signs_in(RIGHT, own_address)

    assert refused.status_code == 200
    assert "Too many wrong passwords from your address." in refused.content.decode()
    assert signs_in(RIGHT, "192.0.2.201").status_code == 302  # others may go on
    clock.now += 60
    assert signs_in(RIGHT, own_address).status_code == 302


def test_the_right_password_costs_nothing_however_often(own_address: str) -> None:
    for _ in range(guessing.MOST_A_MINUTE + 2):
        assert signs_in(RIGHT, own_address).status_code == 302


def test_while_valkey_is_gone_staff_sign_in(own_address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone() -> Any:
        raise valkey.Failed("gone")

    monkeypatch.setattr(valkey, "blocking", gone)
    assert "Too many" not in signs_in("wrong", own_address).content.decode()
    assert signs_in(RIGHT, own_address).status_code == 302
