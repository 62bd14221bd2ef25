"""The front end's files, at `/playground/assets/<digest>/<path>`: kept by browsers for a year.

The digest is over all of them, so a changed file changes the address of each, and the modules may import each other by
relative paths. They are read once, at first use. With DEBUG, each load of the page looks whether one has changed. Files
of another release, which another web process has while an upgrade is rolled out, are those that it has left in Valkey
(`versions`).
"""

import gzip
import hashlib
import posixpath
import re
import threading
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseNotFound
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_safe

from assistant_site.playground import versions

FOLDER = Path(__file__).parent / "front"
PREFIX = "/playground/assets/"
# What may be imported without a path, and the file that it is.
NAMES = {
    "preact": "vendor/preact/preact.mjs",
    "preact/hooks": "vendor/preact/hooks.mjs",
    "@preact/signals": "vendor/preact/signals.mjs",
    "@preact/signals-core": "vendor/preact/signals-core.mjs",
    "htm": "vendor/htm/htm.mjs",
    "htm/preact": "vendor/htm/preact.mjs",
    "markdown-it": "vendor/markdown-it/markdown-it.mjs",
    "dompurify": "vendor/dompurify/purify.mjs",
    "highlight.js": "vendor/highlight/highlight.min.js",
}
TYPES = {
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".woff2": "font/woff2",
}
_TEXT = "text/plain; charset=utf-8"  # licences
_PACKED = frozenset({".woff2"})  # is compressed by itself
_GZIP = re.compile(r"(?:^|[,\s])(?:gzip|\*)(?!\s*;\s*q=0(?:\.0*)?\s*(?:,|$))\s*(?:[;,]|$)")
# `import a from "x"`, `import "x"`, `export * from "x"` at the beginning of a statement; not `import("x")`.
_IMPORT = re.compile(
    r"""(?:^|[;}\n]|\*/)\s*(?:import|export)(?:\s*[\w$*{][\w$*{},\s]*?\bfrom)?\s*["']([^"'\n]+)["']""", re.ASCII
)
_MODULES = frozenset({".js", ".mjs"})


@dataclass
class Asset:
    name: str
    data: bytes

    @property
    def suffix(self) -> str:
        return Path(self.name).suffix

    @property
    def type(self) -> str:
        return TYPES.get(self.suffix, _TEXT)

    @cached_property
    def zipped(self) -> bytes | None:
        """Made at the first use and kept; None if it does not become smaller."""
        if self.suffix in _PACKED:
            return None
        zipped = gzip.compress(self.data, 9, mtime=0)
        return zipped if len(zipped) < len(self.data) else None


class UnknownImport(LookupError):
    """A module imports what is not there; browsers would say the same, and less clearly."""


@dataclass(frozen=True)
class Front:
    """All files as they were at one time."""

    files: dict[str, Asset]
    digest: str
    stamp: object = field(default=None, compare=False)

    def address(self, name: str) -> str:
        """Where the browser finds this file."""
        return f"{self.base}{self.files[name].name}"

    @property
    def base(self) -> str:
        return f"{PREFIX}{self.digest}/"

    @cached_property
    def import_map(self) -> dict[str, dict[str, str]]:
        return {"imports": {word: self.address(name) for word, name in NAMES.items()}}

    @cached_property
    def styles(self) -> list[str]:
        """The style sheets of the page, in the order of their names."""
        return [name for name in self.files if name.startswith("style/")]

    def imported_by(self, name: str) -> list[str]:
        """The files that this module imports statically, itself."""
        asset = self.files[name]
        if asset.suffix not in _MODULES:
            return []
        return [self._resolved(word, name) for word in _IMPORT.findall(asset.data.decode())]

    def _resolved(self, word: str, by: str) -> str:
        name = NAMES.get(word, word)
        if word.startswith("."):
            name = posixpath.normpath(posixpath.join(posixpath.dirname(by), word))
        if name not in self.files:
            raise UnknownImport(f"front/{by} imports {word!r}, and there is no such file.")
        return name

    @cached_property
    def start(self) -> tuple[str, ...]:
        """The program and every module that it needs before it can begin, in the order in which they are met."""
        found = {"app.js": None}
        waiting = ["app.js"]
        while waiting:
            for name in self.imported_by(waiting.pop(0)):
                if name not in found:
                    found[name] = None
                    waiting.append(name)
        return tuple(found)


def _files_of(folder: Path) -> dict[str, Path]:
    """What is served of the folder, by name: everything but what editors and systems leave behind."""
    return {
        name: file
        for file in sorted(folder.rglob("*"))
        if file.is_file()
        and not any(part.startswith(".") or part.endswith("~") for part in file.relative_to(folder).parts)
        for name in [file.relative_to(folder).as_posix()]
    }


def _stamp(folder: Path) -> object:
    """Another value when a file has been changed, added or taken away."""
    return [(name, file.stat().st_mtime_ns, file.stat().st_size) for name, file in _files_of(folder).items()]


def read(folder: Path) -> Front:
    stamp = _stamp(folder)
    files = {name: Asset(name, file.read_bytes()) for name, file in _files_of(folder).items()}
    whole = hashlib.sha256()
    for name, asset in files.items():
        whole.update(f"{name}\n{len(asset.data)}\n".encode() + asset.data)
    return Front(files, whole.hexdigest()[:20], stamp)


_lock = threading.Lock()
_read: dict[Path, Front] = {}


def front() -> Front:
    """The files of this process."""
    with _lock:
        if FOLDER not in _read:
            _read[FOLDER] = read(FOLDER)
        return _read[FOLDER]


def front_of_now() -> Front:
    """The same for a page that is being loaded: with DEBUG, read anew if a file has changed."""
    if settings.DEBUG:
        with _lock:
            if FOLDER in _read and _read[FOLDER].stamp != _stamp(FOLDER):
                del _read[FOLDER]
    return front()


def _takes_gzip(request: HttpRequest) -> bool:
    return bool(_GZIP.search(request.headers.get("Accept-Encoding", "").lower()))


def _of_another_release(digest: str, name: str) -> Asset | None:
    data = versions.kept(digest, name)
    return None if data is None else Asset(name, data)


@csrf_exempt  # so that a POST is told the truth: 405, not 403
@require_safe
def asset(request: HttpRequest, digest: str, name: str) -> HttpResponse:
    known = front()
    found = known.files.get(name) if digest == known.digest else _of_another_release(digest, name)
    if found is None:
        told = "There is no such file in this version of the playground. If the page is open since before an upgrade, "
        missing = HttpResponseNotFound(f"{told}reload it.\n", content_type=_TEXT)
        missing.headers["Cache-Control"] = "no-store"
        return missing
    zipped = found.zipped if _takes_gzip(request) else None
    headers = {
        "Cache-Control": "public, max-age=31536000, immutable",
        "X-Content-Type-Options": "nosniff",
        "Vary": "Accept-Encoding",
    }
    if zipped is not None:
        headers["Content-Encoding"] = "gzip"
    return HttpResponse(zipped or found.data, content_type=found.type, headers=headers)
