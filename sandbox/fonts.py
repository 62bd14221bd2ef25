"""Run by a new environment's own Python while it is built: matplotlib gets a font for Chinese, Japanese and Korean.

`python fonts.py FOLDER` moves the font to matplotlib's own, has it used for what other fonts lack, and writes the list
of fonts to FOLDER, which matplotlib would otherwise make in every session's first seconds.
"""

import dataclasses
import os
import shutil
import sys
from importlib.metadata import files
from importlib.util import find_spec
from pathlib import Path

FONT = "NotoSansCJK-Regular.ttc"
PACKAGE = "noto-cjk-sans-otc"

# Names that code asks for, in a program made for one system or language, and the face that answers.
FACES = {
    "Noto Sans CJK SC": (
        "SimHei, SimSun, Microsoft YaHei, KaiTi, FangSong, DengXian, PingFang SC, Heiti SC, STHeiti, STSong, "
        "Hiragino Sans GB, Noto Sans SC, Source Han Sans SC, Source Han Sans CN, WenQuanYi Micro Hei, "
        "WenQuanYi Zen Hei, Droid Sans Fallback, Arial Unicode MS"
    ),
    "Noto Sans CJK TC": "Microsoft JhengHei, PMingLiU, PingFang TC, Heiti TC, Noto Sans TC, Source Han Sans TC",
    "Noto Sans CJK JP": (
        "IPAexGothic, IPAGothic, IPAPGothic, MS Gothic, Yu Gothic, Meiryo, Hiragino Sans, Hiragino Maru Gothic Pro, "
        "TakaoGothic, VL Gothic, Noto Sans JP, Source Han Sans JP"
    ),
    "Noto Sans CJK KR": (
        "NanumGothic, NanumBarunGothic, Malgun Gothic, AppleGothic, Apple SD Gothic Neo, Noto Sans KR, "
        "Source Han Sans KR"
    ),
}

# matplotlib falls back along a text's list of families only, and styles (seaborn's too) set a list without our font.
# Its cache is in a folder that is empty in a new session.
LOADED = "\nfontManager = _load_fontmanager()\n"
ADDED = '''
# --- Added by Holdfast -------------------------------------------------------

_find_listed_fonts = FontManager._find_fonts_by_props
_load_or_make_fontmanager = _load_fontmanager


def _find_fonts_and_cjk(self, prop, fontext="ttf", *args, **kwargs):
    """What no font of the text's list has is taken from the CJK font."""
    found = _find_listed_fonts(self, prop, fontext, *args, **kwargs)
    if fontext == "ttf":
        cjk = self.findfont(FontProperties(family="Noto Sans CJK SC"), fallback_to_default=False)
        if cjk not in found:
            found.append(cjk)
    return found


def _load_fontmanager(*, try_read_cache=True):
    """The list that was made together with this environment, if it is to be read at all."""
    made = Path(sys.prefix, "mpl", f"fontlist-v{FontManager.__version__}.json")
    if try_read_cache and made.exists():
        return json_load(made)
    return _load_or_make_fontmanager(try_read_cache=try_read_cache)


FontManager._find_fonts_by_props = _find_fonts_and_cjk

# -----------------------------------------------------------------------------
'''


def add_font() -> None:
    """The font and its licence go where matplotlib keeps its own, so that the list names it relatively to that."""
    spec = find_spec("matplotlib")
    assert spec is not None
    assert spec.origin
    package = Path(spec.origin).parent
    fonts = package / "mpl-data" / "fonts" / "ttf"
    for each in files(PACKAGE) or []:
        if each.name == FONT:
            shutil.move(each.locate(), fonts / FONT)
        elif each.name == "LICENSE":
            shutil.copy(each.locate(), fonts / "LICENSE_NOTO_SANS_CJK")
    manager = package / "font_manager.py"
    before, loaded, after = manager.read_text().partition(LOADED)
    if not loaded:
        sys.exit("matplotlib loads its fonts otherwise than this file knows")
    manager.write_text(f"{before}\n{ADDED}\n{loaded}{after}")


def write_list(folder: Path) -> None:
    """The fonts of this environment, not of the machine it was built on."""
    import matplotlib
    from matplotlib import font_manager

    data = matplotlib.get_data_path()
    manager = font_manager.FontManager()
    own = [entry for entry in manager.ttflist if entry.fname.startswith(data)]
    faces = {entry.name: entry for entry in own if entry.fname.endswith(FONT)}
    for face, aliases in FACES.items():
        own += [dataclasses.replace(faces[face], name=alias) for alias in aliases.split(", ")]
    manager.ttflist = own
    manager.afmlist = [entry for entry in manager.afmlist if entry.fname.startswith(data)]
    for made in folder.glob("*"):
        made.unlink()
    font_manager.json_dump(manager, folder / f"fontlist-v{manager.__version__}.json")


if __name__ == "__main__":
    goal = Path(sys.argv[1])
    goal.mkdir()
    os.environ["MPLCONFIGDIR"] = str(goal)
    add_font()
    write_list(goal)
