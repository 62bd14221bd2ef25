"""Settings that come from files (`NAME_FILE`), and which of several places wins."""

from pathlib import Path

import pytest

from assistant_site import environment


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    file = tmp_path / "secret"
    file.write_text("from the file\n")
    return file


def test_a_setting_comes_from_the_file_that_its_other_variable_names(
    monkeypatch: pytest.MonkeyPatch, secret: Path
) -> None:
    monkeypatch.setenv("LIGHTHOUSE_FILE", str(secret))

    assert environment.text("LIGHTHOUSE") == "from the file"


def test_the_value_itself_wins_over_the_file_and_our_own_name_over_an_alias(
    monkeypatch: pytest.MonkeyPatch, secret: Path
) -> None:
    monkeypatch.setenv("BEACON", "from the alias")
    assert environment.text("LIGHTHOUSE", "BEACON") == "from the alias"
    monkeypatch.setenv("LIGHTHOUSE_FILE", str(secret))
    assert environment.text("LIGHTHOUSE", "BEACON") == "from the file"
    monkeypatch.setenv("LIGHTHOUSE", "from the variable")
    assert environment.text("LIGHTHOUSE", "BEACON") == "from the variable"


def test_the_environment_wins_over_the_settings_file_with_a_file_too(
    monkeypatch: pytest.MonkeyPatch, secret: Path
) -> None:
    monkeypatch.setattr(environment, "_from_file", {"LIGHTHOUSE": "from .env", "BEACON_FILE": str(secret)})
    assert environment.text("LIGHTHOUSE") == "from .env"
    assert environment.text("BEACON") == "from the file"
    monkeypatch.setenv("LIGHTHOUSE_FILE", str(secret))
    assert environment.text("LIGHTHOUSE") == "from the file"


def test_what_a_file_says_is_judged_like_any_value(monkeypatch: pytest.MonkeyPatch, secret: Path) -> None:
    monkeypatch.setenv("LIGHTHOUSE_FILE", str(secret))

    with pytest.raises(environment.WrongSetting) as refused:
        environment.number("LIGHTHOUSE", default=1)
    assert "LIGHTHOUSE must be a whole number" in str(refused.value)


def test_an_empty_file_counts_as_not_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("\n")
    monkeypatch.setenv("LIGHTHOUSE_FILE", str(tmp_path / "empty"))

    assert environment.text("LIGHTHOUSE", default="as ever") == "as ever"


def test_a_file_that_is_missing_or_no_text_stops_the_start_with_a_sentence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LIGHTHOUSE_FILE", str(tmp_path / "none"))
    with pytest.raises(SystemExit, match=r"LIGHTHOUSE_FILE names the file .*none, which cannot be read: No such file"):
        environment.text("LIGHTHOUSE")
    (tmp_path / "none").write_bytes(b"\xff\xfe\x80")
    with pytest.raises(SystemExit, match="it is not text"):
        environment.text("LIGHTHOUSE")


@pytest.mark.parametrize("value", ["mysql://ada:hun/ter2@db/x", "tcp://:hunter2@h", "mysql://ada:hunt@er2@db/x"])
def test_a_refused_address_is_repeated_without_its_password(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("LIGHTHOUSE", value)

    with pytest.raises(environment.WrongSetting) as refused:
        environment.url("LIGHTHOUSE", schemes=("postgres",))

    told = str(refused.value)
    assert "LIGHTHOUSE must be an address that begins with postgres://" in told
    assert [part for part in ("hun", "er2") if part in told] == []
