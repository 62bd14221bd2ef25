"""What the services of docker-compose.yml share: made at the first start, and never changed afterwards."""

import stat
from pathlib import Path

import dj_database_url

from assistant_site.secrets import share_in


def told(folder: Path) -> dict[str, str]:
    return {file.name: file.read_text() for file in folder.iterdir()}


def test_the_first_start_makes_all_and_the_next_ones_leave_them(tmp_path: Path) -> None:
    made = share_in(tmp_path, {})
    first = told(tmp_path)

    assert sorted(first) == sorted([*made, "database_url"])
    assert all(len(first[name]) == 48 for name in made)
    assert len({first[name] for name in made}) == len(made)
    assert share_in(tmp_path, {}) == []
    assert told(tmp_path) == first


def test_a_secret_that_a_new_release_needs_is_added_to_those_that_are_there(tmp_path: Path) -> None:
    share_in(tmp_path, {})
    before = told(tmp_path)
    (tmp_path / "searxng_secret").unlink()

    assert share_in(tmp_path, {}) == ["searxng_secret"]
    after = told(tmp_path)
    assert after.pop("searxng_secret") != before.pop("searxng_secret")
    assert after == before


def test_the_password_of_an_older_installation_stays_the_databases(tmp_path: Path) -> None:
    share_in(tmp_path, {})

    share_in(tmp_path, {"POSTGRES_PASSWORD": "p@ss/word:1 %"})

    assert (tmp_path / "database_password").read_text() == "p@ss/word:1 %"
    assert dj_database_url.parse((tmp_path / "database_url").read_text())["PASSWORD"] == "p@ss/word:1 %"


def test_users_of_all_images_can_read_them_and_nobody_can_change_them(tmp_path: Path) -> None:
    share_in(tmp_path, {})

    assert {stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()} == {0o444}
