"""A hundred files of all types in three languages, each with one fact that is asked for."""

import csv
import io
import json
from collections.abc import Callable
from dataclasses import dataclass

from vector_stores.tests.extraction import samples

COUNT = 100


@dataclass(frozen=True)
class Fact:
    """What a file says, and a question of which it is the answer. `key` stands in nothing but the answer."""

    key: str
    statement: str
    question: str


ENGLISH = [first + last for first in ("Mar", "Tol", "Bren", "Quil", "Hask", "Zor", "Wex", "Pel", "Jun", "Fay")
           for last in ("wick", "dale", "ford", "mouth", "ness", "ham", "stead", "combe", "by", "port")]  # fmt: skip
CHINESE = [first + last for first in "金银铜铁锡青白红黑紫" for last in "山川河湖海林泉桥塔谷"]
JAPANESE = [first + last for first in ("サク", "モミ", "ツバ", "カエ", "ヒノ", "アサ", "ヨル", "ミナ", "キタ", "ハル")
            for last in ("ラム", "ジロ", "キン", "デラ", "ソラ", "マチ", "ノセ", "ヤマ", "カゼ", "ウミ")]  # fmt: skip


def fact(number: int) -> Fact:
    """In English, Chinese or Japanese, by turns."""
    key, place = f"KX{number:04d}Q", (ENGLISH, CHINESE, JAPANESE)[number % 3][number % 100]
    return (
        Fact(
            key,
            f"The lighthouse of {place} is painted in the colour {key}.",
            f"Which colour has the lighthouse of {place}?",
        ),
        Fact(key, f"{place}仓库的开门密码是{key}。", f"{place}仓库的密码是什么?"),
        Fact(key, f"{place}工場の緊急連絡先は{key}です。", f"{place}工場の緊急連絡先を教えてください。"),
    )[number % 3]


def filler(number: int) -> list[str]:
    """Paragraphs that say nothing, so that there is something to tell the fact from."""
    return [f"Paragraph {at} of report {number}: nothing of note happened here." for at in range(6)]


def latin(number: int) -> Fact:
    """For types whose sample makers write no Chinese or Japanese."""
    return fact(number - number % 3)


def as_lines(number: int) -> str:
    return "\n\n".join([*filler(number), fact(number).statement, *filler(number)])


def as_rows(number: int) -> list[list[str]]:
    return [["topic", "text"], *[["filler", text] for text in filler(number)], ["fact", fact(number).statement]]


def table(number: int, delimiter: str) -> bytes:
    file = io.StringIO()
    csv.writer(file, delimiter=delimiter).writerows(as_rows(number))
    return file.getvalue().encode()


def page(number: int) -> bytes:
    body = "".join(f"<p>{text}</p>" for text in [*filler(number), fact(number).statement])
    return (
        f"<!doctype html><html><head><script>lost()</script></head><body><h1>Report</h1>{body}</body></html>".encode()
    )


MAKERS: dict[str, Callable[[int], bytes]] = {
    "txt": lambda n: as_lines(n).encode(),
    "md": lambda n: f"# Report {n}\n\n{as_lines(n)}".encode(),
    "html": page,
    "docx": lambda n: samples.docx_of([*filler(n), fact(n).statement]),
    "pptx": lambda n: samples.pptx_of([("Report", filler(n)[0], ""), ("Fact", fact(n).statement, "Say it slowly.")]),
    "xlsx": lambda n: samples.xlsx_of(as_rows(n)),
    "csv": lambda n: table(n, ","),
    "tsv": lambda n: table(n, "\t"),
    "json": lambda n: json.dumps({"report": filler(n), "fact": fact(n).statement}, ensure_ascii=False).encode(),
    "py": lambda n: f"# {fact(n).statement}\ndef report():\n    return {n}\n".encode(),
    "xml": lambda n: f"<report><fact>{fact(n).statement}</fact></report>".encode(),
    "yaml": lambda n: f"fact: '{fact(n).statement}'\n".encode(),
    "pdf": lambda n: samples.pdf_of([" ".join(filler(n)), latin(n).statement]),
}
TYPES = list(MAKERS)


def name_of(number: int) -> str:
    word = ("report", "报告", "報告書")[number % 3]
    return f"{word} {number}.{TYPES[number % len(TYPES)]}"


def fact_in(number: int) -> Fact:
    """What the file of this number says."""
    return latin(number) if TYPES[number % len(TYPES)] == "pdf" else fact(number)


def files() -> list[tuple[str, bytes]]:
    return [(name_of(number), MAKERS[TYPES[number % len(TYPES)]](number)) for number in range(1, COUNT + 1)]
