"""The release before what stands in this checkout, found in git's history by what settings.VERSION was.

Neither tags nor hashes are asked: a history that was rebased or cloned from elsewhere has the same commits of VERSION.
A version that ends in `.devN` is on its way and was never released.
"""

import io
import re
import subprocess
import tarfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
SETTINGS = "assistant_site/settings.py"
_VERSION = re.compile(r'^VERSION = "([^"]+)"', re.MULTILINE)
_ON_ITS_WAY = re.compile(r"\.dev\d+$")


class NoPreviousRelease(Exception):
    """This checkout does not tell what was released before; the text says why."""


@dataclass(frozen=True)
class Release:
    version: str
    commit: str

    def files(self, ending: str) -> set[str]:
        """The paths of its files that end so."""
        listed = _git("ls-tree", "-r", "--name-only", self.commit)
        return {path for path in listed.split("\n") if path.endswith(ending)}

    @cached_property
    def migrations(self) -> set[tuple[str, str]]:
        """Each as app and name."""
        paths = [Path(path) for path in self.files(".py")]
        migrations = [path for path in paths if path.parent.name == "migrations" and path.stem != "__init__"]
        return {(path.parts[-3], path.stem) for path in migrations}

    def unpack(self, folder: Path) -> Path:
        """Its files, put below `folder`; returns that."""
        packed = subprocess.run(
            ["git", "-C", str(PROJECT), "archive", "--format=tar", self.commit], capture_output=True, check=True
        ).stdout
        with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
            archive.extractall(folder, filter="data")
        return folder


def previous() -> Release:
    """The last commit of the version before the present one. Raises `NoPreviousRelease`."""
    present = _version_in((PROJECT / SETTINGS).read_text())
    try:
        changes = _git("log", "--format=%H", "-G^VERSION = ", "--", SETTINGS).split()
    except (OSError, subprocess.CalledProcessError):
        raise NoPreviousRelease("this is no git checkout") from None
    for commit in changes:
        try:
            parent = _git("rev-parse", "--verify", "--quiet", f"{commit}^").strip()
            version = _version_in(_git("show", f"{parent}:{SETTINGS}"))
        except subprocess.CalledProcessError:  # the first commit, or where a shallow clone ends
            continue
        if version != present and not _ON_ITS_WAY.search(version):
            return Release(version, parent)
    raise NoPreviousRelease(f"git's history here has no release before {present}; a full clone has it")


def _version_in(settings: str) -> str:
    found = _VERSION.search(settings)
    if found is None:
        raise NoPreviousRelease(f"{SETTINGS} says no VERSION")
    return found[1]


def _git(*arguments: str) -> str:
    return subprocess.run(["git", "-C", str(PROJECT), *arguments], capture_output=True, check=True, text=True).stdout
