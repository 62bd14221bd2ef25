"""Links to the code's files, found in a text that comes in pieces of any size."""

import random

import pytest

from tools.links import Link, Links

NAMES = ["a.csv", "a.csv.gz", "out/report (1).xlsx", "报告 🎉.pdf", "plot.png"]


def pieces(names: list[str], *texts: str) -> list[str | Link]:
    """What comes out, with neighbouring plain pieces joined."""
    links = Links(names)
    told = [piece for text in texts for piece in links.feed(text)] + links.end()
    joined: list[str | Link] = []
    for piece in told:
        if isinstance(piece, str) and joined and isinstance(joined[-1], str):
            joined[-1] += piece
        else:
            joined.append(piece)
    return joined


def link(name: str, spelled: str = "") -> Link:
    return Link(f"sandbox:/mnt/data/{spelled or name}", name)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("[x](sandbox:/mnt/data/a.csv) done", ["[x](", link("a.csv"), ") done"]),
        ("sandbox:/mnt/data/a.csv.gz", [link("a.csv.gz")]),
        ("See sandbox:/mnt/data/a.csv.", ["See ", link("a.csv"), "."]),
        ("sandbox:/mnt/data/a.csv, sandbox:/mnt/data/plot.png", [link("a.csv"), ", ", link("plot.png")]),
        ("(sandbox:/mnt/data/out/report (1).xlsx)", ["(", link("out/report (1).xlsx"), ")"]),
        (
            "(sandbox:/mnt/data/out/report%20%281%29.xlsx)",
            ["(", link("out/report (1).xlsx", "out/report%20%281%29.xlsx"), ")"],
        ),
        (
            "(sandbox:/mnt/data/out/report%20(1).xlsx)",
            ["(", link("out/report (1).xlsx", "out/report%20(1).xlsx"), ")"],
        ),
        ("下载sandbox:/mnt/data/a.csv下载", ["下载", link("a.csv"), "下载"]),
        ("(sandbox:/mnt/data/报告%20🎉.pdf)", ["(", link("报告 🎉.pdf", "报告%20🎉.pdf"), ")"]),
        ("【sandbox:/mnt/data/报告 🎉.pdf】", ["【", link("报告 🎉.pdf"), "】"]),
        ("sandbox:/mnt/data/a.csvx sandbox:/mnt/data/a.csv-2", ["sandbox:/mnt/data/a.csvx sandbox:/mnt/data/a.csv-2"]),
        ("sandbox:/mnt/data/other.txt", ["sandbox:/mnt/data/other.txt"]),
        ("sandbox:/mnt/data/", ["sandbox:/mnt/data/"]),
        ("a sandbox: a sand", ["a sandbox: a sand"]),
    ],
)
def test_links_are_found_wherever_the_text_is_cut(text: str, found: list[str | Link]) -> None:
    assert pieces(NAMES, text) == found
    assert pieces(NAMES, *text) == found
    for cut in range(len(text)):
        assert pieces(NAMES, text[:cut], text[cut:]) == found


def test_nothing_is_held_back_that_cannot_be_a_link() -> None:
    links = Links(NAMES)
    assert links.feed("plain text with a sandbox in it.") == ["plain text with a sandbox in it."]
    assert links.feed("ends with sand") == ["ends with "]
    assert links.feed("wich") == ["sandwich"]


def test_without_files_a_text_passes_as_it_is() -> None:
    links = Links(())
    assert links.feed("sandbox:/mnt/data/a") == ["sandbox:/mnt/data/a"]
    assert links.end() == []


def test_random_cuts_change_nothing() -> None:
    chance = random.Random(7)
    words = [f"sandbox:/mnt/data/{name}" for name in NAMES] + [
        "sandbox:",
        "a.csv",
        ") ",
        "(",
        ".",
        " sandbox:/mnt/",
        "é🎉",
    ]
    for _ in range(500):
        text = "".join(chance.choices(words, k=8))
        cuts = sorted(chance.choices(range(len(text) + 1), k=6))
        parts = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
        whole = pieces(NAMES, text)
        assert pieces(NAMES, *parts) == whole
        assert "".join(each if isinstance(each, str) else each.text for each in whole) == text
