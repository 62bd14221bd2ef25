"""What lies in the playground's vendor folder is what its lock file says, and nothing else."""

import json

from assistant_site.playground import vendoring
from assistant_site.playground.vendoring import FILES, VENDOR


def test_every_file_is_listed_with_its_hash_and_nothing_else_is_there() -> None:
    files = vendoring.listed()["files"]
    assert len(files) > 30
    assert {name: entry["sha256"] for name, entry in files.items()} == {
        name: vendoring.digest_of((VENDOR / name).read_bytes()) for name in vendoring.present()
    }


def test_every_package_has_the_version_and_the_licence_of_the_lock() -> None:
    listed, locked = vendoring.listed(), vendoring.locked()
    assert listed["packages"] == {
        name: {"version": locked[name]["version"], "licence": locked[name]["license"]} for name in FILES
    }
    for name in FILES:
        assert locked[name]["integrity"].startswith("sha512-")
        kept = [file for file, entry in listed["files"].items() if entry["package"] == name]
        assert [file for file in kept if "/LICENSE" in file], name


def test_what_is_asked_for_is_exact_and_locked() -> None:
    asked = json.loads((VENDOR / "package.json").read_text())["dependencies"]
    assert asked == {name: vendoring.locked()[name]["version"] for name in asked}
    assert set(asked) <= set(FILES)


def test_the_lock_names_no_place_to_download_from() -> None:
    assert not [name for name, entry in vendoring.locked().items() if "resolved" in entry]


def test_no_file_asks_for_a_map() -> None:
    for name in vendoring.present():
        assert b"# sourceMappingURL" not in (VENDOR / name).read_bytes(), name
