"""What the tests have exercised of OpenAI's API: `docs/compatibility.json`, and what the pages show of it.

`make compatibility` records it anew while tests run (`documentation.recording`). For each operation of OpenAI's
document the file has the properties in two lists: those that a test has sent with success, or received with a value
other than null in an answer that OpenAI's schema found right; and the rest.
"""

import json
from typing import Any

from documentation.contents import DOCS

FILE = DOCS / "compatibility.json"
PAGE = DOCS / "compatibility.md"
BEGIN = "<!-- drawn from docs/compatibility.json by `python -m documentation.results`; do not edit -->\n"
END = "<!-- end of the drawing -->\n"
PLACES = ("parameters", "body", "answer")


def read() -> dict[str, Any]:
    """`operations`, `events` and `document` of the last recording; empty without one."""
    return json.loads(FILE.read_text()) if FILE.is_file() else {}


def _share(found: dict[str, list[str]]) -> str:
    shown, rest = len(found["shown"]), len(found["not_shown"])
    return f"{shown} of {shown + rest}" if shown + rest else "–"


def _rest(found: dict[str, list[str]]) -> str:
    """What was not shown, as a sentence."""
    return " Not shown: " + ", ".join(f"`{path}`" for path in found["not_shown"]) + "." if found["not_shown"] else ""


def summary() -> str:
    """A row for each operation of OpenAI's that Holdfast has, with how many of its properties were shown."""
    recorded = read()
    lines = ["| operation | parameters | body | answers with | |", "| --- | --- | --- | --- | --- |"]
    missing = []
    for each in recorded.get("operations", ()):
        if not each["served"]:
            missing.append(f"`{each['method']} {each['path']}`")
            continue
        shares = " | ".join(_share(each[place]) for place in ("parameters", "body"))
        answer = _share(recorded["objects"][each["object"]]) if "object" in each else "–"
        lines.append(f"| `{each['method']} {each['path']}` | {shares} | {each.get('object', 'bytes')} | {answer} |")
    told = f"\nOf the same parts of OpenAI's document not served: {', '.join(missing)}.\n" if missing else ""
    return "\n".join(lines) + "\n" + told


def drawn(page: str) -> str:
    """The page's text with the present summary in it."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return before + BEGIN + summary() + END + after


def page() -> str:
    """The page `reference/properties.md`."""
    recorded = read()
    parts = [
        "# Properties\n\nWhat the tests have exercised of OpenAI's API, property by property. A property is "
        "*shown* when a test that "
        "passes has sent it and got a good answer, or got it with a value other than null in an answer that "
        "OpenAI's own schema "
        "found right. What was not shown may work just as well; [the differences that are "
        "known](../compatibility.md) are in words.\n\n"
        f"OpenAI's document: version {recorded.get('document', '?')}. `make compatibility` records this anew.\n"
    ]
    parts.append("## Objects\n\nOf each object, what came in the answers of all operations together.\n")
    for name, found in recorded.get("objects", {}).items():
        parts.append(f"**{name}**: {_share(found)} shown." + _rest(found) + "\n")
    for each in recorded.get("operations", ()):
        if not each["served"]:
            continue
        parts.append(f"## `{each['method']} {each['path']}` {{ #{each['operation']} }}\n")
        for place in PLACES:
            found = each[place]
            if not (found["shown"] or found["not_shown"]):
                continue
            parts.append(f"**{place.capitalize()}**: {_share(found)} shown." + _rest(found) + "\n")
            if found["shown"]:
                told = ", ".join(f"`{path}`" for path in found["shown"])
                parts.append(f'??? note "Shown"\n\n    {told}\n')
        statuses = ", ".join(str(status) for status in each["statuses"])
        parts.append(
            f"Statuses met: {statuses}. Among the tests: " + ", ".join(f"`{test}`" for test in each["tests"]) + ".\n"
        )
    return "\n".join(parts)


if __name__ == "__main__":
    PAGE.write_text(drawn(PAGE.read_text()))
