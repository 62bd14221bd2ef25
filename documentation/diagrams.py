"""The drawings in docs/architecture.md that show code, as Mermaid.

`python -m documentation.diagrams` draws them again; a test compares the page with the code. The states of a run are
drawn by `runs.lifecycle_doc`, the tables by `documentation.tables` while the site is built.
"""

import ast
import tomllib
from functools import cache
from pathlib import Path

from documentation.contents import DOCS, PROJECT

PAGE = DOCS / "architecture.md"
BEGIN = "<!-- drawn from {} by `python -m documentation.diagrams`; do not edit -->\n"
END = "<!-- end of the drawing -->\n"


@cache
def layers() -> list[list[str]]:
    """The packages from the top to the bottom, those of a layer together: import-linter's contract."""
    contracts = tomllib.loads((PROJECT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    declared = next(each["layers"] for each in contracts if each["type"] == "layers")
    return [[name.strip() for name in layer.split(":")] for layer in declared]


def _files(package: str) -> list[Path]:
    folder = PROJECT / package.replace(".", "/")
    found = folder.rglob("*.py") if folder.is_dir() else [folder.with_suffix(".py")]
    return sorted(file for file in found if not {"tests", "migrations"} & set(file.parts))


def imports_of(package: str) -> set[str]:
    """The names of all modules that the package imports, tests and migrations left out."""
    found: set[str] = set()
    for file in _files(package):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


@cache
def uses() -> dict[str, set[str]]:
    """Each package of the layers to those that it imports from."""
    packages = [name for layer in layers() for name in layer]
    found = {}
    for package in packages:
        named = imports_of(package)
        others = (other for other in packages if other != package)
        found[package] = {
            other for other in others if any(each == other or each.startswith(other + ".") for each in named)
        }
    return found


def without_detours(given: dict[str, set[str]]) -> dict[str, set[str]]:
    """The same, without what is reached through another one anyway."""

    def reached(package: str) -> set[str]:
        found = set(given[package])
        for other in given[package]:
            found |= reached(other)
        return found

    return {
        package: {each for each in others if not any(each in reached(other) for other in others - {each})}
        for package, others in given.items()
    }


def _id(package: str) -> str:
    return package.replace(".", "_")


def layer_drawing() -> str:
    """What imports what; an arrow that follows from others is left out."""
    lines = ["flowchart TB", '    roof["assistant_site<br>(the roof: settings, urls, admin, playground, demo, up)"]']
    for number, layer in enumerate(layers()):
        if len(layer) > 1:
            lines.append(f'    subgraph layer{number}[" "]')
            lines += [f'        {_id(package)}["{package}"]' for package in layer]
            lines.append("    end")
        else:
            lines.append(f'    {_id(layer[0])}["{layer[0]}"]')
    lines.append(f"    roof --> {_id(layers()[0][0])}")
    for package, others in without_detours(uses()).items():
        lines += [f"    {_id(package)} --> {_id(other)}" for other in sorted(others)]
    return "```mermaid\n" + "\n".join(lines) + "\n```\n"


DRAWINGS = {"the imports": layer_drawing}


def drawn(page: str) -> str:
    """The page's text with the present drawings in it. Raises LookupError if a place for one is missing."""
    for of, drawing in DRAWINGS.items():
        begin = BEGIN.format(of)
        before, found, rest = page.partition(begin)
        if not found:
            raise LookupError(f"{PAGE.name} has no line {begin.strip()}")
        page = before + begin + drawing() + END + rest.partition(END)[2]
    return page


if __name__ == "__main__":
    PAGE.write_text(drawn(PAGE.read_text()))
