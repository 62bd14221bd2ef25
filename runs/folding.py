"""How deltas add up, as clients do it: texts grow, lists grow by their entries' `index`, all else is set."""

from typing import Any

Part = dict[str, Any]


def fold(whole: list[Part], pieces: list[Part]) -> None:
    """Adds a delta's entries to what was told before; entries are in their order."""
    for piece in pieces:
        while len(whole) <= piece["index"]:
            whole.append({})
        grow(whole[piece["index"]], {key: value for key, value in piece.items() if key != "index"})


def grow(value: Part, piece: Part) -> None:
    """Adds a piece to an object."""
    for key, more in piece.items():
        known = value.get(key)
        if isinstance(more, dict):
            grow(value.setdefault(key, {}), more)
        elif isinstance(more, list) and all(isinstance(each, dict) and "index" in each for each in more):
            fold(value.setdefault(key, []), more)
        elif isinstance(known, str) and isinstance(more, str) and key != "type":
            value[key] = known + more
        else:
            value[key] = more


def rest_of(whole: str, known: str) -> str:
    """What of a text was not told yet; nothing if something else was told."""
    return whole[len(known) :] if whole.startswith(known) else ""


def growth(whole: Part, known: Part) -> Part:
    """The piece that makes of `known` what `whole` is: rests of texts, and of lists what their entries lack."""
    piece: Part = {}
    for key, value in whole.items():
        before = known.get(key)
        if isinstance(value, str):
            if before is None:
                piece[key] = value
            elif key != "type" and (rest := rest_of(value, before)):
                piece[key] = rest
        elif isinstance(value, dict):
            if rest_of_it := growth(value, before or {}):
                piece[key] = rest_of_it
        elif isinstance(value, list):
            entries = []
            for index, each in enumerate(value):
                told = before[index] if before and index < len(before) else {}
                if more := growth(each, told):
                    entries.append({"index": index, **({"type": each["type"]} if "type" in each else {}), **more})
            if entries:
                piece[key] = entries
        elif before != value:
            piece[key] = value
    return piece
