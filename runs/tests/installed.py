"""Packages of somebody else's that bring tools, as an installer would leave them."""

from collections.abc import Mapping
from pathlib import Path


def install(folder: Path, package: str, source: str, entry_points: Mapping[str, str]) -> None:
    """Puts a module and its entry points of `holdfast.tools` into a folder that is on the path."""
    (folder / f"{package}.py").write_text(source)
    about = folder / f"{package}-1.0.dist-info"
    about.mkdir(parents=True)
    about.joinpath("METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    lines = [f"{name} = {package}:{value}" for name, value in entry_points.items()]
    about.joinpath("entry_points.txt").write_text("\n".join(["[holdfast.tools]", *lines, ""]))
