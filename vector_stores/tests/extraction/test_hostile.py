"""Files that are broken or meant to hurt end with a reason, in bounded time and memory."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from vector_stores.tests.extraction.hostile import HOSTILE_FILES, HostileFile
from vector_stores.tests.extraction.reader import Reader

SECONDS = 20
CHILD_MEGABYTES = 1100  # 1 GiB of addresses, and what the system counts besides
PARENT_MEGABYTES = 150  # it holds the longest text that is allowed, and its JSON


@pytest.fixture(scope="module")
def reader() -> Iterator[Reader]:
    reader = Reader()
    yield reader
    reader.close()


def some_slow(files: list[HostileFile]) -> list[Any]:
    """Every eighth is always tried, all of them with the slow tests."""
    return [
        pytest.param(hostile, id=hostile.filename, marks=[pytest.mark.slow] if number % 8 else [])
        for number, hostile in enumerate(files)
    ]


@pytest.mark.parametrize("hostile", some_slow(HOSTILE_FILES))
def test_a_hostile_file_ends_as_it_should_within_its_bounds(
    hostile: HostileFile, reader: Reader, tmp_path: Path
) -> None:
    path = tmp_path / "blob"
    path.write_bytes(hostile.make())
    answer = reader.read(path, hostile.filename, SECONDS)
    assert answer["code"] == hostile.code, answer
    assert hostile.code is None or answer["message"].startswith("The file ")
    assert answer["seconds"] < SECONDS + 20
    assert answer["child_megabytes"] < CHILD_MEGABYTES
    assert answer["own_megabytes"] < PARENT_MEGABYTES
    seen = answer.get("start", "")
    assert "root:" not in seen
    assert "haha" not in seen
    assert "\0" not in seen


def test_there_are_at_least_fifty_of_them_with_names_of_their_own() -> None:
    assert len({hostile.filename for hostile in HOSTILE_FILES}) == len(HOSTILE_FILES) >= 50
