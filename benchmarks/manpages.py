"""Manual pages as a retrieval set with known answers, in English, Chinese and Japanese.

Each page begins with a line such as `ls - list directory contents`. The words behind the dash are a question whose
answer is the rest of that page, which does not have the line.
"""

import gzip
import re
import subprocess
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

PACKAGES = {"en": ("manpages", "manpages-dev"), "zh": ("manpages-zh",), "ja": ("manpages-ja",)}
FOLDERS = {"en": "usr/share/man/man", "zh": "usr/share/man/zh_CN/man", "ja": "usr/share/man/ja/man"}
_NAME = re.compile(r"NAME|名称|名字|名前|名稱|NAME \(名称\)|名|NAME 名称", re.I)
_CJK = re.compile(r"[぀-ヿ一-鿿]")
_ESCAPES = (
    (re.compile(r"\\f(?:\[\w*\]|\(..|.)|\\s[-+]?\d|\\[&,/|^%:]|\\c"), ""),
    (re.compile(r"\\-|\\\(hy|\\\(en|\\\(em"), "-"),
    (re.compile(r"\\\(aq|\\\(cq|\\\(oq|\\\(dq|\\[lr]q|\\\([lr]q"), "'"),
    (re.compile(r"\\\(co|\\\(bu|\\\(\w\w|\\\[\w+\]|\\\*\(..|\\\*."), " "),
    (re.compile(r"\\e"), "\\\\"),
    (re.compile(r"\\ |\\~|\\0|\\t"), " "),
)


@dataclass(frozen=True)
class Page:
    """`question` is empty where the line says nothing, or the same as another page's."""

    name: str
    language: str
    question: str
    text: str


def download(folder: Path) -> None:
    """The packages' files under `folder`; SystemExit with a sentence where Debian's tools are missing."""
    for package in [each for packages in PACKAGES.values() for each in packages]:
        if (folder / package).is_dir():
            continue
        folder.mkdir(parents=True, exist_ok=True)
        try:
            subprocess.run(["apt-get", "download", package], cwd=folder, check=True, capture_output=True)
            archive = next(folder.glob(f"{package}_*.deb"))
            subprocess.run(["dpkg-deb", "-x", archive, folder / package], check=True)
            archive.unlink()
        except (OSError, subprocess.CalledProcessError, StopIteration) as error:
            raise SystemExit(
                f"The manual pages come from Debian's package {package}; it cannot be had: {error}"
            ) from None


def pages(folder: Path, language: str) -> list[Page]:
    found = []
    for package in PACKAGES[language]:
        for section in sorted((folder / package).glob(f"{FOLDERS[language]}[1-8]")):
            found += [page for path in sorted(section.iterdir()) if (page := _page(path, language))]
    times = Counter(page.question for page in found)
    return [page if times[page.question] == 1 else Page(page.name, language, "", page.text) for page in found]


def _page(path: Path, language: str) -> Page | None:
    if path.suffix != ".gz" or path.is_symlink():
        return None
    source = gzip.decompress(path.read_bytes()).decode("utf-8", "replace")
    sections = _sections(source)
    if not sections or not _NAME.fullmatch(sections[0][0]):
        return None
    line = " ".join(sections[0][1].split())
    _, dash, question = line.partition(" - ")
    text = "\n\n".join(f"{title}\n{body}" for title, body in sections[1:] if body)
    question = question.strip(" .。")
    if not dash or len(question) < (15 if language == "en" else 6) or (language != "en") != bool(_CJK.search(question)):
        question = ""
    if len(text) < 300 or (language != "en" and len(_CJK.findall(text)) < len(text) / 8):
        return None
    return Page(path.name.removesuffix(".gz"), language, question, text)


def _sections(source: str) -> list[tuple[str, str]]:
    """Titles and texts, without the typesetter's commands."""
    sections: list[tuple[str, list[str]]] = []
    for line in source.splitlines():
        command, _, rest = line.partition(" ")
        if command in (".SH", ".Sh"):
            sections.append((_plain(rest).strip('" '), []))
        elif not sections or line.startswith(('.\\"', "'\\\"", ".TH", ".so")):
            continue
        elif (
            command in (".PP", ".P", ".TP", ".IP", ".LP", ".Pp", ".br", ".sp", ".SS", ".Ss", ".It") or not line.strip()
        ):
            sections[-1][1].append(f"\n{_plain(rest)} " if command in (".SS", ".Ss", ".IP", ".It") else "\n")
        elif line.startswith("."):
            if len(command) <= 3 and rest:  # fonts: the words are the text
                sections[-1][1].append(_plain(rest).replace('"', "") + " ")
        else:
            sections[-1][1].append(_plain(line) + " ")
    return [(title, re.sub(r"[ \t]*\n\s*", "\n", "".join(lines)).strip()) for title, lines in sections]


def _plain(text: str) -> str:
    for pattern, instead in _ESCAPES:
        text = pattern.sub(instead, text)
    return text
