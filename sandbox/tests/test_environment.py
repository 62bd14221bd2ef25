"""The model's Python: what is in it, where it is built, and what a failed build says."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sandbox import environment
from sandbox.environment import CannotBuild, build, default_directory, ensure, is_current, kept
from sandbox.tests.environments import environment_for_tests

# As a model writes it; the warnings matplotlib has for what it cannot draw would end it.
LABELS = """
import warnings
warnings.simplefilter("error")
import matplotlib.pyplot as plt
import seaborn
from matplotlib.font_manager import FontProperties, fontManager

def fonts(**wanted):
    found = fontManager._find_fonts_by_props(FontProperties(**wanted))
    return [(str(path).rpartition("/")[2], path.face_index) for path in found]

for style in ("default", "seaborn"):
    if style == "seaborn":
        seaborn.set_theme()
    figure, axes = plt.subplots()
    axes.bar(["中文", "日本語", "한국어"], [1, 2, -3])
    axes.set_title("销售额 売上 매출", weight="bold")
    figure.savefig("labels.png")
    print(fonts())
print(fonts(family="SimHei")[0], fonts(family="IPAexGothic")[0])
"""

IMPORTS = """
import importlib, sys
for name in sys.argv[1:]:
    importlib.import_module(name)
"""


def python(folder: Path, code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run code in the environment, with nothing else around it."""
    return subprocess.run(
        [environment_for_tests() / "bin" / "python", "-I", "-B", "-c", code, *arguments],
        cwd=folder,
        env={"MPLBACKEND": "agg", "MPLCONFIGDIR": str(folder / "mpl"), "LANG": "C.UTF-8"},
        capture_output=True,
        text=True,
    )


@pytest.mark.sandbox
def test_chinese_japanese_and_korean_labels_are_drawn_whatever_the_style(tmp_path: Path) -> None:
    ran = python(tmp_path, LABELS)

    assert (ran.returncode, ran.stderr) == (0, "")
    fallback = "('DejaVuSans.ttf', 0), ('NotoSansCJK-Regular.ttc', 2)"
    assert ran.stdout.splitlines() == [
        f"[{fallback}]",
        f"[{fallback}]",
        "('NotoSansCJK-Regular.ttc', 2) ('NotoSansCJK-Regular.ttc', 0)",
    ]
    assert list((tmp_path / "mpl").iterdir()) == [], "the list of fonts was made with the environment"


@pytest.mark.sandbox
def test_what_the_documents_promise_is_installed(tmp_path: Path) -> None:
    names = (
        "IPython matplotlib_inline numpy pandas scipy.stats sklearn.ensemble statsmodels.api sympy networkx tabulate"
    )
    names += " matplotlib.pyplot seaborn PIL.Image openpyxl xlsxwriter xlrd python_calamine docx pptx pypdf pdfplumber"
    names += " reportlab.pdfgen.canvas lxml.etree bs4 jinja2 yaml chardet sqlite3"

    ran = python(tmp_path, IMPORTS, *names.split())

    assert (ran.returncode, ran.stderr) == (0, "")


@pytest.mark.sandbox
def test_everybody_can_read_it_it_is_compiled_and_does_not_name_the_place_it_was_built_in() -> None:
    folder = environment_for_tests()

    for path in (folder, *folder.rglob("*")):
        mode = path.stat().st_mode
        assert mode & 0o004, path
        assert not mode & 0o022, path
        assert not path.is_dir() or mode & 0o001, path
    assert (folder / "bin" / "python").resolve().is_relative_to("/usr") or os.geteuid() != 0
    packages = next(folder.glob("lib/python3.*/site-packages"))
    assert list((packages / "pandas" / "__pycache__").glob("__init__.*.pyc"))
    place = str(folder).encode()
    named = [path for path in folder.rglob("*") if path.is_file() and place in path.read_bytes()]
    assert named == []


@pytest.mark.sandbox
def test_a_current_environment_is_not_built_again() -> None:
    folder = environment_for_tests()
    before = (folder / "made").stat().st_mtime_ns

    asyncio.run(ensure(folder))

    assert not build(folder)
    assert (folder / "made").stat().st_mtime_ns == before


def test_one_built_from_other_requirements_or_on_a_python_that_went_is_not_current(tmp_path: Path) -> None:
    assert not is_current(tmp_path)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").symlink_to(sys.executable)
    (tmp_path / "made").write_text(environment._recipe())
    assert is_current(tmp_path)

    (tmp_path / "bin" / "python").unlink()
    (tmp_path / "bin" / "python").symlink_to(tmp_path / "python3.10")
    assert not is_current(tmp_path)

    (tmp_path / "bin" / "python").unlink()
    (tmp_path / "bin" / "python").symlink_to(sys.executable)
    (tmp_path / "made").write_text(environment._recipe() + "one-more==1.0\n")
    assert not is_current(tmp_path)


def test_without_a_package_index_it_says_so_and_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "0")
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    folder = tmp_path / "sandbox"
    folder.mkdir()
    (folder / "made").write_text("an older one")

    with pytest.raises(CannotBuild, match=r"the package index does not answer. Check the network") as told:
        asyncio.run(ensure(folder))

    assert str(tmp_path / "sandbox.log") in str(told.value)
    assert (folder / "made").read_text() == "an older one"


def test_without_room_or_a_folder_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "NEEDED_BYTES", 10**18)
    with pytest.raises(CannotBuild, match=r"MB are free. Make room, or set SANDBOX_DIR"):
        build(tmp_path / "sandbox")

    (tmp_path / "file").write_text("")
    with pytest.raises(CannotBuild, match=r"cannot be built in .*: File exists"):
        build(tmp_path / "file" / "sandbox")


def test_a_python_that_does_not_fit_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    assert environment._probe("/usr/bin/no-such-python") is None
    monkeypatch.setattr(environment, "OLDEST", (3, 90))
    monkeypatch.setattr(environment, "NEWEST", (3, 99))
    with pytest.raises(CannotBuild, match=r"needs a Python from 3.11 to 3.14"):
        environment._interpreter()


def test_as_root_it_is_where_other_users_can_walk_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    open_ = tmp_path / "open"
    closed = tmp_path / "closed"
    open_.mkdir()
    closed.mkdir(mode=0o700)
    for folder in (tmp_path, *tmp_path.parents):
        if not folder.stat().st_mode & 0o001:
            folder.chmod(folder.stat().st_mode | 0o001)  # pytest's own folder is closed
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert default_directory(open_ / "var") == open_ / "var" / "sandbox"
    first, other = default_directory(closed / "var"), default_directory(closed / "var2")
    assert first.parent == other.parent == Path("/var/lib/holdfast")
    assert first != other

    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert default_directory(closed / "var") == closed / "var" / "sandbox"


def test_pip_and_the_daemon_see_no_secret() -> None:
    mine = {"OPENAI_API_KEY": "a", "DATABASE_URL": "b", "SECRET_KEY": "c", "HOLDFAST_VAR": "d", "SANDBOX_TOKEN": "e"}
    theirs = {"PATH": "/bin", "HOME": "/root", "LC_ALL": "C", "https_proxy": "p", "PIP_INDEX_URL": "i"}

    assert kept(mine | theirs) == theirs
