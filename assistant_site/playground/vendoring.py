"""What the playground uses of other people's work lies in `front/vendor/`, so that users need no npm.

`make vendor` writes it, out of the exact versions in its lock file: `python -m assistant_site.playground.vendoring`.
"""

import hashlib
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

VENDOR = Path(__file__).parent / "front" / "vendor"
LISTED = "files.json"
GIVEN = ("package.json", "package-lock.json")  # which we write, with npm
_KEPT = (*GIVEN, LISTED)

# Of which package what is copied to where; * stands for any name.
FILES: dict[str, dict[str, str]] = {
    "preact": {
        "dist/preact.mjs": "preact/preact.mjs",
        "hooks/dist/hooks.mjs": "preact/hooks.mjs",
        "LICENSE": "preact/LICENSE",
    },
    "@preact/signals-core": {
        "dist/signals-core.mjs": "preact/signals-core.mjs",
        "LICENSE": "preact/LICENSE-signals-core",
    },
    "@preact/signals": {
        "dist/signals.mjs": "preact/signals.mjs",
        "LICENSE": "preact/LICENSE-signals",
    },
    "htm": {
        "dist/htm.mjs": "htm/htm.mjs",
        "preact/index.mjs": "htm/preact.mjs",
        "LICENSE": "htm/LICENSE",
    },
    "markdown-it": {
        "dist/browser/markdown-it.esm.min.mjs": "markdown-it/markdown-it.mjs",
        "LICENSE": "markdown-it/LICENSE",
    },
    # These five are inside markdown-it.mjs.
    "entities": {"LICENSE": "markdown-it/LICENSE-entities"},
    "linkify-it": {"LICENSE": "markdown-it/LICENSE-linkify-it"},
    "mdurl": {"LICENSE": "markdown-it/LICENSE-mdurl"},
    "punycode.js": {"LICENSE-MIT.txt": "markdown-it/LICENSE-punycode"},
    "uc.micro": {"LICENSE.txt": "markdown-it/LICENSE-uc.micro"},
    "dompurify": {
        "dist/purify.es.mjs": "dompurify/purify.mjs",
        "LICENSE": "dompurify/LICENSE",
    },
    "@highlightjs/cdn-assets": {
        "es/highlight.min.js": "highlight/highlight.min.js",
        "LICENSE": "highlight/LICENSE",
    },
    "katex": {
        "dist/katex.min.js": "katex/katex.min.js",
        "dist/katex.min.css": "katex/katex.min.css",
        "dist/fonts/*.woff2": "katex/fonts/*.woff2",
        "LICENSE": "katex/LICENSE",
    },
}
# At the end of a file: the address of another one, which we do not have.
_MAP = re.compile(rb"\n?(//# sourceMappingURL=[\w.-]+|/\*# sourceMappingURL=[\w.-]+ \*/)\s*\Z")


def digest_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def listed() -> dict[str, Any]:
    """`packages` with version and licence, `files` with package and sha256."""
    return dict(json.loads((VENDOR / LISTED).read_text()))


def locked() -> dict[str, Any]:
    """The lock file's entries by the names of their packages."""
    entries = json.loads((VENDOR / "package-lock.json").read_text())["packages"]
    return {place.removeprefix("node_modules/"): entry for place, entry in entries.items()}


def present() -> set[str]:
    """The names of all files in the folder that are copies."""
    found = {file.relative_to(VENDOR).as_posix() for file in VENDOR.rglob("*") if file.is_file()}
    return found - set(_KEPT)


def copies(modules: Path) -> Iterator[tuple[str, str, bytes]]:
    """Package, name and contents of each file that is copied out of a folder `node_modules`."""
    for package, files in FILES.items():
        for source, target in files.items():
            found = sorted((modules / package).glob(source))
            if not found:
                raise SystemExit(f"{package} has no {source}: FILES in {__file__} is not right for its version.")
            for file in found:
                yield package, target.replace("*", file.stem), without_map(file)


def without_map(file: Path) -> bytes:
    data = file.read_bytes()
    if file.suffix not in (".mjs", ".js", ".css"):
        return data
    return _MAP.sub(b"\n", data)


def bring() -> None:
    """Makes the folder anew. Needs npm and its registry."""
    with tempfile.TemporaryDirectory() as folder:
        for name in GIVEN:
            shutil.copy(VENDOR / name, folder)
        subprocess.run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=folder, check=True)
        brought = list(copies(Path(folder) / "node_modules"))
    for name in present():
        (VENDOR / name).unlink()
    for _, name, data in brought:
        file = VENDOR / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
    entries = locked()
    packages = {
        package: {"version": entries[package]["version"], "licence": entries[package]["license"]} for package in FILES
    }
    files = {name: {"package": package, "sha256": digest_of(data)} for package, name, data in brought}
    (VENDOR / LISTED).write_text(json.dumps({"packages": packages, "files": files}, indent=2, sort_keys=True) + "\n")
    sys.stdout.write(f"{len(files)} files of {len(packages)} packages are in {VENDOR}.\n")


if __name__ == "__main__":
    bring()
