"""The text of tokens, and the command that issues them."""

from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from hypothesis import given
from hypothesis import strategies as st

from assistant_site.tests.callers import LocalCaller
from tenants import tokens
from tenants.models import ApiToken, Tenant


def test_a_token_is_well_formed_and_recognisable() -> None:
    values = {tokens.new_value() for _ in range(100)}
    assert len(values) == 100
    for value in values:
        assert tokens.is_well_formed(value)
        assert value.startswith("sk-holdfast-")
        assert len(value) == 50
        assert value not in tokens.hint(value)


@given(st.text(max_size=60))
def test_no_other_text_is(text: str) -> None:
    assert not tokens.is_well_formed(text)
    assert not tokens.is_well_formed(tokens.PREFIX + text)


@given(st.integers(12, 49), st.characters(categories=["Lu", "Ll", "Nd"], max_codepoint=127))
def test_a_mistyped_one_is_not(position: int, character: str) -> None:
    value = tokens.new_value()
    mistyped = value[:position] + character + value[position + 1 :]
    assert tokens.is_well_formed(mistyped) == (mistyped == value)


def test_wrong_keys_are_starred() -> None:
    assert tokens.starred("not-a-real-key-authorized") == "not-a-re*************ized"
    assert tokens.starred("short") == "sh***"
    assert len(tokens.starred("x" * 10_000)) < 100


def test_the_command(db: None) -> None:
    out = StringIO()
    call_command("create_token", "--tenant", "Acme", "--name", "app", stdout=out, stderr=StringIO())
    call_command("create_token", "--tenant", "Acme", stdout=out, stderr=StringIO())

    first, second = out.getvalue().split()
    acme = Tenant.objects.get(name="Acme")
    assert LocalCaller(acme, first).get("assistants").status == 200
    assert LocalCaller(acme, second).get("assistants").status == 200
    assert sorted(acme.tokens.values_list("name", flat=True)) == ["app", "command line"]
    assert not ApiToken.objects.filter(digest__in=[first, second]).exists()


def test_the_command_needs_a_name(db: None) -> None:
    with pytest.raises(CommandError):
        call_command("create_token")
