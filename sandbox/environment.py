"""The Python that a model's code finds: a folder built once from `requirements.txt`, and mounted read-only.

`python -m sandbox.environment [FOLDER]` builds it there (or in SANDBOX_DIR, or else where `default_directory`
says) if it is missing or was built from something else.
"""

import asyncio
import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

HERE = Path(__file__).resolve().parent
REQUIREMENTS = HERE / "requirements.txt"
RECIPE = 1  # raise it when this file builds something else from the same requirements
MOUNTED_AT = "/opt/ci"  # where a session finds the folder
NEEDED_BYTES = 1_500_000_000  # while it is built: the packages, and what pip downloads
OLDEST, NEWEST = (3, 11), (3, 14)
SYSTEM_PYTHONS = ("/usr/bin/python3", "/usr/local/bin/python3", "/usr/bin/python3.13", "/usr/bin/python3.12")
ROOTS_PLACE = Path("/var/lib/holdfast")

# Of our own variables, what an installation of packages may need: never a secret of Holdfast's.
KEPT = re.compile(
    r"PATH|HOME|LANG|LC_\w+|TZ|TMPDIR|(?:https?|all|no|HTTPS?|ALL|NO)_(?:proxy|PROXY)"
    r"|PIP_\w+|SSL_CERT_FILE|SSL_CERT_DIR|REQUESTS_CA_BUNDLE|CURL_CA_BUNDLE"
)


class CannotBuild(Exception):
    """The text is a whole sentence for the operator: what is missing, and what to do."""


def kept(environment: Mapping[str, str]) -> dict[str, str]:
    """Of these variables, those that the sandbox's daemon and pip may see."""
    return {name: value for name, value in environment.items() if KEPT.fullmatch(name)}


def default_directory(var: Path) -> Path:
    """Where the environment of an installation is whose data is in `var`: there.

    Sessions that root starts run under other user numbers, which must be able to walk to it. If a folder above is
    closed to them, it is in /var/lib/holdfast instead, under a name made of `var`.
    """
    near = var / "sandbox"
    if os.geteuid() != 0 or _is_open(var):
        return near
    return ROOTS_PLACE / f"sandbox-{hashlib.sha256(str(var).encode()).hexdigest()[:12]}"


def is_current(directory: Path) -> bool:
    """Whether the environment stands there, whole, and is what would be built now."""
    try:
        return (directory / "made").read_text() == _recipe() and (directory / "bin" / "python").exists()
    except OSError:
        return False


async def ensure(directory: Path) -> None:
    """Build the environment unless it is current; takes about half a minute then, in a process of low priority.

    Raises CannotBuild. Cancelled, it ends the build.
    """
    if is_current(directory):
        return
    builder = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "sandbox.environment",
        str(directory),
        cwd=HERE.parent,
        env=kept(os.environ),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    try:
        _, told = await builder.communicate()
    except asyncio.CancelledError:
        with contextlib.suppress(ProcessLookupError):
            builder.terminate()
        await builder.wait()
        raise
    if builder.returncode:
        lines = told.decode(errors="replace").strip().splitlines()
        raise CannotBuild(lines[-1] if lines else f"Building the sandbox's Python ended with {builder.returncode}.")


def build(directory: Path) -> bool:
    """Build the environment unless it is current; True if it was built. Waits for another process that builds it.

    What stood there before is replaced only once the new one is whole. Raises CannotBuild.
    """
    umask = os.umask(0o022)
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        with _alone(directory.with_name(f"{directory.name}.lock")):
            if is_current(directory):
                return False
            _build(directory)
            return True
    except OSError as error:
        reason = f"{error.strerror or error} ({error.filename})" if error.filename else str(error)
        raise CannotBuild(f"The sandbox's Python cannot be built in {directory}: {reason}.") from None
    finally:
        os.umask(umask)


def _build(directory: Path) -> None:
    python = _interpreter()
    free = shutil.disk_usage(directory.parent).free
    if free < NEEDED_BYTES:
        raise CannotBuild(
            f"The sandbox's Python needs {NEEDED_BYTES // 1_000_000} MB in {directory.parent} while it is built, and "
            f"{free // 1_000_000} MB are free. Make room, or set SANDBOX_DIR to a folder elsewhere."
        )
    new = directory.with_name(f"{directory.name}.new")
    old = directory.with_name(f"{directory.name}.old")
    log = directory.with_name(f"{directory.name}.log")
    for rest in (new, old):
        shutil.rmtree(rest, ignore_errors=True)
    log.write_bytes(b"")
    builder = Builder(new, log)
    builder.run([python, "-I", "-m", "venv", "--without-pip", new])
    builder.install()
    builder.arrange_fonts()
    builder.forget_the_place()
    builder.compile()
    (new / "made").write_text(_recipe())
    if directory.exists():
        directory.rename(old)
    new.rename(directory)
    shutil.rmtree(old, ignore_errors=True)


class Builder:
    """One build in a fresh folder; what the programs say goes to `log`."""

    def __init__(self, folder: Path, log: Path) -> None:
        self.folder = folder
        self.python = folder / "bin" / "python"
        self.log = log

    def run(self, command: list[str | Path], environment: Mapping[str, str] | None = None) -> None:
        """Run a program to its end; raises CannotBuild when it fails."""
        shown = {"PATH": os.defpath, "LANG": "C.UTF-8"} if environment is None else environment
        with open(self.log, "ab") as out:
            code = subprocess.run(
                [str(part) for part in command],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env=dict(shown),
                check=False,
            ).returncode
        if code:
            raise CannotBuild(_why(self.log.read_text(errors="replace"), self.log))

    def install(self) -> None:
        """With the pip of our own environment; wheels only, so no code of a package runs."""
        downloads = self.folder / "downloads"  # /tmp may be small
        downloads.mkdir()
        pip: list[str | Path] = [sys.executable, "-m", "pip", "--python", self.python, "--disable-pip-version-check"]
        pip += ["install", "--no-input", "--quiet", "--root-user-action=ignore", "--only-binary=:all:", "--no-compile"]
        self.run([*pip, "-r", REQUIREMENTS], kept(os.environ) | {"TMPDIR": str(downloads)})
        shutil.rmtree(downloads)

    def arrange_fonts(self) -> None:
        """The CJK font becomes one of matplotlib's own, and the list of fonts is made once for all sessions."""
        self.run([self.python, "-I", "-B", HERE / "fonts.py", self.folder / "mpl"])

    def forget_the_place(self) -> None:
        """Take out what names the folder it was built in: wrong once mounted, and nobody's business inside."""
        for script in (self.folder / "bin").iterdir():
            if not script.name.startswith("python"):
                script.unlink()
        settings = self.folder / "pyvenv.cfg"
        lines = settings.read_text().splitlines(keepends=True)
        settings.write_text("".join(line for line in lines if not line.startswith("command")))

    def compile(self) -> None:
        """The folder is read-only later: without this, each session would compile all it imports, every time."""
        compiler: list[str | Path] = [self.python, "-I", "-m", "compileall", "-q", "-x", r"/tests?/"]
        compiler += ["--invalidation-mode", "unchecked-hash", "-s", self.folder, "-p", MOUNTED_AT]
        self.run([*compiler, self.folder / "lib"])


def _recipe() -> str:
    """What an environment is built from, as kept in its file `made`."""
    return f"# recipe {RECIPE}\n{REQUIREMENTS.read_text()}{(HERE / 'fonts.py').read_text()}"


def _interpreter() -> str:
    """The Python to build from: one below /usr, which every session has; else ours, if its user can get to it."""
    for candidate in SYSTEM_PYTHONS:
        if (found := _probe(candidate)) and found.is_relative_to("/usr"):
            return candidate
    ours = getattr(sys, "_base_executable", "") or sys.executable
    base = _probe(ours)
    if base and (os.geteuid() != 0 or _is_open(base)):
        return ours
    raise CannotBuild(
        "The sandbox needs a Python from 3.11 to 3.14 below /usr, since its sessions run under other users than root, "
        "who cannot get to the Python that runs Holdfast. Install one (Debian, Ubuntu: apt-get install python3), or "
        "start Holdfast as an ordinary user."
        if base
        else "The sandbox needs a Python from 3.11 to 3.14 with its module venv, and there is none here. Install one "
        "(Debian, Ubuntu: apt-get install python3 python3-venv)."
    )


def _probe(python: str) -> Path | None:
    """The base prefix of an interpreter that will do; None: it is not there, too old, too new or not whole."""
    question = "import sys, venv, zlib, sqlite3; print(*sys.version_info[:2], sys.base_prefix)"
    try:
        said = subprocess.run([python, "-I", "-c", question], capture_output=True, text=True, timeout=30, check=True)
        major, minor, prefix = said.stdout.strip().split(" ", 2)
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
    return Path(prefix) if OLDEST <= (int(major), int(minor)) <= NEWEST else None


def _is_open(folder: Path) -> bool:
    """Whether everybody may walk to the folder and through it; one that is not there yet will be."""
    folder = folder.resolve()
    return all(each.stat().st_mode & stat.S_IXOTH for each in (folder, *folder.parents) if each.exists())


def _why(said: str, log: Path) -> str:
    """What a failed step's log comes down to, as sentences."""
    if "No space left on device" in said:
        return f"The sandbox's Python cannot be built: the disk is full. Make room and try again. Log: {log}"
    if "(from versions: none)" in said:  # the index knows no version of it at all
        return (
            "The sandbox's Python cannot be installed: the package index does not answer. Check the network (and "
            f"HTTPS_PROXY or PIP_INDEX_URL), then try again. Log: {log}"
        )
    errors = re.findall(r"^ERROR: (.+)$", said, re.MULTILINE) or said.strip().splitlines()[-1:]
    reason = f": {errors[-1].rstrip('.')}" if errors else ""
    return f"The sandbox's Python cannot be built{reason}. Log: {log}"


@contextlib.contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """Wait until no other process builds. The system gives the lock back when its holder dies."""
    with open(lock, "ab") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _ended(number: int, frame: object) -> None:
    sys.exit(128 + number)  # on its way, the program that runs is killed


def main() -> None:
    if len(sys.argv) > 2:
        sys.exit("usage: python -m sandbox.environment [FOLDER]")
    if len(sys.argv) == 2:
        directory = Path(sys.argv[1]).resolve()
    elif chosen := os.environ.get("SANDBOX_DIR"):
        directory = Path(chosen).expanduser().resolve()
    else:
        directory = default_directory(Path(os.environ.get("HOLDFAST_VAR") or HERE.parent / "var").resolve())
    signal.signal(signal.SIGTERM, _ended)
    os.nice(10)
    if ionice := shutil.which("ionice"):
        subprocess.run([ionice, "-c", "3", "-p", str(os.getpid())], capture_output=True, check=False)
    try:
        build(directory)
    except CannotBuild as problem:
        sys.exit(str(problem))


if __name__ == "__main__":
    main()
