"""What the site is built from: the pages of `docs/`, the files that they link to, and the generated reference.

`python -m documentation.source FOLDER` writes `FOLDER/pages` and `FOLDER/mkdocs.yml`. A link to a file outside
`docs/` brings that file along, a page as a page and a program as a page with its text, so that links are whole here
as in the repository.
"""

import json
import os
import shutil
import sys
from pathlib import Path

from documentation import contents, markdown
from documentation.contents import DOCS, PROJECT

LANGUAGES = {".py": "python", ".toml": "toml", ".json": "json", ".yml": "yaml", ".yaml": "yaml", ".sh": "bash"}
DIAGRAMS = "mermaid/mermaid.js"
ALWAYS = ("CHANGELOG.md", "CONTRIBUTING.md", "examples/README.md")


class Source:
    """Collects the site's files; `pages` by their paths in the site, `others` are files to copy."""

    def __init__(self) -> None:
        self.pages: dict[str, str] = {}
        self.others: dict[str, Path] = {}
        self.missing: list[str] = []
        self.programs: set[str] = set()  # pages that show a file: reached by links, not in the contents

    def add(self, path: str, text: str) -> None:
        """A page that was generated; its links are paths in the site."""
        self.pages[path] = text

    def bring(self, file: Path) -> str:
        """Takes a file of the repository into the site, with all that it links to; its path in the site.

        Raises FileNotFoundError, which names the file.
        """
        file = Path(os.path.normpath(file))
        if file.is_dir():
            file = file / "README.md"
        if file == PROJECT / "README.md":
            return "index.md"
        if not file.is_relative_to(PROJECT) or not file.is_file():
            raise FileNotFoundError(str(file))
        base = DOCS if file.is_relative_to(DOCS) else PROJECT
        path = file.relative_to(base).as_posix()
        if file.suffix in (".png", ".svg", ".jpg", ".webp"):
            self.others[path] = file
            return path
        if file.suffix == ".md":
            if path not in self.pages:
                self.pages[path] = ""  # links go in circles
                self.pages[path] = self._linked(file, path)
            return path
        path += ".md"
        self.programs.add(path)
        language = LANGUAGES.get(file.suffix, "text")
        fence = "`````"
        self.pages[path] = f"# {file.relative_to(PROJECT)}\n\n{fence}{language}\n{file.read_text().rstrip()}\n{fence}\n"
        return path

    def _linked(self, file: Path, path: str) -> str:
        def target_of(target: str) -> str:
            named, hash_mark, anchor = target.partition("#")
            if not (file.parent / named).exists() and (DOCS / "reference") in (file.parent / named).parents:
                return target  # generated: mkdocs judges it
            try:
                found = self.bring(file.parent / named)
            except FileNotFoundError as gone:
                self.missing.append(f"{file}: a link leads to {gone}, which is not there.")
                return target
            return markdown.relative(found, path) + hash_mark + anchor

        return markdown.with_links(file.read_text(), target_of)

    def write(self, folder: Path) -> None:
        """`pages/` and `mkdocs.yml`, anew. Raises LookupError for links and contents that lead nowhere."""
        if self.missing:
            raise LookupError("\n".join(self.missing))
        shutil.rmtree(folder, ignore_errors=True)
        pages = folder / "pages"
        for path, text in self.pages.items():
            (pages / path).parent.mkdir(parents=True, exist_ok=True)
            (pages / path).write_text(self._dressed(path, text))
        for path, file in self.others.items():
            (pages / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, pages / path)
        listed = contents.in_order(set(self.pages) - self.programs)
        nav = [{title: [{markdown.title_of(self.pages[path]): path} for path in paths]} for title, paths in listed]
        unlisted = "\n".join(f"  {path}" for path in sorted(self.programs))
        # JSON is YAML.
        (folder / "mkdocs.yml").write_text(
            f"INHERIT: {PROJECT}/mkdocs.yml\ntheme:\n  custom_dir: {PROJECT}/documentation/theme\ndocs_dir: "
            f"pages\nsite_dir: ../site\nnot_in_nav: |\n{unlisted}\n"
            f"nav: {json.dumps(nav, ensure_ascii=False)}\n"
        )

    def _dressed(self, path: str, text: str) -> str:
        text = markdown.with_lists(markdown.without_comments(text))
        if "```mermaid" in text:
            text += f'\n<script src="{markdown.relative(DIAGRAMS, path)}"></script>\n'
        return text


def source() -> Source:
    """All of the site. Needs Django to be set up."""
    from documentation import reference

    collected = Source()
    for path, text in reference.pages().items():
        collected.add(path, text)
    for file in sorted(DOCS.rglob("*.md")):
        collected.bring(file)
    for name in ALWAYS:
        collected.bring(PROJECT / name)
    return collected


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "assistant_site.settings")
    import django

    django.setup()
    try:
        source().write(Path(sys.argv[1]))
    except LookupError as missing:
        raise SystemExit(str(missing)) from None
